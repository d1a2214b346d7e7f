package step

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// repository is an in-memory environment.
type repository map[string]string

func (r repository) Get(key string) string       { return r[key] }
func (r repository) Set(key, value string) error { r[key] = value; return nil }
func (r repository) Unset(key string) error      { delete(r, key); return nil }
func (r repository) List() []string {
	var all []string
	for key, value := range r {
		all = append(all, key+"="+value)
	}
	return all
}

// Every input is read from the variable with the same name, and printed unless it is a secret.
func TestInputsAreReadAndPrinted(t *testing.T) {
	given := Environment{}
	var want []string
	Inputs{}.each(func(key string, _ secret.Text, isSecret bool) {
		given[key] = " the " + key + "\n"
		if isSecret {
			want = append(want, "- "+key+": [REDACTED]")
		} else {
			want = append(want, "- "+key+": the "+key)
		}
	})
	if n := reflect.TypeFor[Inputs]().NumField(); len(given) != n {
		t.Fatalf("got %d keys for %d fields", len(given), n)
	}
	in := readInputs(given)
	in.each(func(key string, value secret.Text, _ bool) {
		if got := value.Reveal(); got != "the "+key {
			t.Errorf("%s: got %q", key, got)
		}
	})
	if got := fmt.Sprintf("%v %+v %#v", in, in, in); strings.Contains(got, "the session_token") {
		t.Errorf("the inputs print a secret: %s", got)
	}
	if got := printed(in); !slices.Equal(got, append([]string{"Inputs:"}, want...)) {
		t.Errorf("got output %q, want %q", got, want)
	}
}

func printed(in Inputs) []string {
	var written bytes.Buffer
	in.print(report.NewPlainLog(&written))
	return strings.Split(strings.TrimSuffix(written.String(), "\n"), "\n")
}

func TestInputsThatAreNotSetAreNotPrinted(t *testing.T) {
	in := readInputs(Environment{"region": " ", "access_key_id": "\n", "role_arn": " r ", "role_chain": "a\nb"})
	if got, want := printed(in), []string{"Inputs:", "- role_arn: r", "- role_chain: a", "  b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Pasted secrets are redacted, other values are not.
func TestRedactPasted(t *testing.T) {
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2lnbmF0dXJl"
	for given, want := range map[string]string{
		"arn:aws:iam::123456789012:role/x@y":                                         "arn:aws:iam::123456789012:role/x@y",
		"https://app.bitrise.io/build/1":                                             "https://app.bitrise.io/build/1",
		"https://user:pw@host/path":                                                  "https://[REDACTED]@host/path",
		"https:/user:pw@host":                                                        "https:/[REDACTED]@host",
		"https:user:pw@host":                                                         "https:[REDACTED]@host",
		"HTTP://user:p@w@host":                                                       "HTTP://[REDACTED]@host",
		"socks5://user:p#/w@host":                                                    "socks5://[REDACTED]@host",
		"see http://u:p@h and http://v:q@i":                                          "see http://[REDACTED]@h and http://[REDACTED]@i",
		jwt:                                                                          "[REDACTED]",
		"Bearer " + jwt + " x":                                                       "Bearer [REDACTED] x",
		jwt[:30] + "…":                                                               "[REDACTED]…",
		"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY":                                   "[REDACTED]",
		`got "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"`:                             `got "[REDACTED]"`,
		`got "\"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\""`:                         `got "\"[REDACTED]\""`,
		"123456789012\nwJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY":                     "123456789012\n[REDACTED]",
		`got "1\nwJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\nx"`:                       `got "1\n[REDACTED]\nx"`,
		"AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY":             "AWS_SECRET_ACCESS_KEY=[REDACTED]",
		"AKIAIOSFODNN7EXAMPLE,wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY":              "AKIAIOSFODNN7EXAMPLE,[REDACTED]",
		"AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY":              "AKIAIOSFODNN7EXAMPLE:[REDACTED]",
		`got "` + strings.Repeat("IQoJb3Jp/+", 7) + "…":                              `got "[REDACTED]…`,
		"commit=0123456789abcdef0123456789abcdef01234567":                            "commit=0123456789abcdef0123456789abcdef01234567",
		"arn:aws:iam::123456789012:role/Team/Deploy1/" + strings.Repeat("Role2", 12): "arn:aws:iam::123456789012:role/Team/Deploy1/" + strings.Repeat("Role2", 12),
		"a plain text":                                                               "a plain text",
		"team=mobile@acme":                                                           "team=mobile@acme",
	} {
		t.Run(given, func(t *testing.T) {
			if got := redactPasted(given); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Of AWS's variables, only those that the Step supports stay in the environment. The snapshot contains all of them.
func TestTakeEnvironment(t *testing.T) {
	given := repository{
		"AWS_PROFILE": "left", "AWS_ACCESS_KEY_ID": "", "AWS_ENDPOINT_URL_STS": "https://sts", "AWS_USE_FIPS_ENDPOINT": "true", "AWS_CA_BUNDLE": "/ca",
		"HOME": "/home/user", "region": "eu-west-1", "AWSX": "x",
	}
	environment, err := TakeEnvironment(given)
	if err != nil {
		t.Fatal(err)
	}
	want := repository{"AWS_ENDPOINT_URL_STS": "https://sts", "AWS_USE_FIPS_ENDPOINT": "true", "HOME": "/home/user", "region": "eu-west-1", "AWSX": "x"}
	if !reflect.DeepEqual(given, want) {
		t.Errorf("got the environment %v, want %v", given, want)
	}
	if environment.Get("AWS_PROFILE") != "left" || environment.Get("HOME") != "/home/user" || environment.Get("none") != "" {
		t.Errorf("got the snapshot %v", environment)
	}
	for key, want := range map[string]bool{"AWS_ACCESS_KEY_ID": true, "AWS_SECRET_ACCESS_KEY": false} {
		if value, found := environment[key]; value != "" || found != want {
			t.Errorf("%s: got %q, %v", key, value, found)
		}
	}
}

type stubborn struct{ repository }

func (stubborn) Unset(string) error { return os.ErrPermission }

func TestTakeEnvironmentFails(t *testing.T) {
	if _, err := TakeEnvironment(stubborn{repository{"AWS_PROFILE": "x"}}); err == nil || !strings.Contains(err.Error(), "unset AWS_PROFILE") {
		t.Errorf("got %v", err)
	}
}

// A secret access key has 40 characters of several kinds; a session token is longer than any digest.
func TestLooksLikeKey(t *testing.T) {
	key := strings.Repeat("aB3/", 10)
	for text, want := range map[string]bool{
		key: true, key + "x": false, key[1:]: false, strings.ToLower(key): false,
		strings.Repeat("a", 64): false, strings.Repeat("a", 65): true,
	} {
		if got := looksLikeKey(text); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}
