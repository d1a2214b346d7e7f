// Package step is one run of the Step: inputs become a [Config], credentials are got and shown to work, Docker is logged
// in, and the outputs are exported. [Step.Run] is that way, top to bottom.
//
// It is the one package that reads inputs and environment variables, and that writes the log. It wires the rooms (oidc,
// awsauth, dockerlogin, profile) together, which do not know each other. It must not know AWS's SDK.
package step

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bitrise-io/go-utils/v2/env"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
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
	if config.DockerLogin {
		if err := dockerlogin.FindFile().Check(); err != nil {
			return advise(err, "Repair the file, or move it away: Docker cannot read it either.", "Or set DOCKER_CONFIG to another folder for this workflow.")
		}
	}
	if err := s.checkProfile(config); err != nil {
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
	outputs := credentialOutputs(config.Region, session)
	undo := func() error { return nil }
	if config.DockerLogin {
		logins, err := s.dockerLogins(ctx, config, aws, session)
		if err != nil {
			return interruption(ctx, err)
		}
		if undo, err = s.store(ctx, logins); err != nil {
			return interruption(ctx, err)
		}
		outputs = append(outputs, registryOutputs(logins)...)
	}
	if config.Profile.String() != "" {
		undoProfile, err := s.writeProfile(ctx, config, session)
		if err != nil {
			return errors.Join(interruption(ctx, err), undo())
		}
		undoLogin := undo
		undo = func() error { return errors.Join(undoProfile(), undoLogin()) }
		outputs = profileOutputs(outputs, config.Profile)
	}
	if err := s.export(ctx, outputs); err != nil {
		return errors.Join(err, undo())
	}
	s.warnOfLeftovers(config.Profile)
	return nil
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

// authenticate gets credentials that work, from whichever source the inputs name, and walks the role chain from there.
func (s Step) authenticate(ctx context.Context, config Config, client *http.Client, aws awsauth.Config) (awsauth.Session, error) {
	session, err := s.firstSession(ctx, config, client, aws)
	if err != nil || len(config.Chain) == 0 {
		return session, err
	}
	chain := awsauth.Chain{
		Roles: config.Chain, SessionName: config.SessionName, ExternalID: config.ExternalID, Tags: config.Tags,
		Settings: config.Settings, Retry: s.retry(),
		Assumed: func(hop int, session awsauth.Session) {
			s.keep(session.Keys)
			s.Log.Printf("Hop %d of %d: got the credentials of %s until %s", hop, len(config.Chain), caller(session), clock(session.Expires))
		},
	}
	return chain.Session(ctx, aws, session)
}

func (s Step) firstSession(ctx context.Context, config Config, client *http.Client, aws awsauth.Config) (awsauth.Session, error) {
	if config.AccessKeys != nil {
		session, err := awsauth.AccessKeys{Keys: *config.AccessKeys, Retry: s.retry()}.Session(ctx, aws)
		if err == nil {
			s.Log.Printf("Verified the access key of %s", caller(session))
		}
		return session, err
	}
	identity := awsauth.WebIdentity{
		Role:        config.WebIdentity.Role,
		SessionName: config.SessionName,
		Token:       s.tokens(*config.WebIdentity, client),
		Retry:       s.retry(),
		Now:         s.Now,
	}
	if len(config.Chain) == 0 {
		identity.Settings = config.Settings
	}
	session, err := identity.Session(ctx, aws)
	s.keep(session.Keys)
	if err == nil {
		s.Log.Printf("Got the credentials of %s until %s", caller(session), clock(session.Expires))
	}
	return session, err
}

func (s Step) keep(keys awsauth.Keys) {
	s.secrets.Keep(keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken)
}

// checkAccount refuses credentials of an account that is not among the allowed ones, by what STS says they are.
func checkAccount(session awsauth.Session, allowed []awsid.AccountID) error {
	if len(allowed) == 0 || slices.ContainsFunc(allowed, func(id awsid.AccountID) bool { return id.String() == session.AccountID }) {
		return nil
	}
	if session.AccountID == "" {
		return errors.New("allowed_account_ids: the service does not tell which account the credentials belong to; nothing was exported")
	}
	return advise(
		fmt.Errorf("allowed_account_ids: the credentials are %s, of account %s, which is not allowed; nothing was exported", caller(session), session.AccountID),
		"If the account is right, add it to allowed_account_ids.", "If it is not, correct role_arn or role_chain, or give another access key.")
}

// registries are those that the inputs name, or the account's own.
func registries(config Config) []dockerlogin.Registry {
	if len(config.Registries) == 0 {
		return []dockerlogin.Registry{dockerlogin.OwnRegistry(config.Region)}
	}
	return config.Registries
}

// dockerLogins gets a login to every registry.
func (s Step) dockerLogins(ctx context.Context, config Config, aws awsauth.Config, session awsauth.Session) ([]dockerlogin.Login, error) {
	aws.Credentials = session
	fetcher := dockerlogin.Fetcher{
		Config: aws, Account: session.AccountID, Fresh: !session.Expires.IsZero(), Retry: s.retry(), Now: s.Now,
	}
	logins, err := fetcher.Logins(ctx, registries(config))
	for _, login := range logins {
		s.secrets.Keep(login.Password)
	}
	return logins, err
}

// store puts the logins into Docker's file, unless the run has ended.
func (s Step) store(ctx context.Context, logins []dockerlogin.Login) (undo func() error, err error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	file := dockerlogin.FindFile()
	if undo, err = file.Store(ctx, logins); err != nil {
		return nil, err
	}
	s.Log.Printf("Logged in to %s until %s, in %s", strings.Join(hosts(logins), ", "), clock(earliest(logins)), file)
	return undo, nil
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

// tokens returns what yields identity tokens: the ready one, as long as it lives, or a new one from Bitrise each time.
func (s Step) tokens(config WebIdentityConfig, http *http.Client) func(context.Context) (awsauth.IdentityToken, error) {
	told := false
	client := oidc.Client{
		HTTP: http, BuildURL: config.BuildURL, BuildAPIToken: config.BuildAPIToken,
		Now: s.Now, Retry: s.retry(), Skew: func(ahead time.Duration) { told = s.warnOfSkew(ahead, told) },
	}
	taken := false
	return func(ctx context.Context) (awsauth.IdentityToken, error) {
		if config.Ready == nil {
			started := s.Now()
			token, err := client.Token(ctx, config.Audience)
			if err != nil {
				return awsauth.IdentityToken{}, err
			}
			s.secrets.Keep(token.Text())
			s.Log.Printf("Fetched an %s (%s)", token, s.since(started))
			return identityToken(token), nil
		}
		if taken {
			return awsauth.IdentityToken{}, fmt.Errorf("the token in identity_token has expired at %s, before it could be exchanged", clock(config.Ready.Expires()))
		}
		taken = true
		s.Log.Printf("Took the %s from identity_token", config.Ready)
		token := identityToken(*config.Ready)
		token.Single = true
		return token, nil
	}
}

// identityToken hands a token over to those who exchange it, and who do not know where it came from.
func identityToken(token oidc.Token) awsauth.IdentityToken {
	result := awsauth.IdentityToken{Text: token.Text(), Expires: token.Expires(), Issuer: token.Issuer()}
	for _, claim := range token.Testable() {
		result.Claims = append(result.Claims, awsauth.Claim(claim))
	}
	return result
}

// warnOfSkew tells of a clock that is wrong enough to be the cause of a refusal, once.
func (s Step) warnOfSkew(ahead time.Duration, told bool) bool {
	const tolerable = time.Minute

	if told || ahead.Abs() <= tolerable {
		return told
	}
	direction := "behind"
	if ahead < 0 {
		direction = "ahead of"
	}
	s.Log.Warnf("This machine's clock is %s %s Bitrise's; a wrong clock is a common cause of refusals", ahead.Abs().Round(time.Second), direction)
	return true
}

// retry is how every call is tried again: with a line in the log each time.
func (s Step) retry() retry.Policy {
	return retry.Policy{Notify: func(notice retry.Notice) {
		s.Log.Warnf("Attempt %d failed: %s; the next one comes in %.1f s", notice.Attempt, notice.Err, notice.Wait.Seconds())
	}}
}

// caller says whose the credentials are.
func caller(session awsauth.Session) string {
	if session.CallerARN == "" {
		return "somebody that the service does not name"
	}
	return session.CallerARN
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
