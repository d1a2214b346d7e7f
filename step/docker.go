package step

import (
	"context"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
)

// registries are those that the inputs name, or the account's own.
func registries(config Config) []dockerlogin.Registry {
	if len(config.Registries) == 0 {
		return []dockerlogin.Registry{dockerlogin.OwnRegistry(config.Region)}
	}
	return config.Registries
}

// logIn gets a login to every registry, and stores them all in Docker's file. undo takes them back.
func (s Step) logIn(ctx context.Context, config Config, aws awsauth.Config, session awsauth.Session) (outputs []output, undo func() error, err error) {
	started := s.Now()
	logins, err := s.dockerLogins(ctx, config, aws, session)
	if err == nil {
		err = ctx.Err() // nothing is stored for a run that has ended
	}
	if err != nil {
		return nil, nil, err
	}
	file := dockerlogin.FindFile()
	if undo, err = file.Store(ctx, logins); err != nil {
		return nil, nil, err
	}
	s.Log.Printf("Logged in to %s until %s, in %s (%s)", strings.Join(hosts(logins), ", "), clock(earliest(logins)), file, s.since(started))
	return registryOutputs(logins), undo, nil
}

// dockerLogins gets a login to every registry.
func (s Step) dockerLogins(ctx context.Context, config Config, aws awsauth.Config, session awsauth.Session) ([]dockerlogin.Login, error) {
	aws.Credentials = session
	fetcher := dockerlogin.Fetcher{
		Config: aws, Account: session.AccountID, Fresh: !session.Expires.IsZero(), Retry: s.retry("get a login"), Now: s.Now,
	}
	logins, err := fetcher.Logins(ctx, registries(config))
	for _, login := range logins {
		s.secrets.Keep(login.Password)
	}
	return logins, err
}

// earliest is when the first of the logins ends.
func earliest(logins []dockerlogin.Login) time.Time {
	expires := logins[0].Expires
	for _, login := range logins {
		if login.Expires.Before(expires) {
			expires = login.Expires
		}
	}
	return expires
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
