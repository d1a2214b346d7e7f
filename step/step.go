// Package step is one run of the Step: inputs become a [Config], credentials are got and shown to work, Docker is logged
// in, a profile is written, and the outputs are exported. [Step.Run] is that way, top to bottom. [CredentialProcess] is the
// part of it that a profile renews its credentials with.
//
// It is the one package that reads inputs and environment variables, and that writes the log. It wires the rooms (oidc,
// awsauth, dockerlogin, profile) together, which do not know each other. It may import Bitrise's libraries and internal
// packages, and must not know AWS's SDK.
package step

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/bitrise-io/go-utils/v2/env"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// Logger is what the Step writes its log with; go-utils' logger is one.
type Logger interface {
	Infof(format string, args ...any)
	Printf(format string, args ...any)
	Donef(format string, args ...any)
	Warnf(format string, args ...any)
	Errorf(format string, args ...any)
	Debugf(format string, args ...any)
	Println()
	EnableDebugLog(enable bool)
}

// Step is what a run needs from outside. All fields are needed.
type Step struct {
	// Environment holds the inputs and the variables that the contract names.
	Environment env.Repository
	Log         Logger
	// Envman exports the outputs.
	Envman Envman
	// Annotations puts explanations on the build's page.
	Annotations Annotator
	// Program is the path of the running program, which a self-renewing profile keeps a copy of.
	Program string
	Now     func() time.Time

	// secrets are those that the run has met, which its log never shows.
	secrets *secret.Keeper
}

// Run does everything that the inputs ask for, or explains in the log why it could not, in which case nothing is
// exported and the error is returned. It ends when ctx does.
func (s Step) Run(ctx context.Context) error {
	s.secrets = new(secret.Keeper)
	s.Log = guardedLog{Logger: s.Log, keeper: s.secrets}
	err := s.run(ctx)
	if err != nil {
		s.explain(ctx, err)
	}
	return err
}

func (s Step) run(ctx context.Context) error {
	config, err := s.configure()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, config.Timeout, &TimeoutError{After: config.Timeout})
	defer cancel()
	if err := s.checkFiles(config); err != nil {
		return err
	}
	client, aws, err := s.connect(ctx, config)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()

	session, err := s.authenticate(ctx, config, client, aws)
	if err != nil {
		return interruption(ctx, err)
	}
	if err := checkAccount(session, config.AllowedAccounts); err != nil {
		return err
	}
	var files undoing
	outputs := credentialOutputs(config.Region, session)
	if config.DockerLogin {
		registries, undo, err := s.logIn(ctx, config, aws, session)
		if err != nil {
			return interruption(ctx, err)
		}
		files, outputs = append(files, undo), append(outputs, registries...)
	}
	if config.Profile.String() != "" {
		undo, err := s.writeProfile(ctx, config, session)
		if err != nil {
			return errors.Join(interruption(ctx, err), files.undo())
		}
		files, outputs = append(files, undo), profileOutputs(outputs, config.Profile)
	}
	if err := s.export(ctx, outputs); err != nil {
		return errors.Join(err, files.undo())
	}
	s.warnOfLeftovers(config.Profile)
	return nil
}

// undoing is what puts files back as they were, in the order in which they were changed.
type undoing []func() error

// undo calls all, the last one first.
func (u undoing) undo() error {
	var problems []error
	for _, undo := range slices.Backward(u) {
		problems = append(problems, undo())
	}
	return errors.Join(problems...)
}

// checkFiles finds out before anything is sent whether the files that are going to be written can be.
func (s Step) checkFiles(config Config) error {
	if config.DockerLogin {
		if err := dockerlogin.FindFile().Check(); err != nil {
			return advise(err, "Repair the file, or move it away: Docker cannot read it either.", "Or set DOCKER_CONFIG to another folder for this workflow.")
		}
	}
	return s.checkProfile(config)
}

// connect makes what Bitrise and AWS are called with, and begins to open the connections.
func (s Step) connect(ctx context.Context, config Config) (*http.Client, awsauth.Config, error) {
	client, err := transport.New(transport.Options{CABundle: s.Environment.Get("AWS_CA_BUNDLE"), Observe: s.logExchange})
	if err != nil {
		return nil, awsauth.Config{}, advise(err, "Set the variable AWS_CA_BUNDLE to the path of a file with certificates in PEM, or unset it.")
	}
	aws, err := awsauth.NewConfig(awsauth.Settings{Region: config.Region, HTTP: client, Getenv: s.Environment.Get})
	if err != nil {
		return nil, awsauth.Config{}, err
	}
	transport.Connect(ctx, client, endpoints(ctx, config, aws)...)
	return client, aws, nil
}

// endpoints are where AWS is going to be called. Connections to them are opened while the identity token is fetched. What is
// wrong with one is for the call itself to say.
func endpoints(ctx context.Context, config Config, aws awsauth.Config) []string {
	var addresses []string
	if address, err := awsauth.Endpoint(ctx, aws); err == nil {
		addresses = append(addresses, address)
	}
	if config.DockerLogin {
		addresses = append(addresses, dockerlogin.Endpoints(ctx, aws, registries(config))...)
	}
	return addresses
}

// warnOfLeftovers tells of what an earlier Step left, which changes nothing here, but could for the Steps that follow.
func (s Step) warnOfLeftovers(written profile.Name) {
	if written.String() != "" {
		s.warnOfShadows(written)
		return
	}
	if profile := s.Environment.Get("AWS_PROFILE"); profile != "" {
		s.Log.Warnf("AWS_PROFILE is set (to %q): some tools take its credentials rather than those that this Step exported; unset it if that is not meant", profile)
	}
}

// configure reads, prints and checks the inputs.
func (s Step) configure() (Config, error) {
	inputs := readInputs(s.Environment)
	s.secrets.Keep(inputs.secrets()...)
	inputs.print(s.Log)
	config, err := ParseInputs(inputs, s.Now())
	if err != nil {
		return Config{}, err
	}
	s.Log.EnableDebugLog(config.Verbose)
	return config, nil
}

// retry is how a call is tried again, which is to do what it says: with a line in the log each time.
func (s Step) retry(what string) retry.Policy {
	return retry.Policy{Notify: func(notice retry.Notice) {
		s.Log.Warnf("Attempt %d to %s failed: %s; the next one comes in %.1f s", notice.Attempt, what, notice.Err, notice.Wait.Seconds())
	}}
}

// logExchange shows a call in the verbose log.
func (s Step) logExchange(exchange transport.Exchange) {
	answer := fmt.Sprint(exchange.StatusCode)
	if exchange.Err != nil {
		answer = exchange.Err.Error()
	}
	connection := "open connection"
	if exchange.NewConnection {
		connection = "new connection"
	}
	s.Log.Debugf("%s %s: %s (%d ms, %s)", exchange.Method, exchange.URL, answer, exchange.Took.Milliseconds(), connection)
}

func (s Step) since(start time.Time) string {
	return fmt.Sprintf("%d ms", s.Now().Sub(start).Milliseconds())
}

// clock writes a time as the log and the outputs do.
func clock(t time.Time) string {
	if t.IsZero() {
		return "a time that the service does not tell"
	}
	return t.UTC().Format(time.RFC3339)
}
