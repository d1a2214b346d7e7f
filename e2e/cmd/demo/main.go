// Command demo runs the Step, with the inputs of step.yml and a real envman, against the sandbox, and then shows what a
// next Step sees: who it is, as STS says it, and which variables it has. Nothing leaves the machine, and no file outside
// of a temporary folder is touched.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// whoami is the argument with which the demo plays the next Step.
const whoami = "whoami"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := demo
	if len(os.Args) > 1 && os.Args[1] == whoami {
		run = nextStep
	}
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, out io.Writer) error {
	folder, err := os.MkdirTemp("", "authenticate-with-aws-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()

	title(out, "Build the Step and envman")
	if err := harness.Build(ctx, folder); err != nil {
		return err
	}
	title(out, "Start the sandbox: Bitrise, STS, ECR and a registry on loopback")
	cloud, err := sandbox.Start(sandbox.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = cloud.Close() }()

	store := harness.Envstore{Path: filepath.Join(folder, ".envstore.yml"), Bin: folder}
	if err := store.Init(ctx); err != nil {
		return err
	}
	environment := append(cloud.Environ(),
		"HOME="+folder,
		"PATH="+folder+string(os.PathListSeparator)+os.Getenv("PATH"),
		"ENVMAN_ENVSTORE_PATH="+store.Path,
		"DOCKER_CONFIG="+filepath.Join(folder, "docker"),
	)

	title(out, "The Step, as a workflow would run it")
	inputs, err := harness.InputEnvironment(map[string]string{
		"role_arn":     "arn:aws:iam::123456789012:role/bitrise-deploy",
		"docker_login": "true",
	}, environment)
	if err != nil {
		return err
	}
	if err := execute(ctx, out, append(environment, inputs...), filepath.Join(folder, harness.StepProgram)); err != nil {
		return fmt.Errorf("the Step failed: %w", err)
	}

	title(out, "What the next Step sees")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := execute(ctx, out, environment, filepath.Join(folder, "envman"), "run", self, whoami); err != nil {
		return fmt.Errorf("the next Step failed: %w", err)
	}
	return nil
}

// nextStep is the next Step: it is started by envman, with what the Step exported, and asks STS who it is with nothing
// but the SDK's defaults.
func nextStep(ctx context.Context, out io.Writer) error {
	loaded, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	caller, err := sts.NewFromConfig(loaded).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "sts:GetCallerIdentity: %s of account %s\n", aws.ToString(caller.Arn), aws.ToString(caller.Account))
	secrets := []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
	for _, key := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ACCOUNT_ID",
		"AWS_CREDENTIAL_EXPIRATION", "ECR_REGISTRY",
	} {
		value := os.Getenv(key)
		if value == "" {
			return errors.New(key + " is not there")
		}
		if slices.Contains(secrets, key) {
			value = fmt.Sprintf("(%d characters)", len(value))
		}
		_, _ = fmt.Fprintf(out, "%s=%s\n", key, value)
	}
	return nil
}

func execute(ctx context.Context, out io.Writer, environment []string, program string, arguments ...string) error {
	command := exec.CommandContext(ctx, program, arguments...)
	command.Env = environment
	command.Stdout, command.Stderr = out, os.Stderr
	return command.Run()
}

func title(out io.Writer, text string) {
	_, _ = fmt.Fprintf(out, "\n%s\n%s\n", text, strings.Repeat("-", len(text)))
}
