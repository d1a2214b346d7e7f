package dockerlogin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// Login is what opens a registry.
type Login struct {
	// Registry is where the login is valid.
	Registry Registry
	// Username is AWS for every registry of ECR.
	Username string
	// Password is from ECR's authorization token.
	Password secret.Text
	// Expires is when the password ends: 12 hours after it was made, or with the credentials that it was asked with.
	Expires time.Time
}

// Fetcher asks ECR for logins.
type Fetcher struct {
	// Config has the credentials and the HTTP client, and knows the variables that move endpoints.
	Config aws.Config
	// Account is the credentials' own; empty where it is not known.
	Account string
	// Fresh tells that STS has only just issued the credentials, which may therefore be refused at first.
	Fresh bool
	// Retry is how a call is tried again if its fault may pass.
	Retry retry.Policy
	// Now tells the time, for signatures.
	Now func() time.Time
}

// Logins gets a login to every registry, in their order, each name once. A token opens all registries in its Region that
// the credentials may use, so there is one call for each Region, and one for ECR Public, all at once. It needs the permission
// ecr:GetAuthorizationToken; for ECR Public, ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken. If any fails,
// there is no login at all but a [*FetchError] that lists those that failed.
func (f Fetcher) Logins(ctx context.Context, registries []Registry) ([]Login, error) {
	groups := group(registries)
	// Once one has failed for good, nobody waits for another attempt: the run has failed, and what the others' last
	// attempts said is listed.
	waiting, giveUp := context.WithCancel(ctx)
	defer giveUp()
	wait := f.Retry.Wait
	if wait == nil {
		wait = retry.Sleep
	}
	f.Retry.Wait = func(_ context.Context, d time.Duration) error { return wait(waiting, d) }
	notify := f.Retry.Notify
	f.Retry.Notify = func(notice retry.Notice) {
		if notify != nil && waiting.Err() == nil {
			notify(notice)
		}
	}
	// An attempt that is under way then has a moment yet, so that one which never gets an answer holds up nobody.
	const moment = 2 * time.Second
	attempts, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(waiting, func() { time.AfterFunc(moment, cancel) })()

	var all sync.WaitGroup
	for _, g := range groups {
		all.Add(1)
		go func() {
			defer all.Done()
			if g.err = f.authorize(attempts, g); g.err != nil {
				giveUp()
			}
		}()
	}
	all.Wait()
	if err := failures(groups); err != nil {
		return nil, err
	}
	return f.assign(registries, groups), nil
}

// tokenGroup is the registries that one token opens, and the token.
type tokenGroup struct {
	service    service
	region     awsid.Region
	registries []Registry

	token authorization
	err   error
}

// group puts registries together that one token opens, in the order in which they come.
func group(registries []Registry) []*tokenGroup {
	var groups []*tokenGroup
	for _, registry := range registries {
		service := ecr()
		if registry.public {
			service = ecrPublic()
		}
		i := slices.IndexFunc(groups, func(g *tokenGroup) bool { return g.service == service && g.region == registry.region })
		if i < 0 {
			i, groups = len(groups), append(groups, &tokenGroup{service: service, region: registry.region})
		}
		groups[i].registries = append(groups[i].registries, registry)
	}
	return groups
}

// authorize gets a group's token.
func (f Fetcher) authorize(ctx context.Context, g *tokenGroup) error {
	signer := &signer{now: f.Now}
	fresh := awserr.Fresh{Credentials: f.Fresh}
	return f.Retry.Do(ctx, func(ctx context.Context) error {
		body, err := g.service.call(ctx, f.Config, g.region, signer)
		if err != nil {
			return fresh.Mark(err)
		}
		if g.token, err = parseAnswer(g.service.name, body); err != nil {
			return retry.Passing(err, 0)
		}
		// Where the account's own registry is, only the answer says. AWS itself says a host of ECR's.
		if !slices.ContainsFunc(g.registries, f.own) {
			return nil
		}
		if g.token.host == "" {
			return retry.Passing(fmt.Errorf("the answer of %s names no registry", g.service.name), 0)
		}
		if _, known := regionOfHost(g.token.host); !known && !g.service.moved(ctx, f.Config) {
			return retry.Passing(fmt.Errorf("the answer of %s names a registry that is not of ECR: %q", g.service.name, text.Shorten(g.token.host)), 0)
		}
		return nil
	})
}

// own tells whether a registry is the credentials' own one, whose host the service knows better than anybody.
func (f Fetcher) own(r Registry) bool {
	return r.host == "" || (f.Account != "" && r.account.String() == f.Account)
}

// assign gives every registry the login of its group.
func (f Fetcher) assign(registries []Registry, groups []*tokenGroup) []Login {
	var logins []Login
	for _, registry := range registries {
		i := slices.IndexFunc(groups, func(g *tokenGroup) bool { return slices.Contains(g.registries, registry) })
		token := groups[i].token
		if f.own(registry) {
			registry.host = token.host
		}
		if slices.ContainsFunc(logins, func(l Login) bool { return l.Registry.host == registry.host }) {
			continue
		}
		logins = append(logins, Login{Registry: registry, Username: token.username, Password: token.password, Expires: token.expires})
	}
	return logins
}

// authorization is what the services answer.
type authorization struct {
	username string
	password secret.Text
	expires  time.Time
	// host is the registry of the credentials' own account; empty if the answer does not say.
	host string
}

// parseAnswer reads an answer. Its errors speak of the answer's shape, never of its text, which holds a password.
func parseAnswer(service string, body []byte) (authorization, error) {
	type data struct {
		Token    secret.Text `json:"authorizationToken"`
		Expires  float64     `json:"expiresAt"` // seconds since 1970, with fractions
		Endpoint string      `json:"proxyEndpoint"`
	}
	var answer struct {
		Data json.RawMessage `json:"authorizationData"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return authorization{}, fmt.Errorf("the answer of %s, of %d bytes, is not the JSON object that was expected", service, len(body))
	}
	// ECR answers a list, for there was a time when a call could name several accounts; ECR Public answers one object.
	var all []data
	if err := json.Unmarshal(answer.Data, &all); err != nil {
		var one data
		if err := json.Unmarshal(answer.Data, &one); err != nil {
			return authorization{}, fmt.Errorf("%s answered without an authorization token", service)
		}
		all = []data{one}
	}
	if len(all) == 0 || all[0].Token.IsEmpty() {
		return authorization{}, fmt.Errorf("%s answered without an authorization token", service)
	}
	token, err := parseToken(all[0].Token)
	if err != nil {
		return authorization{}, fmt.Errorf("the authorization token of %s %w", service, err)
	}
	if endpoint := all[0].Endpoint; endpoint != "" {
		if token.host, err = parseEndpoint(endpoint); err != nil {
			return authorization{}, fmt.Errorf("the registry in the answer of %s: %w", service, err)
		}
	}
	if seconds := all[0].Expires; seconds > 0 && seconds < math.MaxInt32*100 {
		token.expires = time.UnixMilli(int64(seconds * 1000))
	}
	return token, nil
}

// parseToken takes an authorization token apart, which is base64 of USERNAME:PASSWORD.
func parseToken(token secret.Text) (authorization, error) {
	plain, err := base64.StdEncoding.DecodeString(token.Reveal())
	if err != nil {
		return authorization{}, errors.New("is not base64")
	}
	username, password, found := strings.Cut(string(plain), ":")
	if !found || username == "" || password == "" {
		return authorization{}, errors.New("is not of the shape USERNAME:PASSWORD")
	}
	return authorization{username: username, password: secret.New(password)}, nil
}
