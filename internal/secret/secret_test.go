package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

const canary = "canary-in-the-log"

type holder struct {
	Exported   secret.Text
	unexported secret.Text
	nested     struct{ deep *secret.Text }
	list       []secret.Text
	byName     map[string]secret.Text
}

func newHolder() holder {
	text := secret.New(canary)
	h := holder{Exported: text, unexported: text, list: []secret.Text{text}, byName: map[string]secret.Text{"k": text}}
	h.nested.deep = &text
	return h
}

func TestPrintsAsRedactedUnderEveryVerb(t *testing.T) {
	text := secret.New(canary)
	verbs := "%v %+v %#v %s %q %x %X %d %t %p %T %20v %-20s %.3s %c %U %e %o %b"
	for verb := range strings.FieldsSeq(verbs) {
		h := newHolder()
		for name, value := range map[string]any{
			"text": text, "pointer": &text, "struct": h, "pointer to struct": &h, "slice": h.list, "map": h.byName,
		} {
			got := fmt.Sprintf(verb, value)
			if leaks(got) {
				t.Errorf("%s of a %s contains the secret: %s", verb, name, got)
			}
		}
	}
	want := strings.Repeat(secret.Redacted+" ", 5) + secret.Redacted
	if got := fmt.Sprintf("%v %+v %#v %s %q %d", text, text, text, text, text, text); got != want {
		t.Errorf("got %s", got)
	}
}

func TestPrintsAsRedactedInEncodingsErrorsAndLogs(t *testing.T) {
	h := newHolder()
	encoded, err := json.Marshal(map[string]any{"h": h, "text": secret.New(canary), "pointer": &h.Exported})
	if err != nil {
		t.Fatal(err)
	}
	// The handlers of slog use MarshalText and MarshalJSON; Text has no LogValue.
	var textLog, jsonLog bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&textLog, nil), slog.NewJSONHandler(&jsonLog, nil)} {
		group := slog.Group("g", "text", h.Exported)
		slog.New(handler).With("before", h.Exported).Info("m", "text", h.Exported, "pointer", &h.Exported, "struct", h, group)
	}
	if n := strings.Count(textLog.String(), "[REDACTED]"); n < 5 || strings.Count(jsonLog.String(), `:"[REDACTED]"`) < 5 {
		t.Errorf("slog did not redact everything:\n%s%s", textLog.String(), jsonLog.String())
	}
	wrapped := fmt.Errorf("doing it with %v: %w", h, errors.New("no"))

	for name, got := range map[string]string{
		"JSON": string(encoded), "slog's text": textLog.String(), "slog's JSON": jsonLog.String(), "error": wrapped.Error(),
		"Println": fmt.Sprintln(h),
	} {
		if leaks(got) {
			t.Errorf("%s contains the secret: %s", name, got)
		}
		if !strings.Contains(got, secret.Redacted) {
			t.Errorf("%s does not contain [REDACTED]: %s", name, got)
		}
	}
}

func leaks(s string) bool {
	return strings.Contains(s, canary) || strings.Contains(strings.ToLower(s), fmt.Sprintf("%x", canary))
}

func TestReveal(t *testing.T) {
	if got := secret.New(canary).Reveal(); got != canary {
		t.Errorf("got %s", got)
	}
	if zero := (secret.Text{}); !zero.IsEmpty() || zero.Reveal() != "" {
		t.Error("the zero value is not the empty secret")
	}
}

func TestUnmarshalJSON(t *testing.T) {
	var decoded struct {
		Token secret.Text `json:"token"`
	}
	if err := json.Unmarshal([]byte(`{"token":"`+canary+`"}`), &decoded); err != nil || decoded.Token.Reveal() != canary {
		t.Errorf("got %q, %v", decoded.Token.Reveal(), err)
	}
	for _, value := range []string{`{"inner":"` + canary + `"}`, `["` + canary + `"]`, `12345678`, `"` + canary + `\x"`} {
		err := json.Unmarshal([]byte(`{"token":`+value+`}`), &decoded)
		if err == nil || leaks(err.Error()) || strings.Contains(err.Error(), "12345678") {
			t.Errorf("got %v, want an error without the text", err)
		}
	}
}
