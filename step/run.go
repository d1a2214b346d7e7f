// Package step is one run of the Step. [Step.Run] parses the inputs into a [Config], obtains and verifies credentials, logs
// Docker in to registries, writes a profile, and exports the outputs. [CredentialProcess] renews a profile's credentials.
//
// Only this package reads inputs and the environment, and decides what is logged. It connects the packages oidc, awsauth,
// dockerlogin, and profile, which don't import each other.
package step

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
)

// Step has what a run needs from outside. All fields are required.
type Step struct {
	// Environment has the inputs and all other variables that the process was started with.
	Environment Environment
	Log         *report.Log
	// Program is the path of the running program. A profile keeps a copy of it.
	Program string
	Now     func() time.Time
	// Exit ends the process. It is called only if the run doesn't stop in time.
	Exit func(code int)

	// isDone is set when all changes are in place. Only the log is left to write.
	isDone atomic.Bool
}

// Run does what the inputs ask for. If it fails, it exports nothing, explains the error in the log, and returns it.
func (s *Step) Run(ctx context.Context) error {
	defer watch(ctx, graceAfterSignal, s.Log, s.exit)()
	err := s.run(ctx)
	if err != nil {
		ctx, cancel := context.WithTimeoutCause(ctx, timeToExplain, errors.New("reporting the error took too long"))
		defer cancel()
		defer watch(ctx, graceAfterTimeout, s.Log, s.exit)()
		s.explain(ctx, err)
	}
	return err
}

func (s *Step) run(ctx context.Context) error {
	// Nothing is logged until the watchdog knows the timeout, because the log may hang.
	inputs := readInputs(s.Environment)
	s.Log.Protect(inputs.secrets()...)
	config, err := ParseInputs(inputs, s.Now())
	if config.Verbose {
		s.Log.EnableDebug()
	}
	timeout := cmp.Or(config.Timeout, defaultTimeout) // the timeout of invalid inputs is unknown
	cause := fmt.Errorf("timed out after %d seconds (input: timeout)", int(timeout.Seconds()))
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, cause)
	defer cancel()
	defer watch(ctx, graceAfterTimeout, s.Log, s.exit)()
	inputs.print(s.Log)
	if err != nil {
		return err
	}
	s.Log.Printf("")
	if config.IsLogout {
		return interruption(ctx, s.logout(ctx, config))
	}
	return interruption(ctx, s.login(ctx, inputs, config))
}

// login obtains credentials, stages all files, with the outputs in the last one, and commits them.
func (s *Step) login(ctx context.Context, inputs Inputs, config Config) error {
	if config.HasPolicyGap {
		s.Log.Warnf("inline_session_policy has an empty path segment (//) or an empty string (\"\"). If a policy variable such as " +
			"${aws:userid} is missing there, Bitrise expanded it. Add opts: {is_expand: false} to the input.")
	}
	files, err := s.findFiles(config)
	if err != nil {
		return err
	}
	moved, err := movedEndpoints(s.Environment, config.DockerLogin)
	if err != nil {
		return err
	}
	for _, line := range moved {
		s.Log.Printf("%s", line)
	}
	authenticator, err := newAuthenticator(ctx, config, s.Environment, s.Log, s.Now)
	if err != nil {
		return err
	}
	defer authenticator.http.CloseIdleConnections()
	authenticator.asksForSubject = true
	session, err := authenticator.session(ctx)
	if err != nil {
		return err
	}

	staged := &staged{config: config, files: files, outputs: loginOutputs(s.Environment, config, session)}
	defer staged.discard()
	if config.hasProfile() {
		if err := s.stageProfile(ctx, staged, inputs.keep(s.Environment), session); err != nil {
			return err
		}
	}
	if config.DockerLogin {
		if err := s.stageLogins(ctx, staged, authenticator, session); err != nil {
			return err
		}
	}
	if err := s.stageRecord(staged); err != nil {
		return err
	}
	staged.checkVariables(s.Environment)
	if err := s.commit(ctx, staged); err != nil {
		return err
	}
	if config.hasProfile() || config.DockerLogin {
		if err := s.sweep(ctx, files.folder); err != nil {
			s.Log.Debugf("Could not remove all files of earlier builds from %s: %s", files.folder, explain.OneLine(err))
		}
	}
	return nil
}
