// Package harness runs the Step as Bitrise does, for tests and for the demo. It builds the Step and the real envman and stepman,
// computes the environment of a run from the inputs of step.yml, and manages an envstore.
//
// It knows the Step as a program and a step.yml, and imports none of its packages.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/bitrise-io/stepman/models"
	"gopkg.in/yaml.v2"
)

// StepmanVersion is the version of stepman in e2e/go.mod. Stepman gets it through a linker flag, and the Bitrise CLI rejects a
// stepman without a version.
const StepmanVersion = "0.24.1"

// Root returns the root directory of the repository.
func Root() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("find the repository: the program has no source path")
	}
	root := filepath.Join(filepath.Dir(file), "..", "..")
	if _, err := os.Stat(filepath.Join(root, "step.yml")); err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return root, nil
}

// Build compiles the Step (as authenticate-with-aws), envman, and stepman into folder. The flags, such as -race, apply to the
// Step's build.
func Build(ctx context.Context, folder string, flags ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	e2e := filepath.Join(root, "e2e")
	stepman := "-X github.com/bitrise-io/stepman/version.Version=" + StepmanVersion
	for _, build := range []struct {
		folder    string
		arguments []string
	}{
		{root, append(flags, "-o", filepath.Join(folder, StepProgram), ".")},
		{e2e, []string{"-o", filepath.Join(folder, "envman"), "github.com/bitrise-io/envman/v2"}},
		{e2e, []string{"-o", filepath.Join(folder, "stepman"), "-ldflags", stepman, "github.com/bitrise-io/stepman"}},
	} {
		command := exec.CommandContext(ctx, "go", append([]string{"build"}, build.arguments...)...)
		command.Dir = build.folder
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%s in %s: %w\n%s", command, build.folder, err, output)
		}
	}
	return nil
}

// StepProgram is the name of the Step's executable that [Build] creates.
const StepProgram = "authenticate-with-aws"

// Input is an input in step.yml with its default.
type Input struct{ Key, Default string }

// ReadStep parses step.yml with Bitrise's own models.
func ReadStep() (models.StepModel, error) {
	root, err := Root()
	if err != nil {
		return models.StepModel{}, err
	}
	content, err := os.ReadFile(filepath.Join(root, "step.yml"))
	if err != nil {
		return models.StepModel{}, err
	}
	var step models.StepModel
	if err := yaml.UnmarshalStrict(content, &step); err != nil {
		return models.StepModel{}, fmt.Errorf("parse step.yml: %w", err)
	}
	if err := step.Normalize(); err != nil {
		return models.StepModel{}, fmt.Errorf("normalize step.yml: %w", err)
	}
	return step, nil
}

// Inputs returns the inputs in step.yml, in the same order.
func Inputs() ([]Input, error) {
	step, err := ReadStep()
	if err != nil {
		return nil, err
	}
	var inputs []Input
	for _, item := range step.Inputs {
		key, value, err := item.GetKeyValuePair()
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, Input{Key: key, Default: value})
	}
	return inputs, nil
}

// InputEnvironment returns the inputs of a run as Bitrise sets them: KEY=VALUE for every input in step.yml, with the given value or
// the default. References to the variables in environment (KEY=VALUE) are expanded. A given key that is not an input is an error.
func InputEnvironment(given map[string]string, environment []string) ([]string, error) {
	inputs, err := Inputs()
	if err != nil {
		return nil, err
	}
	lookup := func(key string) string {
		for _, entry := range slices.Backward(environment) {
			if k, v, _ := strings.Cut(entry, "="); k == key {
				return v
			}
		}
		return ""
	}
	var result []string
	known := map[string]bool{}
	for _, input := range inputs {
		known[input.Key] = true
		value, found := given[input.Key]
		if !found {
			value = input.Default
		}
		result = append(result, input.Key+"="+os.Expand(value, lookup))
	}
	for key := range given {
		if !known[key] {
			return nil, fmt.Errorf("%s is not an input in step.yml", key)
		}
	}
	return result, nil
}

// Envstore is envman's file with the variables for the next Steps.
type Envstore struct {
	// Path is the path of the file. envman gets it in ENVMAN_ENVSTORE_PATH.
	Path string
	// Bin is the directory of the envman executable.
	Bin string
}

// Init creates an empty file.
func (e Envstore) Init(ctx context.Context) error {
	output, err := exec.CommandContext(ctx, filepath.Join(e.Bin, "envman"), "--path", e.Path, "init", "--clear").CombinedOutput()
	if err != nil {
		return fmt.Errorf("envman init: %w\n%s", err, output)
	}
	return nil
}

// Values returns the variables in the file.
func (e Envstore) Values(ctx context.Context) (map[string]string, error) {
	command := exec.CommandContext(ctx, filepath.Join(e.Bin, "envman"), "--path", e.Path, "print", "--format", "json")
	var errorText bytes.Buffer
	command.Stderr = &errorText
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("envman print: %w\n%s", err, errorText.String())
	}
	values := map[string]string{}
	if err := json.Unmarshal(output, &values); err != nil {
		return nil, fmt.Errorf("parse the output of envman print: %w", err)
	}
	return values, nil
}
