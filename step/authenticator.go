package step

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
)

// authenticator obtains the session that a Config asks for. A run of the Step and the credential process share it.
type authenticator struct {
	config Config
	log    *report.Log
	now    func() time.Time
	http   *transport.Client
	sts    *awsauth.Client
	// ecr is nil without docker_login.
	ecr *dockerlogin.Client
	// token is the last identity token.
	token idtoken.Token
}

// newAuthenticator prepares the calls to Bitrise, STS, and ECR. Nothing is sent yet.
func newAuthenticator(
	ctx context.Context, config Config, environment Environment, log *report.Log, now func() time.Time,
) (*authenticator, error) {
	if err := awsclient.Check(environment.Get); err != nil {
		return nil, err
	}
	client, err := transport.New(transport.Options{
		CABundle: environment.Get("AWS_CA_BUNDLE"), Getenv: environment.Get, Debugf: log.Debugf,
	})
	if err != nil {
		return nil, err
	}
	sdk, err := awsclient.LoadConfig(ctx, config.Region, client.Client)
	if err != nil {
		return nil, fmt.Errorf("configure the AWS SDK: %w", err)
	}
	a := &authenticator{config: config, log: log, now: now, http: client, sts: awsauth.NewClient(sdk)}
	if config.DockerLogin {
		a.ecr = dockerlogin.NewClient(sdk)
	}
	return a, nil
}

// preconnect starts to open the connections to AWS, so that they are ready when the token is.
func (a *authenticator) preconnect(ctx context.Context) {
	if url, err := a.sts.Endpoint(ctx); err == nil { // the call itself will return the error
		a.http.Preconnect(ctx, url)
	}
	if a.ecr != nil {
		a.http.Preconnect(ctx, a.ecr.Endpoints(ctx, a.config.Registries)...)
	}
}

// session obtains credentials and verifies that they may be exported.
func (a *authenticator) session(ctx context.Context) (awsauth.Session, error) {
	a.preconnect(ctx)
	session, err := a.firstSession(ctx)
	if err == nil {
		session, err = a.assumeRoles(ctx, session)
	}
	if err != nil {
		return awsauth.Session{}, err
	}
	if a.config.Verbose && a.config.WebIdentity != nil {
		a.log.ConditionKeys(awsauth.ConditionKeys(a.token))
	}
	return session, checkAccount(session, a.config.AllowedAccounts)
}

// firstSession obtains the credentials that the inputs name directly.
func (a *authenticator) firstSession(ctx context.Context) (awsauth.Session, error) {
	started := a.now()
	if key := a.config.AccessKey; key != nil {
		session, err := a.sts.VerifyAccessKey(ctx, *key, a.retry("Verifying the access key"))
		if err == nil {
			a.log.Printf("Verified the access key of %s (%s)", caller(session), a.since(started))
		}
		return session, err
	}
	web := a.config.WebIdentity
	identity := awsauth.WebIdentity{
		Role: web.Role, SessionName: a.config.Chain.SessionName, Token: a.tokens(), IsOnlyToken: web.Token != nil,
		Retry: a.retry("Assuming the role"), Now: a.now,
	}
	if len(a.config.Chain.Roles) == 0 {
		identity.Settings = a.config.Chain.Settings
	}
	session, err := a.sts.AssumeRoleWithWebIdentity(ctx, identity)
	if err != nil {
		return awsauth.Session{}, err
	}
	a.log.Protect(session.Secrets()...)
	a.log.Printf("Assumed %s, expires at %s (%s)", caller(session), clock(session.Expires), a.since(started))
	return session, nil
}

