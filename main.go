// Authenticate with AWS is a Bitrise Step: it exchanges a build's identity token for temporary AWS credentials and exports them
// for the Steps that follow. This file only connects it to the operating system.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bitrise-io/go-utils/v2/env"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/step"
)

func main() {
	os.Exit(run())
}

// run returns the exit code: 0 if the Step succeeded, else 1, with the reason in the log. With the subcommand credential-process,
// it prints the credentials of a profile instead.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// The run continues without a reader of its log. Programs that the Step starts would inherit a signal that is ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	// net/http quotes unexpected responses in the standard log, which does not redact secrets.
	log.SetOutput(io.Discard)

	process := env.NewRepository()
	environment, err := step.TakeEnvironment(process)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	if len(os.Args) > 1 && os.Args[1] == profile.Subcommand {
		renewal := step.CredentialProcess{
			Environment: environment, Process: process, Program: program, Stdout: os.Stdout, Stderr: os.Stderr, Now: time.Now, Exit: os.Exit,
		}
		return renewal.Run(ctx, os.Args[2:])
	}
	run := step.Step{
		Environment: environment, Log: report.NewLog(os.Stdout), Program: program, Now: time.Now, Exit: os.Exit,
	}
	if err := run.Run(ctx); err != nil {
		return 1
	}
	return 0
}
