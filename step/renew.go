package step

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"github.com/bitrise-io/go-utils/v2/env"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// renewalTimeout is how long the credential process may take. Go's SDK kills it after a minute
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

// Run prints the credentials of the session whose key is the argument. It returns the exit code: 0 for success, 1 for an error,
// which is on standard error, and 2 for invalid arguments.
func (p CredentialProcess) Run(ctx context.Context, arguments []string) int {
	key := strings.Join(arguments, " ")
	if key == "--help" {
		_, _ = io.WriteString(p.Stdout, profile.Usage)
		return 0
	}
	folder, session, err := profile.Find(p.Program, key)
	if err != nil {
		_, _ = fmt.Fprintf(p.Stderr, "%s: %s\n\n%s", profile.ProgramName, err, profile.Usage)
		return 2
	}
	log := report.NewPlainLog(p.Stderr)
	cause := fmt.Errorf("no new credentials within %d seconds", int(renewalTimeout.Seconds()))
	ctx, cancel := context.WithTimeoutCause(ctx, renewalTimeout, cause)
	defer cancel()
	defer watch(ctx, graceAfterSignal, log, p.Exit)()
	issued, expiration, err := p.credentials(ctx, folder, session, log)
	if err == nil {
		err = profile.Print(p.Stdout, issued, expiration)
	}
	switch {
	case err == nil:
		return 0
	case ctx.Err() == nil:
		log.Explain(explain.Of(err))
	case errors.Is(endOf(ctx), errInterrupted):
		log.Errorf("%s before there were new credentials", errInterrupted)
	default:
		x := explain.Of(err)
		x.Cause, x.Means = endOf(ctx).Error(), append([]string{lastError(err)}, x.Means...)
		log.Explain(x)
	}
	return 1
}

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
	if owner, own := buildOf(kept), buildOf(p.Environment); owner.isOther(own) {
		return credentials.Credentials{}, time.Time{}, errOtherBuild(owner, own)
	}
	inputs := readInputs(kept)
	inputs.BuildAPIToken = secret.New(p.Environment.Get(buildTokenVariable))
	log.Protect(inputs.secrets()...)
	return folder.Get(ctx, session, p.Now, func(ctx context.Context) (credentials.Credentials, error) {
		return p.renew(ctx, inputs, kept, log.Quiet())
	})
}

// renew obtains the session again, as the run of the Step did.
func (p CredentialProcess) renew(ctx context.Context, inputs Inputs, kept Environment, log *report.Log) (credentials.Credentials, error) {
	switch {
	case !inputs.IdentityToken.IsEmpty():
		return credentials.Credentials{}, errTokenNotKept()
	case inputs.AccessKeyID.IsEmpty() && inputs.BuildAPIToken.IsEmpty():
		return credentials.Credentials{}, errNoBuildToken()
	}
	config, err := ParseInputs(inputs, p.Now())
	if err != nil {
		return credentials.Credentials{}, err
	}
	environment, err := p.restore(kept)
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

// restore returns the environment with the kept values, and sets those that the SDK reads.
func (p CredentialProcess) restore(kept Environment) (Environment, error) {
	environment := maps.Clone(p.Environment)
	for _, key := range keptVariables() {
		environment[key] = kept.Get(key)
	}
	for _, key := range awsclient.Variables() {
		err := p.Process.Unset(key)
		if value := kept.Get(key); value != "" {
			err = p.Process.Set(key, value)
		}
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", key, err)
		}
	}
	return environment, nil
}

// keep returns what a profile keeps from the run that wrote it, as the JSON of an [Environment]: the inputs and the variables that
// affect the session, except for the build's API token, which is written to no file. It reveals the other secrets.
func (in Inputs) keep(environment Environment) secret.Text {
	kept := Environment{}
	in.each(func(key string, value secret.Text, _ bool) { kept[key] = value.Reveal() })
	// These don't affect the session, except for the API token. Neither does aws_profile, but it gives each profile
	// its own session, so that a logout from one doesn't affect the others.
	for _, key := range []string{"action", "build_api_token", "docker_login", "ecr_registries", "timeout", "verbose"} {
		delete(kept, key)
	}
	if token := kept["identity_token"]; token != "" {
		// Each token has its own session, but is not kept, because it is valid for minutes only.
		digest := sha256.Sum256([]byte(token))
		kept["identity_token"] = hex.EncodeToString(digest[:])
	}
	for _, key := range append(keptVariables(), "BITRISE_BUILD_SLUG", "BITRISE_BUILD_URL") {
		kept[key] = environment.Get(key)
	}
	if bundle, err := filepath.Abs(kept[caBundle]); err == nil && kept[caBundle] != "" {
		kept[caBundle] = bundle // a renewal may run in any folder
	}
	maps.DeleteFunc(kept, func(_, value string) bool { return value == "" })
	content, _ := json.MarshalIndent(kept, "", "  ") // cannot fail for strings
	return secret.New(string(content) + "\n")
}

// parseKept returns what [Inputs.keep] returned.
func parseKept(content secret.Text) (Environment, error) {
	var kept Environment
	if err := json.Unmarshal([]byte(content.Reveal()), &kept); err != nil {
		return nil, explain.Advise(errors.New("the settings of the session are damaged"), "Run the Step again.") // err may quote a secret
	}
	return kept, nil
}

const caBundle = "AWS_CA_BUNDLE"

// keptVariables set AWS's endpoints and the trusted certificates. A later Step may change them for its own purposes. Proxies
// are not kept: a renewal uses those of the process that needs the credentials.
func keptVariables() []string { return append(awsclient.Variables(), caBundle) }

func errOtherBuild(owner, own build) error {
	err := fmt.Errorf("the profile belongs to build %s, but this process belongs to build %s", owner, own)
	return &explain.Error{Err: err, Explanation: explain.Explanation{
		Means: []string{"Builds that share a machine write their profiles to the same file. The other build wrote a profile with " +
			"this name later, so its credentials aren't meant for this build."},
		Do: []string{"Give each build's profile its own name: set aws_profile to bitrise-$BITRISE_BUILD_SLUG."},
	}}
}

func errTokenNotKept() error {
	err := errors.New("the credentials were obtained with identity_token, which is not kept, so they can't be renewed")
	return &explain.Error{Err: err, Explanation: explain.Explanation{
		Means: []string{"The Step was given an existing identity token. It is valid for only a few minutes, so it can't be used " +
			"to renew the credentials."},
		Do: []string{"Leave identity_token empty, so that the profile can fetch tokens. Or run the Step again with a new " +
			"token before the Step that failed."},
	}}
}

func errNoBuildToken() error {
	err := errors.New("the variable " + buildTokenVariable + " is not set, so the credentials can't be renewed")
	return &explain.Error{Err: err, Explanation: explain.Explanation{
		Means: []string{"The profile's credentials have expired. To get new ones, this program asks Bitrise for an identity token " +
			"with the build's API token, which it reads from that variable and never stores. Bitrise sets it for every Step, so a " +
			"program in between removed it."},
		Do: []string{"Pass the variable on to the program that uses the profile: sudo --preserve-env=" + buildTokenVariable +
			", docker run --env " + buildTokenVariable + ", or the option of the program that cleared the environment."},
	}}
}
