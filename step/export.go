package step

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// output is one variable for the Steps that follow.
type output struct {
	key   string
	value secret.Text
	// sensitive makes Bitrise redact the value in the logs of the Steps that follow.
	sensitive bool
}

// credentialOutputs are the outputs of every run, in the order they are exported in. Those whose value is not known are
// exported empty, so that one of an earlier Step does not linger beside credentials that it does not belong to.
func credentialOutputs(region awsid.Region, session awsauth.Session) []output {
	var expiration string
	if !session.Expires.IsZero() {
		expiration = clock(session.Expires)
	}
	return []output{
		{key: "AWS_ACCESS_KEY_ID", value: session.AccessKeyID, sensitive: true},
		{key: "AWS_SECRET_ACCESS_KEY", value: session.SecretAccessKey, sensitive: true},
		{key: "AWS_SESSION_TOKEN", value: session.SessionToken, sensitive: true},
		plain("AWS_REGION", region.String()),
		plain("AWS_DEFAULT_REGION", region.String()),
		plain("AWS_ACCOUNT_ID", session.AccountID),
		plain("AWS_CREDENTIAL_EXPIRATION", expiration),
		plain("AWS_CALLER_ARN", session.CallerARN),
	}
}

// registryOutputs name the registries that Docker was logged in to, of which there is at least one.
func registryOutputs(logins []dockerlogin.Login) []output {
	names := hosts(logins)
	return []output{plain("ECR_REGISTRY", names[0]), plain("ECR_REGISTRIES", strings.Join(names, "\n"))}
}

func hosts(logins []dockerlogin.Login) []string {
	names := make([]string, 0, len(logins))
	for _, login := range logins {
		names = append(names, login.Registry.String())
	}
	return names
}

func plain(key, value string) output { return output{key: key, value: secret.New(value)} }

// Envman sets a variable for the Steps that follow. The value may be a secret, and must get into no log, error, argument
// list or file but envman's own.
type Envman interface {
	Add(ctx context.Context, key string, value secret.Text, sensitive bool) error
}

// export adds all outputs. If one fails, those that were added are emptied again, since envman cannot take one back.
func (s Step) export(ctx context.Context, outputs []output) error {
	for i, out := range outputs {
		if err := s.Envman.Add(ctx, out.key, out.value, out.sensitive); err != nil {
			// The failing one too: nobody knows how far it got.
			return errors.Join(interruption(ctx, fmt.Errorf("export %s: %w", out.key, err)), s.empty(ctx, outputs[:i+1]))
		}
	}
	s.Log.Donef("Exported for the next Steps:")
	for _, out := range outputs {
		value := out.value.Reveal()
		switch {
		case value == "":
			value = "(empty)"
		case out.sensitive:
			value = secret.Redacted
		}
		s.Log.Printf("- %s: %s", out.key, strings.ReplaceAll(value, "\n", "\n  "))
	}
	return nil
}

// empty takes back what export did. It goes on although ctx has ended, but not for long: a Step that was told to end has
// a second.
func (s Step) empty(ctx context.Context, outputs []output) error {
	const patience = 800 * time.Millisecond

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	var problems []error
	for _, out := range outputs {
		if err := s.Envman.Add(ctx, out.key, secret.Text{}, false); err != nil {
			problems = append(problems, fmt.Errorf("empty %s again: %w", out.key, err))
		}
	}
	return errors.Join(problems...)
}

// EnvmanProgram is [Envman] by the program on the PATH, https://github.com/bitrise-io/envman.
type EnvmanProgram struct{}

// Add runs "envman add", the value on its standard input, so that it stands in no argument list. go-utils' command is not
// used for it, because a context cannot end that.
func (EnvmanProgram) Add(ctx context.Context, key string, value secret.Text, sensitive bool) error {
	arguments := []string{"add", "--key", key, "--no-expand"}
	if sensitive {
		arguments = append(arguments, "--sensitive")
	}
	command := exec.CommandContext(ctx, "envman", arguments...)
	command.Stdin = strings.NewReader(value.Reveal())
	// envman logs every value at its debug level, which a variable that the user set turns on.
	command.Env = append(command.Environ(), "LOGLEVEL=error")
	printed, err := command.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	said := strings.Join(strings.Fields(secret.Scrub(string(printed), value)), " ")
	if said == "" {
		return fmt.Errorf("envman: %w", err)
	}
	return fmt.Errorf("envman: %w: %s", err, said)
}
