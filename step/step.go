// Package step is one run of the Step: inputs become a [Config], credentials are obtained and verified, registries are logged in to,
// a profile is written, and the outputs are exported. [Step.Run] is that flow. [CredentialProcess] renews a profile's
// credentials with a part of it.
//
// Only this package reads inputs and the environment, and decides what is logged. It connects the packages oidc, awsauth,
// dockerlogin, and profile, which do not know each other.
package step

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// Step is what a run needs from outside. All fields are required.
type Step struct {
	// Environment has the inputs, and everything else that the process was started with.
	Environment Environment
	Log         *report.Log
	// Program is the path of the running program, of which a profile keeps a copy.
	Program string
	Now     func() time.Time
	// Exit ends the process. It is called only if the run does not end in time.
	Exit func(code int)

	// isDone is set once everything that was asked for is in place. What is left to do is to write that to the log.
	isDone atomic.Bool
}

const (
	// graceAfterSignal leaves time to explain, within the second that a process has after a signal.
	graceAfterSignal = 950 * time.Millisecond
	// graceAfterTimeout leaves time to explain.
	graceAfterTimeout = 2 * time.Second
	// timeToExplain is how long it may take to write an explanation to the log and to the build page.
	timeToExplain = 5 * time.Second
)

// Run does everything that the inputs ask for and returns nil, or explains in the log why it could not, exports nothing, and
// returns the error. It ends when ctx is done.
func (s *Step) Run(ctx context.Context) error {
	defer watch(ctx, graceAfterSignal, s.Log, s.exit, stopped(errInterrupted))()
	err := s.run(ctx)
	if err != nil {
		ctx, cancel := context.WithTimeout(ctx, timeToExplain)
		defer cancel()
		defer watch(ctx, graceAfterTimeout, s.Log, s.exit, "the Step could not explain its failure in time and was stopped")()
		s.explain(ctx, err)
	}
	return err
}

// exit ends the process with the exit code of a run that does not end in time.
func (s *Step) exit(code int) {
	if s.isDone.Load() {
		code = 0
	}
	s.Exit(code)
}

func (s *Step) run(ctx context.Context) error {
	inputs, config, err := s.configure()
	timeout := cmp.Or(config.Timeout, defaultTimeout) // of invalid inputs, the timeout is unknown
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, &timeoutError{after: timeout})
	defer cancel()
	defer watch(ctx, graceAfterTimeout, s.Log, s.exit, stopped(&timeoutError{after: timeout}))()
	inputs.print(s.Log)
	if err != nil {
		return err
	}
	if config.IsLogout {
		return interruption(ctx, s.logout(ctx))
	}
	return interruption(ctx, s.login(ctx, inputs, config))
}

// configure reads and checks the inputs. It writes nothing to the log: the log may hang, and what ends the run then needs to know
// the timeout.
func (s *Step) configure() (Inputs, Config, error) {
	inputs, err := readInputs(s.Environment)
	if err != nil {
		return Inputs{}, Config{}, err
	}
	s.Log.Protect(inputs.secrets()...)
	config, err := ParseInputs(inputs, s.Now())
	if config.Verbose {
		s.Log.EnableDebug()
	}
	return inputs, config, err
}

// login obtains credentials and hands them on: it stages all files, with the outputs in the last one, and commits them.
func (s *Step) login(ctx context.Context, inputs Inputs, config Config) error {
	store, err := findEnvstore(s.Environment)
	if err != nil {
		return err
	}
	files, err := s.findFiles(config)
	if err != nil {
		return err
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

	staged := staged{store: store, files: files, outputs: commonOutputs(config.Region, session)}
	defer staged.discard()
	if config.DockerLogin {
		if err := s.stageLogins(ctx, &staged, authenticator, session); err != nil {
			return err
		}
	}
	if config.hasProfile() {
		if err := s.stageProfile(ctx, &staged, config, inputs.keep(s.Environment), session); err != nil {
			return err
		}
	} else {
		staged.outputs = append(credentialOutputs(session.Credentials), staged.outputs...)
	}
	effects := variableEffects(s.Environment, staged.facts(config))
	staged.outputs = append(staged.outputs, effects.outputs...)
	if config.hasProfile() {
		staged.outputs = append(staged.outputs, plain(profileVariable, config.Profile.String()))
	}
	if err := s.commit(ctx, staged); err != nil {
		return err
	}
	effects.print(s.Log)
	if config.hasProfile() {
		if err := files.profiles.Sweep(ctx, files.config); err != nil {
			s.Log.Debugf("Could not remove what earlier profiles have left in %s: %s", files.profiles, explain.OneLine(err))
		}
	}
	return nil
}

// facts returns what the table of variables needs to know about the run.
func (s *staged) facts(config Config) runFacts {
	run := runFacts{
		region: config.Region.String(), profile: config.Profile.String(), registries: s.registries, dockerFile: s.files.docker.String(),
	}
	if config.hasProfile() {
		run.configFile, run.credentialsFile = s.files.config.String(), s.files.config.Credentials()
	}
	return run
}

// staged is what a run is going to change.
type staged struct {
	store   envstore
	files   files
	outputs []output
	// registries are the hosts that Docker is going to be logged in to.
	registries []string
	changes    []*sharedfile.Change
	// done are the lines for the log once the changes are in place.
	done []string
}

// discard removes the changes that were not committed.
func (s *staged) discard() {
	for _, change := range s.changes {
		change.Discard()
	}
}

// commit puts the files into place, envman's store with the outputs last. If it fails, nothing is exported.
func (s *Step) commit(ctx context.Context, staged staged) error {
	started := s.Now()
	outputs := forEnvironment(staged.outputs, s.Environment)
	exports, err := staged.store.prepare(outputs)
	if err != nil {
		return err
	}
	defer exports.Discard()
	if err := sharedfile.Commit(ctx, append(staged.changes, exports)...); err != nil {
		return err
	}
	s.isDone.Store(true)
	for _, line := range staged.done {
		s.Log.Printf("%s", line)
	}
	if len(outputs) > 0 {
		s.Log.Donef("Exported for the next Steps (%s):", elapsed(s.Now().Sub(started)))
		printOutputs(s.Log, outputs)
	}
	return nil
}

// explain writes an error to the log, and to the build page if possible.
func (s *Step) explain(ctx context.Context, err error) {
	var inputs *InputError
	switch {
	case errors.As(err, &inputs):
		logProblems(s.Log, inputs)
	case errors.Is(err, errInterrupted):
		s.Log.Errorf("%s; nothing was exported", errInterrupted)
	default:
		x := explain.Of(err)
		s.Log.Explain(x)
		s.Log.Annotate(ctx, s.Environment.Get("HOME"), x)
	}
}
