package step

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

type variables map[string]string

func (v variables) Get(key string) string  { return v[key] }
func (variables) Set(string, string) error { return nil }
func (variables) Unset(string) error       { return nil }
func (variables) List() []string           { return nil }

type printed struct {
	Logger
	lines []string
}

func (p *printed) Infof(string, ...any) {}
func (p *printed) Printf(_ string, args ...any) {
	p.lines = append(p.lines, args[0].(string)+"="+args[1].(string))
}

// Every field is read from the variable that its tag names, and printed unless it is a secret.
func TestInputsAreReadAndPrinted(t *testing.T) {
	given := variables{}
	fields := reflect.TypeFor[Inputs]()
	for i := range fields.NumField() {
		key := fields.Field(i).Tag.Get("env")
		given[key] = "the " + key
	}
	if len(given) != fields.NumField() {
		t.Fatalf("%d keys for %d fields", len(given), fields.NumField())
	}
	in := readInputs(given)
	log := &printed{}
	in.print(log)
	values := reflect.ValueOf(in)
	for i := range fields.NumField() {
		key := fields.Field(i).Tag.Get("env")
		text, shown := "", "the "+key
		switch value := values.Field(i).Interface().(type) {
		case string:
			text = value
		case secret.Text:
			text, shown = value.Reveal(), secret.Redacted
		}
		if text != "the "+key || log.lines[i] != key+"="+shown {
			t.Errorf("%s: read %q, printed %q", key, text, log.lines[i])
		}
	}
}

func TestInputsThatAreNotGivenAreNotPrinted(t *testing.T) {
	log := &printed{}
	readInputs(variables{"region": " ", "access_key_id": "\n", "role_arn": " r ", "build_url": "https://me:hunter2@host/", "role_chain": "a\nb"}).print(log)
	if want := []string{"role_arn=r", "role_chain=a\n  b", "build_url=https://me:xxxxx@host/"}; !slices.Equal(log.lines, want) {
		t.Errorf("got %s", strings.Join(log.lines, ", "))
	}
}
