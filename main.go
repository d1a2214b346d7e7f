// Authenticate with AWS is a Bitrise Step: it exchanges a build's identity token for temporary AWS credentials and
// exports them for the Steps that follow. This file only wires it to the machine.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bitrise-io/go-utils/v2/env"
	"github.com/bitrise-io/go-utils/v2/log"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/step"
)

func main() {
	os.Exit(run())
}

// run returns the exit code: 0 if everything that was asked for is done, else 1, with the reason in the log. As a profile's
// credential process, for which the Step keeps a copy of this program under another name, it prints credentials.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	environment := env.NewRepository()
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	if step.IsCredentialProcess(os.Args[0]) {
		process := step.CredentialProcess{Environment: environment, Program: program, Stdout: os.Stdout, Stderr: os.Stderr, Now: time.Now}
		return process.Run(ctx, os.Args[1:])
	}
	run := step.Step{
		Environment: environment,
		Log:         log.NewLogger(),
		Envman:      step.EnvmanProgram{},
		Annotations: step.BitriseAnnotations{Home: environment.Get("HOME")},
		Program:     program,
		Now:         time.Now,
	}
	if err := run.Run(ctx); err != nil {
		return 1
	}
	return 0
}
