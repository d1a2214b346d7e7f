package e2e

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-io/envman/v2/models"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
)

// contract is the table of the Step's inputs that its users rely on. A key that was shared is never renamed, and neither
// category nor default changes by accident.
var contract = []struct {
	key, category, value string
	required, sensitive  bool
	options              []string
}{
	{key: "region", value: "us-east-1", required: true},
	{key: "role_arn", category: "Identity token"},
	{key: "audience", category: "Identity token", value: "sts.amazonaws.com"},
	{key: "session_name", category: "Identity token", value: "bitrise-$BITRISE_BUILD_NUMBER"},
	{key: "identity_token", category: "Identity token", sensitive: true},
	{key: "access_key_id", category: "Access key", sensitive: true},
	{key: "secret_access_key", category: "Access key", sensitive: true},
	{key: "session_token", category: "Access key", sensitive: true},
	{key: "session_duration", category: "Session"},
	{key: "role_chain", category: "Session"},
	{key: "external_id", category: "Session"},
	{key: "session_tags", category: "Session"},
	{key: "inline_session_policy", category: "Session"},
	{key: "managed_session_policies", category: "Session"},
	{key: "allowed_account_ids", category: "Session"},
	{key: "aws_profile", category: "Output"},
	{key: "docker_login", category: "Docker", value: "false", options: []string{"true", "false"}},
	{key: "ecr_registries", category: "Docker"},
	{key: "build_url", category: "Debug", value: "$BITRISE_BUILD_URL"},
	{key: "build_api_token", category: "Debug", value: "$BITRISE_BUILD_API_TOKEN", sensitive: true},
	{key: "timeout", category: "Debug", value: "180"},
	{key: "verbose", category: "Debug", value: "false", options: []string{"true", "false"}},
}

// step.yml, read with Bitrise's own models, has the contract's inputs in its order.
func TestStepHasTheContractsInputs(t *testing.T) {
	step, err := harness.ReadStep()
	if err != nil {
		t.Fatal(err)
	}
	wanted := slices.Clone(contract)
	for i := len(wanted) - 1; i >= 0; i-- {
		if slices.Contains(pendingInputs, wanted[i].key) {
			wanted = slices.Delete(wanted, i, i+1)
		}
	}
	var got, want []string
	for _, input := range wanted {
		want = append(want, input.key)
	}
	for _, key := range inputKeys(t) {
		if !slices.Contains(pendingInputs, key) {
			got = append(got, key)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the inputs are\n%v\nwant\n%v", got, want)
	}
	for _, input := range step.Inputs {
		key, value, options := item(t, input)
		i := slices.Index(want, key)
		if i < 0 {
			continue
		}
		row := wanted[i]
		if got := text(options.Category); got != row.category {
			t.Errorf("%s: category %q, want %q", key, got, row.category)
		}
		if value != row.value {
			t.Errorf("%s: default %q, want %q", key, value, row.value)
		}
		if got := options.IsRequired != nil && *options.IsRequired; got != row.required {
			t.Errorf("%s: required %v, want %v", key, got, row.required)
		}
		// Sensitive means more than hidden: the Workflow Editor takes nothing but a Secret.
		if got := options.IsSensitive != nil && *options.IsSensitive; got != row.sensitive {
			t.Errorf("%s: sensitive %v, want %v", key, got, row.sensitive)
		}
		if !slices.Equal(options.ValueOptions, row.options) {
			t.Errorf("%s: value options %v, want %v", key, options.ValueOptions, row.options)
		}
	}
}

// What is shown of an input fits where the Workflow Editor and the StepLib show it.
func TestTextsOfTheForm(t *testing.T) {
	step, err := harness.ReadStep()
	if err != nil {
		t.Fatal(err)
	}
	checkSummary(t, "the Step", text(step.Summary))
	for kind, items := range map[string][]models.EnvironmentItemModel{"input": step.Inputs, "output": step.Outputs} {
		titles := map[string]string{}
		for _, model := range items {
			key, _, options := item(t, model)
			// A title is the line above a field; Bitrise sets no limit. What needs more than 40
			// characters is a summary.
			title := text(options.Title)
			if title == "" || len(title) > 40 || strings.HasSuffix(title, ".") {
				t.Errorf("%s: the title %q is missing, too long, or a sentence", key, title)
			}
			if other, found := titles[title]; found {
				t.Errorf("%s and %s have the same title", key, other)
			}
			titles[title] = key
			checkSummary(t, key, text(options.Summary))
			if kind == "input" && !strings.Contains(text(options.Description), "\nExample: ") {
				t.Errorf("%s: the description has no line with an example", key)
			}
		}
	}
}

// checkSummary checks that a summary is one sentence of at most 100 characters. That is the limit for the Step's own in
// Bitrise's schema, https://github.com/bitrise-io/bitrise-json-schemas (step.schema.json); those of inputs have none, but
// stand in the same lists.
func checkSummary(t *testing.T, of, summary string) {
	t.Helper()
	if summary == "" || len(summary) > 100 {
		t.Errorf("%s: the summary has %d characters: %q", of, len(summary), summary)
	}
	if !strings.HasSuffix(summary, ".") || regexp.MustCompile(`[.!?]\s`).MatchString(summary) || strings.Contains(summary, "\n") {
		t.Errorf("%s: the summary is not one sentence: %q", of, summary)
	}
}
