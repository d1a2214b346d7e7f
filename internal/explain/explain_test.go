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
	table := explain.Table{
		{Codes: []string{"InvalidIdentityToken"}, Message: "audience", Cause: "{provider} does not list {audience}"},
		{Codes: []string{"InvalidIdentityToken", "Other"}, Cause: "invalid", Means: []string{"From {provider}."}, Do: []string{"Check {provider}.", "Wait."}},
		{Message: "slow down", Cause: "throttled"},
	}
	// A value that looks like a placeholder is not replaced.
	values := map[string]string{"provider": "{audience}", "audience": "sts.amazonaws.com"}
	for name, row := range map[string]struct {
		code, message string
		want          explain.Explanation
		found         bool
	}{
		"by code and message":     {"InvalidIdentityToken", "Incorrect Audience", explain.Explanation{Cause: "{audience} does not list sts.amazonaws.com"}, true},
		"by code":                 {"Other", "", explain.Explanation{Cause: "invalid", Means: []string{"From {audience}."}, Do: []string{"Check {audience}.", "Wait."}}, true},
		"by message":              {"Unknown", "Please Slow Down", explain.Explanation{Cause: "throttled"}, true},
		"unknown":                 {"Unknown", "", explain.Explanation{}, false},
		"the message, wrong code": {"Unknown", "audience", explain.Explanation{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, found := table.Find(row.code, row.message, values)
			if found != row.found || !reflect.DeepEqual(got, row.want) {
				t.Errorf("got %+v, %t; want %+v, %t", got, found, row.want, row.found)
			}
		})
	}
}
