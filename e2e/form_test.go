package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-io/envman/v2/models"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
)

// contract lists the Step's inputs. Users rely on keys and defaults, so a change of this table breaks them.
var contract = []struct {
	key, category, value string
	required, sensitive  bool
	fixed                bool // Bitrise sets it; users don't change it
	options              []string
}{
	{key: "role_arn"},
	{key: "region", value: "us-east-1", required: true},
	{key: "audience", category: "Identity token", value: "sts.amazonaws.com"},
	{key: "session_name", category: "Identity token", value: "bitrise-$BITRISE_BUILD_NUMBER"},
	{key: "identity_token", category: "Identity token", sensitive: true},
	{key: "access_key_id", category: "Access key", sensitive: true},
	{key: "secret_access_key", category: "Access key", sensitive: true},
	{key: "session_token", category: "Access key", sensitive: true},
	{key: "session_duration", category: "Session options"},
	{key: "inline_session_policy", category: "Session options"},
	{key: "managed_session_policies", category: "Session options"},
	{key: "allowed_account_ids", category: "Session options"},
	{key: "role_chain", category: "Role chaining"},
	{key: "external_id", category: "Role chaining"},
	{key: "session_tags", category: "Role chaining"},
	{key: "aws_profile", category: "Long builds"},
	{key: "docker_login", category: "Docker", value: "false", options: []string{"true", "false"}},
	{key: "ecr_registries", category: "Docker"},
	{key: "build_url", category: "Debug", value: "$BITRISE_BUILD_URL", fixed: true},
	{key: "build_api_token", category: "Debug", value: "$BITRISE_BUILD_API_TOKEN", sensitive: true, fixed: true},
	{key: "timeout", category: "Debug", value: "180"},
	{key: "verbose", category: "Debug", value: "false", options: []string{"true", "false"}},
	{key: "action", category: "Cleanup", value: "login", options: []string{"login", "logout"}},
}

// The inputs in step.yml, as Bitrise's own models parse them, are those of the contract, in the same order.
func TestStepHasTheContractsInputs(t *testing.T) {
	step, err := harness.ReadStep()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, input := range contract {
		want = append(want, input.key)
	}
	got := inputKeys(t)
	if !slices.Equal(got, want) {
		t.Fatalf("the inputs are\n%v\nwant\n%v", got, want)
	}
	for _, input := range step.Inputs {
		key, value, options := item(t, input)
		i := slices.Index(want, key)
		if i < 0 {
			continue
		}
		row := contract[i]
		if got := text(options.Category); got != row.category {
			t.Errorf("%s: got category %q, want %q", key, got, row.category)
		}
		if value != row.value {
			t.Errorf("%s: got default %q, want %q", key, value, row.value)
		}
		if got := options.IsRequired != nil && *options.IsRequired; got != (row.required || row.options != nil) {
			t.Errorf("%s: got required %v", key, got)
		}
		if got := options.IsDontChangeValue != nil && *options.IsDontChangeValue; got != row.fixed {
			t.Errorf("%s: got is_dont_change_value %v, want %v", key, got, row.fixed)
		}
		// For a sensitive input, the Workflow Editor accepts only a Secret.
		if got := options.IsSensitive != nil && *options.IsSensitive; got != row.sensitive {
			t.Errorf("%s: got sensitive %v, want %v", key, got, row.sensitive)
		}
		if !slices.Equal(options.ValueOptions, row.options) {
			t.Errorf("%s: got value options %v, want %v", key, options.ValueOptions, row.options)
		}
	}
}

// Titles and summaries fit into the Workflow Editor and the StepLib's pages.
func TestTitlesAndSummaries(t *testing.T) {
	step, err := harness.ReadStep()
	if err != nil {
		t.Fatal(err)
	}
	checkSummary(t, "the Step", text(step.Summary))
	for kind, items := range map[string][]models.EnvironmentItemModel{"input": step.Inputs, "output": step.Outputs} {
		titles := map[string]string{}
		for _, model := range items {
			key, _, options := item(t, model)
			// The title is the label of a form field.
			title := text(options.Title)
			if title == "" || len(title) > 40 || strings.HasSuffix(title, ".") {
				t.Errorf("%s: the title %q is missing, too long, or a sentence", key, title)
			}
			if other, found := titles[title]; found {
				t.Errorf("%s and %s have the same title", key, other)
			}
			titles[title] = key
			checkSummary(t, key, text(options.Summary))
			example := kind == "input" && options.ValueOptions == nil && key != "build_api_token"
			if example && !strings.Contains(text(options.Description), "\nExample: ") {
				t.Errorf("%s: the description has no line with an example", key)
			}
		}
	}
}

// checkSummary checks that a summary is one line of at most 100 characters, the limit for a Step's own summary in Bitrise's schema,
// https://github.com/bitrise-io/bitrise-json-schemas (step.schema.json).
func checkSummary(t *testing.T, of, summary string) {
	t.Helper()
	if summary == "" || len(summary) > 100 {
		t.Errorf("%s: the summary has %d characters: %q", of, len(summary), summary)
	}
	if !strings.HasSuffix(summary, ".") || strings.Contains(summary, "\n") {
		t.Errorf("%s: the summary is not one line that ends with a period: %q", of, summary)
	}
}
