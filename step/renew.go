package step

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/bitrise-io/go-utils/v2/env"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// renewalTimeout is how long the credential process may take. The SDK for Go kills it after a minute
// (credentials/processcreds.DefaultTimeout), without a reason that users could see.
const renewalTimeout = 50 * time.Second

// CredentialProcess is the program that the AWS CLI and SDKs run for a profile that [Step.Run] wrote. All fields are required.
type CredentialProcess struct {
	// Environment is what the process was started with. Process is its own environment, in which a renewal sets the kept variables.
	Environment Environment
	Process     env.Repository
	// Program is the program's path. Its files are next to it.
	Program string
	// Stdout receives the credentials. Stderr is the log's stream, which the AWS CLI and SDKs show if the process fails.
	Stdout, Stderr io.Writer
	Now            func() time.Time
	// Exit ends the process. It is called only if Run doesn't return in time.
	Exit func(code int)
}

// Run prints the credentials of the session whose key is the argument. It returns the exit code: 0 for success, 1 for an error, which
// is on standard error, and 2 for invalid arguments.
func (p CredentialProcess) Run(ctx context.Context, arguments []string) int {
	if len(arguments) == 1 && (arguments[0] == "--help" || arguments[0] == "-h") {
		_, _ = io.WriteString(p.Stdout, profile.Usage)
		return 0
	}
	if len(arguments) != 1 {
		_, _ = io.WriteString(p.Stderr, profile.Usage)
		return 2
	}
	folder, session, err := profile.Find(p.Program, arguments[0])
	if err != nil {
		_, _ = fmt.Fprintf(p.Stderr, "%s: %s\n\n%s", profile.ProgramName, err, profile.Usage)
		return 2
	}
	log := report.NewPlainLog(p.Stderr)
	ctx, cancel := context.WithTimeoutCause(ctx, renewalTimeout, errRenewalTimeout)
	defer cancel()
	defer watch(ctx, graceAfterSignal, log, p.Exit, "interrupted or out of time: the credential process did not stop and was terminated")()
	issued, expiration, err := p.credentials(ctx, folder, session, log)
	switch {
	case err == nil:
	case errors.Is(context.Cause(ctx), errRenewalTimeout):
		x := explain.Of(err)
		x.Cause, x.Means = errRenewalTimeout.Error(), append([]string{lastError(err)}, x.Means...)
		log.Explain(x)
		return 1
	case ctx.Err() != nil:
		log.Errorf("interrupted by a signal before there were new credentials")
		return 1
	default:
		log.Explain(explain.Of(err))
		return 1
	}
	if err := profile.Print(p.Stdout, issued, expiration); err != nil {
		log.Errorf("%s: print the credentials: %s", profile.ProgramName, err)
		return 1
	}
	return 0
}

var errRenewalTimeout = fmt.Errorf("no new credentials within %d seconds", int(renewalTimeout.Seconds()))

// credentials returns the credentials of a session. A session that is known to belong to a different build is an error.
func (p CredentialProcess) credentials(
	ctx context.Context, folder profile.Folder, session profile.Session, log *report.Log,
) (credentials.Credentials, time.Time, error) {
	settings, err := folder.Settings(session)
	if err != nil {
		return credentials.Credentials{}, time.Time{}, err
	}
	kept, err := parseKept(settings)
	if err != nil {
		return credentials.Credentials{}, time.Time{}, err
	}
	if own := buildOf(p.Environment); kept.Build.isOther(own) {
		return credentials.Credentials{}, time.Time{}, errOtherBuild(kept.Build, own)
	}
	log.Protect(kept.Inputs.secrets()...)
	return folder.Get(ctx, session, p.Now, func(ctx context.Context) (credentials.Credentials, error) {
		return p.renew(ctx, kept, log.Quiet())
	})
}

// renew obtains the session again, as the run of the Step did.
func (p CredentialProcess) renew(ctx context.Context, kept kept, log *report.Log) (credentials.Credentials, error) {
	inputs := kept.Inputs
	inputs.BuildAPIToken = secret.New(p.Environment.Get(buildTokenVariable))
	log.Protect(inputs.BuildAPIToken)
	switch {
	case kept.GivenToken != "":
		return credentials.Credentials{}, errTokenNotKept()
	case inputs.AccessKeyID.IsEmpty() && inputs.BuildAPIToken.IsEmpty():
		return credentials.Credentials{}, errNoBuildToken()
	}
	config, err := ParseInputs(inputs, p.Now())
	if err != nil {
		return credentials.Credentials{}, err
	}
	environment, err := p.restore(kept.Environment)
	if err != nil {
		return credentials.Credentials{}, err
	}
	authenticator, err := newAuthenticator(ctx, config, environment, log, p.Now)
	if err != nil {
		return credentials.Credentials{}, err
	}
	defer authenticator.http.CloseIdleConnections()
	session, err := authenticator.session(ctx)
	return session.Credentials, err
}

// restore returns the environment with the kept values of the kept variables. It also sets those that AWS's SDK reads in the process.
func (p CredentialProcess) restore(kept Environment) (Environment, error) {
	environment := maps.Clone(p.Environment)
	for _, key := range keptVariables() {
		delete(environment, key)
	}
	maps.Copy(environment, kept)
	for _, key := range awsclient.Variables() {
		var err error
		if value := kept.Get(key); value == "" {
			err = p.Process.Unset(key)
		} else {
			err = p.Process.Set(key, value)
		}
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", key, err)
		}
	}
	return environment, nil
}

func errOtherBuild(owner, own build) error {
	return &explain.Error{
		Err: fmt.Errorf("the profile belongs to build %s, but this process belongs to build %s", owner, own),
		Explanation: explain.Explanation{
			Means: []string{"Builds that share a machine write their profiles to the same file. The other build wrote a profile with " +
				"this name later, so its credentials aren't meant for this build."},
			Do: []string{"Give each build's profile its own name: set aws_profile to bitrise-$BITRISE_BUILD_SLUG."},
		},
	}
}

func errTokenNotKept() error {
	return &explain.Error{
		Err: errors.New("the credentials were obtained with identity_token, which is not kept, so they can't be renewed"),
		Explanation: explain.Explanation{
			Means: []string{"The Step was given an existing identity token. It is valid for only a few minutes, so it can't be used " +
				"to renew the credentials."},
			Do: []string{"Leave identity_token empty, so that the profile can fetch tokens. Or run the Step again with a new " +
				"token before the Step that failed."},
		},
	}
}

func errNoBuildToken() error {
	return &explain.Error{
		Err: errors.New("the variable " + buildTokenVariable + " is not set, so the credentials can't be renewed"),
		Explanation: explain.Explanation{
			Means: []string{"The profile's credentials have expired. To get new ones, this program asks Bitrise for an identity token " +
				"with the build's API token, which it reads from that variable and never stores. Bitrise sets it for every Step, so a " +
				"program in between removed it."},
			Do: []string{
				"Pass the variable on to the program that uses the profile: sudo --preserve-env=" +
					buildTokenVariable + ", docker run --env " + buildTokenVariable + ", or the option of the program that cleared the environment.",
			},
		},
	}
}
