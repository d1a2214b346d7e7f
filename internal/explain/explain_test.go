package explain_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

func TestOf(t *testing.T) {
	failed := errors.New("failed")
	explained := &explain.Error{Err: failed, Explanation: explain.Explanation{Cause: "the reason", Do: []string{"Act."}}}
	for name, row := range map[string]struct {
		err  error
		want explain.Explanation
	}{
		"a plain error":          {errors.Join(failed, errors.New("twice")), explain.Explanation{Cause: "failed; twice"}},
		"explained":              {explained, explained.Explanation},
		"explained, and wrapped": {fmt.Errorf("call: %w", explained), explained.Explanation},
		"advised, and wrapped":   {fmt.Errorf("call: %w", explain.Advise(failed, "Act.")), explain.Explanation{Cause: "call: failed", Do: []string{"Act."}}},
		"the outermost":          {explain.Advise(explain.Advise(failed, "One."), "Two."), explain.Explanation{Cause: "failed", Do: []string{"Two."}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := explain.Of(row.err); !reflect.DeepEqual(got, row.want) {
				t.Errorf("got %+v, want %+v", got, row.want)
			}
		})
	}
	if explain.Advise(nil, "Act.") != nil {
		t.Error("got an error for nil")
	}
	if err := explain.Advise(failed); err != failed { //nolint:errorlint // it must be the same
		t.Errorf("got %v", err)
	}
}

func TestFind(t *testing.T) {
	table := []explain.Explanation{
		{Match: "InvalidIdentityToken: audience", Cause: "unknown audience"},
		{Match: "InvalidIdentityToken|Other", Cause: "invalid", Means: []string{"It is invalid."}, Do: []string{"Check it.", "Wait."}},
	}
	for name, row := range map[string]struct {
		code, message string
		want          string
	}{
		"by code and message":       {"InvalidIdentityToken", "Incorrect Audience", "unknown audience"},
		"a message with line feeds": {"InvalidIdentityToken", "Not\nthe audience", "unknown audience"},
		"by code":                   {"Other", "", "invalid"},
		"a word that is longer":     {"InvalidIdentityToken", "its audiences", "unknown audience"},
		"a longer code":             {"OtherException", "", ""},
		"a code in other letters":   {"OTHER", "", ""},
		"a code in the message":     {"Unknown", "Other", ""},
		"the message, wrong code":   {"Unknown", "audience", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, found := explain.Find(table, row.code, row.message)
			if found != (row.want != "") || got.Cause != row.want {
				t.Errorf("got %+v, %t; want %q", got, found, row.want)
			}
		})
	}
}
