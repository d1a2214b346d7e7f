package step

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
)

// stageLogins gets a login to every registry and stages them in Docker's file.
func (s *Step) stageLogins(ctx context.Context, staged *staged, a *authenticator, session awsauth.Session) error {
	started := s.Now()
	logins, err := a.ecr.Logins(ctx, dockerlogin.LoginRequest{
		Credentials: session.Credentials, AccountID: session.AccountID, Registries: a.config.Registries, Retry: a.retry("Getting an ECR login"),
	})
	var names []string
	for _, login := range logins {
		s.Log.Protect(login.Password)
		names = append(names, login.Registry.String())
	}
	if err != nil {
		return err
	}
	file := staged.files.docker
	change, err := file.PrepareLogins(logins)
	if err != nil {
		return err
	}
	staged.registries = names
	first := slices.MinFunc(logins, func(x, y dockerlogin.Login) int { return x.Expires.Compare(y.Expires) })
	s.Log.Printf("Obtained logins for %s; they expire at %s (%s)", strings.Join(names, ", "), clock(first.Expires), a.since(started))
	staged.changes = append(staged.changes, change)
	staged.done = append(staged.done, fmt.Sprintf("Logged in to %s, in %s", strings.Join(names, ", "), file))
	staged.outputs = append(staged.outputs, plain("ECR_REGISTRY", names[0]), plain("ECR_REGISTRIES", strings.Join(names, "\n")))
	return nil
}
