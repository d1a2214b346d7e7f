package e2e

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// The expressions in the Terraform module are evaluated like Terraform does, with a fixed account instead of data from AWS.
func TestTerraformExample(t *testing.T) {
	t.Parallel()
	for name, asked := range exampleParameters {
		t.Run(name, func(t *testing.T) {
			module := loadTerraform(t, filepath.Join(root(t), "examples", "terraform"))
			module.set(map[string]string{"app_slug": sandbox.DefaultAppSlug, "workflow": "deploy",
				"repository_name": asked.repository, "bucket_name": asked.bucket, "next_role_arn": asked.next})
			result := created{allows: map[string]json.RawMessage{}}
			for _, resource := range module.blocks("resource") {
				if count, found := resource.Body.Attributes["count"]; found && module.value(count).Equals(cty.Zero).True() {
					continue
				}
				text := func(attribute string) string { return module.value(resource.Body.Attributes[attribute]).AsString() }
				switch resource.Labels[0] {
				case "aws_iam_openid_connect_provider":
					result.provider.URL = text("url")
					for _, id := range module.value(resource.Body.Attributes["client_id_list"]).AsValueSlice() {
						result.provider.ClientIDs = append(result.provider.ClientIDs, id.AsString())
					}
				case "aws_iam_role":
					result.trust = json.RawMessage(text("assume_role_policy"))
				case "aws_iam_role_policy":
					result.allows[text("name")] = json.RawMessage(text("policy"))
				default:
					t.Errorf("unexpected resource %s", resource.Labels[0])
				}
			}
			result.check(t, asked)
		})
	}
}

// The app's slug and the workflow are required, and rejected if they are not names.
func TestTerraformRequiresAppAndWorkflow(t *testing.T) {
	for name, values := range map[string]map[string]bool{
		"app_slug": appSlugs,
		"workflow": workflowNames,
	} {
		t.Run(name, func(t *testing.T) {
			module := loadTerraform(t, filepath.Join(root(t), "examples", "terraform"))
			index := slices.IndexFunc(module.blocks("variable"), func(b *hclsyntax.Block) bool { return b.Labels[0] == name })
			if index < 0 {
				t.Fatalf("there is no variable %s", name)
			}
			variable := module.blocks("variable")[index]
			if _, found := variable.Body.Attributes["default"]; found {
				t.Error("it has a default")
			}
			for value, want := range values {
				t.Run(value, func(t *testing.T) {
					module.set(map[string]string{"app_slug": sandbox.DefaultAppSlug, name: value})
					if got := module.value(variable.Body.Blocks[0].Body.Attributes["condition"]).True(); got != want {
						t.Errorf("%q is valid: got %v, want %v", value, got, want)
					}
				})
			}
		})
	}
}

// terraform is a Terraform module and the values that its expressions can refer to.
type terraform struct {
	t       *testing.T
	bodies  []*hclsyntax.Body
	context *hcl.EvalContext
}

func loadTerraform(t *testing.T, folder string) *terraform {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.tf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files in %s: %v", len(files), folder, err)
	}
	module := &terraform{t: t}
	parser := hclparse.NewParser()
	for _, file := range files {
		parsed, problems := parser.ParseHCLFile(file)
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		module.bodies = append(module.bodies, parsed.Body.(*hclsyntax.Body))
	}
	text := func(pairs ...string) cty.Value {
		object := map[string]cty.Value{}
		for i := 0; i < len(pairs); i += 2 {
			object[pairs[i]] = cty.StringVal(pairs[i+1])
		}
		return cty.ObjectVal(object)
	}
	current := func(value cty.Value) cty.Value { return cty.ObjectVal(map[string]cty.Value{"current": value}) }
	module.context = &hcl.EvalContext{
		Functions: map[string]function.Function{
			"jsonencode": stdlib.JSONEncodeFunc, "merge": stdlib.MergeFunc, "can": tryfunc.CanFunc, "regex": stdlib.RegexFunc,
		},
		Variables: map[string]cty.Value{
			"data": cty.ObjectVal(map[string]cty.Value{
				"aws_caller_identity": current(text("account_id", account)),
				"aws_partition":       current(text("partition", "aws")),
				"aws_region":          current(text("region", region)),
			}),
			"aws_iam_role": cty.ObjectVal(map[string]cty.Value{"bitrise": text("name", "bitrise-deploy", "arn", role)}),
		},
	}
	return module
}

// set sets the variables to the given values or their defaults, and evaluates the locals.
func (m *terraform) set(given map[string]string) {
	m.t.Helper()
	variables := map[string]cty.Value{}
	for _, variable := range m.blocks("variable") {
		if value, found := variable.Body.Attributes["default"]; found {
			variables[variable.Labels[0]] = m.value(value)
		}
	}
	for key, value := range given {
		variables[key] = cty.StringVal(value)
	}
	m.context.Variables = maps.Clone(m.context.Variables)
	m.context.Variables["var"] = cty.ObjectVal(variables)
	locals := map[string]cty.Value{}
	for _, block := range m.blocks("locals") {
		for name, value := range block.Body.Attributes {
			locals[name] = m.value(value)
		}
	}
	m.context.Variables["local"] = cty.ObjectVal(locals)
}

func (m *terraform) blocks(kind string) []*hclsyntax.Block {
	var found []*hclsyntax.Block
	for _, body := range m.bodies {
		for _, block := range body.Blocks {
			if block.Type == kind {
				found = append(found, block)
			}
		}
	}
	return found
}

func (m *terraform) value(attribute *hclsyntax.Attribute) cty.Value {
	m.t.Helper()
	if attribute == nil {
		m.t.Fatal("a required attribute is missing")
	}
	value, problems := attribute.Expr.Value(m.context)
	if problems.HasErrors() {
		m.t.Fatal(problems)
	}
	return value
}
