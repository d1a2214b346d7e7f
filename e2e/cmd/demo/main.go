// Command demo runs the Step against the sandbox, with the inputs of step.yml and the real envman. Then it shows what the next
// Step sees: its identity according to STS, and its environment variables. Nothing leaves the machine, and only files in a
// temporary directory are written.
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

// whoami is the argument that makes the demo act as the next Step.
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
	title(out, "Start the sandbox: Bitrise, STS, ECR, and a registry on loopback")
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

	title(out, "Run the Step as a workflow does")
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

// nextStep acts as the next Step: envman starts it with what the Step exported, and it asks STS for its identity with the SDK's
// defaults.
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
			return errors.New(key + " is not set")
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
