// Command sandbox runs the local cloud for a person: it prints, as lines for a shell, the variables that point the Step,
// any AWS SDK and the AWS CLI at it, logs a line a call, and ends with Ctrl-C.
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

func run(ctx context.Context, arguments []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	flags.SetOutput(log)
	config := flags.String("config", "", "JSON `file` with accounts, providers, roles and users; empty: one of each")
	issuer := flags.String("issuer", "", "iss of the identity tokens; empty: the sandbox's own address, where any verifier finds the keys")
	faults := flags.String("faults", "", "`file` with a script of faults to play")
	useTLS := flags.Bool("tls", false, "speak TLS, with an authority made at the start")
	bitrisePort := flags.Int("port-bitrise", 0, "port of Bitrise; 0: any that is free")
	awsPort := flags.Int("port-aws", 0, "port of STS, ECR and ECR Public; 0: any that is free")
	user := flags.String("user", "", "print the access key of this `user` too, such as ci")
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
	cloud, err := sandbox.Start(options)
	if err != nil {
		return err
	}
	environment := cloud.Environ()
	if *user != "" {
		key := cloud.User(*user)
		if key.ID == "" {
			return errors.Join(fmt.Errorf("there is no user %q", *user), cloud.Close())
		}
		environment = append(environment, "AWS_ACCESS_KEY_ID="+key.ID, "AWS_SECRET_ACCESS_KEY="+key.Secret, "AWS_SESSION_TOKEN=")
	}
	for _, entry := range environment {
		key, value, _ := strings.Cut(entry, "=")
		_, _ = fmt.Fprintf(out, "export %s='%s'\n", key, value)
	}
	_, _ = fmt.Fprintln(log, "The sandbox is up. Export the lines above in another shell; Ctrl-C ends it.")
	<-ctx.Done()
	return cloud.Close()
}

func readFiles(options *sandbox.Options, config, faults string) error {
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
