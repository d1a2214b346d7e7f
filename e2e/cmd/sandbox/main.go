// Command sandbox runs the local cloud until Ctrl-C. It prints shell commands that set the environment variables for the Step,
// the AWS SDKs, and the AWS CLI, and logs one line per call.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

// run closes out once the sandbox is ready, so that a script that reads the variables from a pipe can wait for it.
func run(ctx context.Context, arguments []string, out io.WriteCloser, log io.Writer) error {
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	flags.SetOutput(log)
	config := flags.String("config", "", "JSON `file` with accounts, providers, roles, and users (default: one of each)")
	issuer := flags.String("issuer", "", "iss claim of the identity tokens (default: the sandbox's address, where verifiers find the keys)")
	subject := flags.String("subject", "", "`form` of the sub claim, with {NAME} for other claims (default: "+sandbox.DefaultSubject+")")
	requestedSubject := flags.String("requested-subject", "",
		"`what` to do with a sub that callers request: use, replace, or reject (default: ignore it)")
	everyClaim := flags.Bool("every-claim", false, "make every claim a condition key, not only those that AWS documents")
	faults := flags.String("faults", "", "`file` with a script of faults to inject")
	useTLS := flags.Bool("tls", false, "use TLS, with a certificate authority created at startup")
	bitrisePort := flags.Int("port-bitrise", 0, "port of Bitrise (default: any free port)")
	awsPort := flags.Int("port-aws", 0, "port of STS, ECR, and ECR Public (default: any free port)")
	user := flags.String("user", "", "also print the access key of this `user`, such as ci")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	options := sandbox.Options{
		Issuer: *issuer, TLS: *useTLS, BitrisePort: *bitrisePort, AWSPort: *awsPort,
		Log: func(format string, args ...any) { _, _ = fmt.Fprintf(log, format+"\n", args...) },
	}
	if err := readFiles(&options, *config, *faults); err != nil {
		return err
	}
	if *subject != "" {
		options.Config.Subject = *subject
	}
	if *requestedSubject != "" {
		options.Config.RequestedSubject = sandbox.RequestedSubject(*requestedSubject)
	}
	if *everyClaim {
		options.Config.EveryClaim = true
	}
	cloud, err := sandbox.Start(options)
	if err != nil {
		return err
	}
	environment := cloud.Environ()
	if *user != "" {
		key := cloud.User(*user)
		if key.ID == "" {
			return errors.Join(fmt.Errorf("user %q does not exist", *user), cloud.Close())
		}
		environment = append(environment, "AWS_ACCESS_KEY_ID="+key.ID, "AWS_SECRET_ACCESS_KEY="+key.Secret, "AWS_SESSION_TOKEN=")
	}
	for _, entry := range environment {
		key, value, _ := strings.Cut(entry, "=")
		_, _ = fmt.Fprintf(out, "export %s='%s'\n", key, value)
	}
	if err := out.Close(); err != nil {
		return errors.Join(err, cloud.Close())
	}
	_, _ = fmt.Fprintln(log, "The sandbox is running. Run the lines above in another shell. Press Ctrl-C to stop.")
	<-ctx.Done()
	return cloud.Close()
}

func readFiles(options *sandbox.Options, config, faults string) error {
	options.Config = sandbox.DefaultConfig()
	if config != "" {
		data, err := os.ReadFile(config)
		if err != nil {
			return err
		}
		if options.Config, err = sandbox.ParseConfig(data); err != nil {
			return err
		}
	}
	if faults != "" {
		file, err := os.Open(faults)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		if options.Faults, err = sandbox.ParseFaults(file); err != nil {
			return err
		}
	}
	return nil
}