// assumeRoles assumes the roles of role_chain.
func (a *authenticator) assumeRoles(ctx context.Context, first awsauth.Session) (awsauth.Session, error) {
	started := a.now()
	chain := a.config.Chain
	chain.Retry, chain.Now = a.retry("Assuming a role of role_chain"), a.now
	chain.Assumed = func(hop int, session awsauth.Session) {
		a.log.Protect(session.Secrets()...)
		a.log.Printf("Hop %d of %d: assumed %s, expires at %s (%s)",
			hop, len(chain.Roles), caller(session), clock(session.Expires), a.since(started))
		started = a.now()
	}
	return a.sts.AssumeRoles(ctx, chain, first)
}

// tokens returns a function that returns identity tokens: the existing one, once, or a new one from Bitrise each time.
func (a *authenticator) tokens() func(context.Context) (idtoken.Token, error) {
	web := a.config.WebIdentity
	if web.Token != nil {
		isUsed := false
		return func(context.Context) (idtoken.Token, error) {
			if isUsed {
				return idtoken.Token{}, fmt.Errorf("the token in identity_token expired at %s, before it could be exchanged", clock(web.Token.Expires))
			}
			isUsed, a.token = true, *web.Token
			a.log.Printf("Using the identity token from %s for %s", issuer(a.token), strings.Join(a.token.Audience, ", "))
			return a.token, nil
		}
	}
	client := oidc.Client{
		HTTP: a.http.Client, BuildURL: web.BuildURL, BuildAPIToken: web.BuildAPIToken,
		Now: a.now, Retry: a.retry("Fetching an identity token"), Skew: a.warnOfSkew(),
	}
	return func(ctx context.Context) (idtoken.Token, error) {
		started := a.now()
		token, err := client.Token(ctx, web.Audience)
		if err != nil {
			return idtoken.Token{}, err
		}
		a.token = token
		a.log.Protect(token.Text)
		a.log.Printf("Fetched an identity token from %s for %s (%s)", issuer(token), web.Audience, a.since(started))
		return token, nil
	}
}

// warnOfSkew returns a function that warns, once, if the clock is wrong enough to be the cause of a refusal.
func (a *authenticator) warnOfSkew() func(ahead time.Duration) {
	const tolerance = time.Minute

	warned := false
	return func(ahead time.Duration) {
		if warned || ahead.Abs() <= tolerance {
			return
		}
		warned = true
		direction := "behind"
		if ahead < 0 {
			direction = "ahead of"
		}
		a.log.Warnf("This machine's clock is %s %s Bitrise's. A wrong clock is a common cause of refusals.",
			ahead.Abs().Round(time.Second), direction)
	}
}

// checkAccount refuses credentials of an account that is not allowed.
func checkAccount(session awsauth.Session, allowed []awsid.AccountID) error {
	if len(allowed) == 0 || slices.ContainsFunc(allowed, func(id awsid.AccountID) bool { return id.String() == session.AccountID }) {
		return nil
	}
	if session.AccountID == "" {
		return errors.New("allowed_account_ids: the service does not say which account the credentials belong to; nothing was exported")
	}
	return explain.Advise(
		fmt.Errorf("allowed_account_ids: the credentials are %s, of account %s, which is not allowed; nothing was exported",
			caller(session), session.AccountID),
		"If the account is right, add it to allowed_account_ids.", "If not, correct role_arn or role_chain, or use another access key.")
}

// retry retries transient failures, with a line in the log each time.
func (a *authenticator) retry(what string) retry.Policy {
	return retry.Policy{Notify: func(attempt int, err error, wait time.Duration) {
		a.log.Warnf("%s failed (attempt %d): %s; retrying in %.1f s", what, attempt, err, wait.Seconds())
	}}
}

func (a *authenticator) since(start time.Time) string { return elapsed(a.now().Sub(start)) }

func elapsed(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// clock formats a time as the log and the outputs show it.
func clock(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}

// caller names whose the credentials are.
func caller(session awsauth.Session) string { return cmp.Or(session.CallerARN, "an unknown caller") }

func issuer(token idtoken.Token) string { return cmp.Or(token.Issuer, "an unknown issuer") }
