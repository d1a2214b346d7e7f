package step

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/command"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// output is a variable for the Steps that follow.
type output struct {
	key   string
	value secret.Text
	// isSensitive makes Bitrise redact the value in the logs of the Steps that follow.
	isSensitive bool
}

// isProfileName reports whether the variable names a profile. SDKs reject an empty name.
func (o output) isProfileName() bool {
	return o.key == profileVariable || o.key == "AWS_DEFAULT_PROFILE"
}

func plain(key, value string) output { return output{key: key, value: secret.New(value)} }

const expirationVariable = "AWS_CREDENTIAL_EXPIRATION"

// credentialOutputs are the outputs of every run without a profile. What is unknown is exported empty, so that the value of an
// earlier Step does not remain next to credentials that it does not belong to.
func credentialOutputs(session awsauth.Session) []output {
	var expiration string
	if !session.Expires.IsZero() {
		expiration = clock(session.Expires)
	}
	return []output{
		{key: "AWS_ACCESS_KEY_ID", value: session.AccessKeyID, isSensitive: true},
		{key: "AWS_SECRET_ACCESS_KEY", value: session.SecretAccessKey, isSensitive: true},
		{key: "AWS_SESSION_TOKEN", value: session.SessionToken, isSensitive: true},
		plain(expirationVariable, expiration),
	}
}

// emptyCredentialOutputs take away exported credentials. A variable that is not set stays so: to some SDKs, an empty variable is a
// value.
func emptyCredentialOutputs(environment Environment) []output {
	var outputs []output
	for _, out := range credentialOutputs(awsauth.Session{}) {
		if _, found := environment[out.key]; found {
			outputs = append(outputs, plain(out.key, ""))
		}
	}
	return outputs
}

// commonOutputs are the outputs of every run.
func commonOutputs(region awsid.Region, session awsauth.Session) []output {
	return []output{
		plain("AWS_REGION", region.String()),
		plain("AWS_DEFAULT_REGION", region.String()),
		plain("AWS_ACCOUNT_ID", session.AccountID),
		plain("AWS_CALLER_ARN", session.CallerARN),
	}
}

// Envman sets a variable for the Steps that follow. The value may be a secret.
type Envman interface {
	Add(ctx context.Context, key string, value secret.Text, isSensitive bool) error
}

// EnvmanProgram is [Envman] by the program on the PATH, https://github.com/bitrise-io/envman. go-utils' exporter is not used: it
// passes the value in the argument list, knows no context, and its errors repeat the value.
type EnvmanProgram struct{}

// Add runs "envman add" with the value on its standard input.
func (EnvmanProgram) Add(ctx context.Context, key string, value secret.Text, isSensitive bool) error {
	arguments := []string{"add", "--key", key, "--no-expand"}
	if isSensitive {
		arguments = append(arguments, "--sensitive")
	}
	// envman logs every value at its debug level, which users can turn on.
	err := command.Run(ctx, strings.NewReader(value.Reveal()), []string{"LOGLEVEL=error"}, "envman", arguments...)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return explain.Advise(fmt.Errorf("envman: %w", err), envmanAdvice(err)...)
}

// exporter exports outputs, all or none.
type exporter struct {
	envman Envman
	log    *report.Log
	// done are the outputs that were exported, and the one that failed: it may have been stored all the same.
	done []output
}

// export exports outputs in their order.
func (e *exporter) export(ctx context.Context, outputs ...output) error {
	for _, out := range outputs {
		err := e.envman.Add(ctx, out.key, out.value, out.isSensitive)
		if !errors.Is(err, exec.ErrNotFound) { // without envman, nothing was stored
			e.done = append(e.done, out)
		}
		if err != nil {
			return fmt.Errorf("export %s: %w", out.key, err)
		}
	}
	return nil
}

// empty takes back what was exported by exporting it empty, secrets first, because there may not be time for all. It writes to the
// log what could not be emptied, and reports whether there is nothing of that kind. A profile's name is left alone.
func (e *exporter) empty(ctx context.Context) bool {
	ctx, cancel := withGrace(ctx)
	defer cancel()
	var left []string
	var lastErr error
	for _, isSensitive := range []bool{true, false} {
		for _, out := range e.done {
			if out.isSensitive != isSensitive || out.isProfileName() {
				continue
			}
			if err := e.envman.Add(ctx, out.key, secret.Text{}, false); err != nil {
				left, lastErr = append(left, out.key), err
			}
		}
	}
	if len(left) > 0 {
		e.log.Errorf("Could not empty these outputs again, so the next Steps may see them: %s: %s",
			strings.Join(left, ", "), explain.OneLine(lastErr))
	}
	return len(left) == 0
}

// withGrace returns a context for cleaning up. It outlives parent by a moment only, because a process that receives a signal is
// expected to end within a second.
func withGrace(parent context.Context) (context.Context, context.CancelFunc) {
	const grace = 700 * time.Millisecond

	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() { time.AfterFunc(grace, cancel) })
	return ctx, func() { stop(); cancel() }
}

// print lists what was exported.
func (e *exporter) print() {
	for _, out := range e.done {
		value := out.value.Reveal()
		switch {
		case value == "":
			value = "(empty)"
		case out.isSensitive:
			value = secret.Redacted
		}
		e.log.Printf("- %s: %s", out.key, strings.ReplaceAll(value, "\n", "\n  "))
	}
}
