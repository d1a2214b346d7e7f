package step

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/bitrise-io/go-utils/v2/env"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// renewalTimeout is how long the credential process may take. AWS's SDK for Go ends it after a minute
// (credentials/processcreds.DefaultTimeout), and then nobody would read why.
const renewalTimeout = 50 * time.Second

// IsCredentialProcess tells whether the program was started under the name that it is kept by as a credential process.
func IsCredentialProcess(program string) bool { return filepath.Base(program) == profile.ProgramName }

// CredentialProcess is the program as AWS's CLI and SDKs run it for a profile that [Step.Run] has written. All fields are
// needed. Standard output carries the credentials alone; what there is to say goes to standard error, which SDKs show.
type CredentialProcess struct {
	Environment env.Repository
	// Program is the program's path, which tells where its settings are.
	Program        string
	Stdout, Stderr io.Writer
	Now            func() time.Time

	// secrets are those that the process has met, which standard error never shows.
	secrets *secret.Keeper
}

// Run prints the credentials of the session whose key is the argument, and returns the exit code: 0 if it did, 1 if there
// are none, with the reason on standard error, 2 if it was started in another way.
func (p CredentialProcess) Run(ctx context.Context, arguments []string) int {
	if len(arguments) == 1 && (arguments[0] == "--help" || arguments[0] == "-h") {
		_, _ = io.WriteString(p.Stdout, profile.Usage)
		return 0
	}
	if len(arguments) != 1 {
		_, _ = io.WriteString(p.Stderr, profile.Usage)
		return 2
	}
	key, err := profile.ParseKey(arguments[0])
	if err != nil {
		_, _ = fmt.Fprintf(p.Stderr, "%s: %s\n\n%s", profile.ProgramName, err, profile.Usage)
		return 2
	}
	p.secrets = new(secret.Keeper)
	ctx, cancel := context.WithTimeout(ctx, renewalTimeout)
	defer cancel()
	folder := profile.FolderOf(p.Program)
	answer, err := folder.Cache(key).Get(ctx, p.Now, func(ctx context.Context) (profile.Credentials, error) {
		return p.renew(ctx, folder, key)
	})
	if err != nil {
		p.explain(ctx, err)
		return 1
	}
	if answer.Problem != nil {
		p.step(plainLog{w: p.Stderr}).Log.Warnf("%s: the credentials end at %s; %s", profile.ProgramName, clock(answer.Expires), oneLine(answer.Problem))
	}
	if err := profile.Print(p.Stdout, answer); err != nil {
		_, _ = fmt.Fprintf(p.Stderr, "%s: print the credentials: %s\n", profile.ProgramName, err)
		return 1
	}
	return 0
}

// explain writes an error to standard error as the Step writes it to its log.
func (p CredentialProcess) explain(ctx context.Context, err error) {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("no new credentials within %d seconds; at the end: %w", int(renewalTimeout.Seconds()), err)
	case ctx.Err() != nil:
		err = errors.New("interrupted by a signal before there were new credentials")
	}
	p.step(plainLog{w: p.Stderr}).explain(ctx, err)
}

// step is a Step that says what it says by log, and whose log shows no secret.
func (p CredentialProcess) step(log Logger) Step {
	return Step{Log: guardedLog{Logger: log, keeper: p.secrets}, Annotations: noAnnotations{}, Now: p.Now, secrets: p.secrets}
}

// renew gets the session again, the way a run of the Step got it.
func (p CredentialProcess) renew(ctx context.Context, folder profile.Folder, key profile.Key) (profile.Credentials, error) {
	settings, err := folder.Settings(key)
	if err != nil {
		return profile.Credentials{}, err
	}
	environment := renewalEnvironment{settings: settings, token: strings.TrimSpace(p.Environment.Get(buildTokenVariable))}
	if settings.Get(givenToken) != "" {
		return profile.Credentials{}, givenTokenEnded()
	}
	if settings.Get("access_key_id") == "" && environment.token == "" {
		return profile.Credentials{}, noBuildToken()
	}
	s := p.step(quietLog{plainLog{w: p.Stderr}})
	s.Environment = environment
	session, err := s.renewed(ctx)
	return credentials(session), err
}

// renewed is the part of a run that ends in credentials.
func (s Step) renewed(ctx context.Context) (awsauth.Session, error) {
	config, err := s.configure()
	if err != nil {
		return awsauth.Session{}, err
	}
	client, aws, err := s.connect(ctx, config)
	if err != nil {
		return awsauth.Session{}, err
	}
	defer client.CloseIdleConnections()
	session, err := s.authenticate(ctx, config, client, aws)
	if err != nil {
		return awsauth.Session{}, err
	}
	return session, checkAccount(session, config.AllowedAccounts)
}

// renewalError is why a renewal was not tried.
type renewalError struct{ cause, means, do string }

func (e *renewalError) Error() string { return e.cause }

// Explain tells what to do.
func (e *renewalError) Explain() (explain.Explanation, bool) {
	return explain.Explanation{Cause: e.cause, Means: []string{e.means}, Do: []string{e.do}}, true
}

func givenTokenEnded() error {
	return &renewalError{
		cause: "the session of the given identity_token ends, and the token is not kept, so there is no other",
		means: "The Step was given a ready identity token. It lives for minutes only, so it cannot renew credentials that last for longer.",
		do:    "Leave identity_token of the Step empty, so that the profile can fetch tokens by itself; or run the Step again, with a new token, before this one.",
	}
}

func noBuildToken() error {
	return &renewalError{
		cause: "the variable " + buildTokenVariable + " is empty, so the credentials cannot be renewed",
		means: "The profile's credentials have come to their end. To get new ones, this program asks Bitrise for an identity token with the build's API token, which it keeps in no file and reads from that variable. Bitrise sets it for every Step; something in between took it away.",
		do:    "Let the variable through to the program that uses the profile: with sudo --preserve-env=" + buildTokenVariable + ", docker run --env " + buildTokenVariable + ", or by whatever cleared the environment.",
	}
}
