package step

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
)

// stageLogins gets a login to every registry and stages them in Docker's file.
func (s Step) stageLogins(ctx context.Context, staged *staged, a *authenticator, session awsauth.Session) error {
	started := s.Now()
	logins, err := a.ecr.Logins(ctx, dockerlogin.LoginRequest{
		Credentials: session.Credentials, AccountID: session.AccountID, Registries: a.config.Registries, Retry: a.retry("Getting an ECR login"),
	})
	for _, login := range logins {
		s.Log.Protect(login.Password)
	}
	if err != nil {
		return err
	}
	file := staged.files.docker
	change, err := file.PrepareLogins(logins)
	if err != nil {
		return err
	}
	names := hosts(logins)
	staged.registries = names
	s.Log.Printf("Obtained logins for %s; they expire at %s (%s)", strings.Join(names, ", "), clock(earliestExpiry(logins)), a.since(started))
	staged.changes = append(staged.changes, change)
	staged.done = append(staged.done, fmt.Sprintf("Logged in to %s, in %s", strings.Join(names, ", "), file))
	staged.outputs = append(staged.outputs, plain("ECR_REGISTRY", names[0]), plain("ECR_REGISTRIES", strings.Join(names, "\n")))
	return nil
}

// earliestExpiry returns when the first of the logins expires.
func earliestExpiry(logins []dockerlogin.Login) time.Time {
	expires := logins[0].Expires
	for _, login := range logins {
		if login.Expires.Before(expires) {
			expires = login.Expires
		}
	}
	return expires
}

func hosts(logins []dockerlogin.Login) []string {
	var names []string
	for _, login := range logins {
		names = append(names, login.Registry.String())
	}
	return names
}
