package step

import (
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

// source provides a session: a web identity, an access key, or an assumed role.
type source interface {
	Session(context.Context, *awsauth.Client, retry.Policy) (awsauth.Session, error)
}

// authenticator obtains the session that a Config asks for. A run of the Step and the credential process share it.
type authenticator struct {
	config Config
	log    *report.Log
	now    func() time.Time
	http   *transport.Client
	tokens oidc.Client
	sts    *awsauth.Client
	ecr    *dockerlogin.Client
	// perBuild has values of variables that are different in every build.
	perBuild []string
	// asksForSubject means that if a role is denied, one more request asks whether callers can choose sub.
	asksForSubject bool
	// hasWarned means that a warning of a wrong clock was logged.
	hasWarned bool
}

// newAuthenticator prepares the calls to Bitrise, STS, and ECR. Nothing is sent yet.
func newAuthenticator(
	ctx context.Context, config Config, environment Environment, log *report.Log, now func() time.Time,
) (*authenticator, error) {
	client, err := transport.New(environment.Get, func(ctx context.Context, line string) {
		log.Debugf("%s", strings.TrimSpace(awsclient.Action(ctx)+" "+line))
	})
	if err != nil {
		return nil, err
	}
	sdk, err := awsclient.LoadConfig(ctx, config.Region, client.Client)
	if err != nil {
		return nil, fmt.Errorf("configure the AWS SDK: %w", err)
	}
	a := &authenticator{
		config: config, log: log, now: now, http: client, sts: awsauth.NewClient(sdk, now), ecr: dockerlogin.NewClient(sdk),
		perBuild: perBuild(environment),
	}
	a.tokens = oidc.Client{
		HTTP: client.Client, BuildURL: config.BuildURL, BuildAPIToken: config.BuildAPIToken, Now: now,
		Retry: a.retry("Fetching an identity token"), Skew: a.warnOfSkew,
	}
	return a, nil
}

// session obtains credentials and verifies that they may be exported.
func (a *authenticator) session(ctx context.Context) (awsauth.Session, error) {
	a.preconnect(ctx)
	session, err := a.firstSession(ctx)
	if err != nil {
		return awsauth.Session{}, err
	}
	for _, role := range a.config.Chain {
		role.Caller = session
		done := fmt.Sprintf("Assumed role %s (%d of %d in role_chain)", role.Role.Short(), role.Hop, role.Hops)
		session, err = a.obtain(ctx, role, "Assuming a role of role_chain", done)
		if err != nil {
			return awsauth.Session{}, err
		}
	}
	return session, checkAccount(session, a.config.AllowedAccounts)
}

// preconnect starts to open connections to AWS while the token is fetched.
func (a *authenticator) preconnect(ctx context.Context) {
	var urls []string
	if url, err := a.sts.Endpoint(ctx); err == nil { // the call itself will return the error
		urls = append(urls, url)
	}
	if a.config.DockerLogin {
		urls = append(urls, a.ecr.Endpoints(ctx, a.config.Registries)...)
	}
	a.http.Preconnect(ctx, urls...)
}

// firstSession obtains the credentials before role_chain. It replaces an identity token that expires before it is exchanged.
func (a *authenticator) firstSession(ctx context.Context) (awsauth.Session, error) {
	if a.config.AccessKey != nil {
		return a.obtain(ctx, a.config.AccessKey, "Verifying the access key", "Verified the access key")
	}
	role := *a.config.WebIdentity
	isGiven := !role.Token.Text.IsEmpty()
	for {
		token, err := a.identityToken(ctx)
		if err != nil {
			return awsauth.Session{}, err
		}
		role.Token = token
		session, err := a.obtain(ctx, role, "Assuming the role", "Assumed role "+role.Role.Short())
		switch {
		case err == nil:
			a.log.Debugf("The identity token's claims, as condition keys of a trust policy:")
			for _, key := range awsauth.ConditionKeys(token) {
				a.log.Debugf("%s", key)
			}
		case errors.Is(err, awsauth.ErrTokenExpired) && isGiven:
			err = fmt.Errorf("the token in identity_token expired at %s, before it could be exchanged", clock(token.Expires))
		case errors.Is(err, awsauth.ErrTokenExpired):
			continue
		default:
			subject := awsauth.SubjectUnknown
			if a.asksForSubject && !isGiven && awsauth.IsDenied(err) {
				subject = a.subject(ctx, token)
			}
			err = role.Explain(err, subject, a.perBuild)
		}
		return session, err
	}
}

// identityToken returns the token in identity_token, or else a new one from Bitrise.
func (a *authenticator) identityToken(ctx context.Context) (idtoken.Token, error) {
	if given := a.config.WebIdentity.Token; !given.Text.IsEmpty() {
		a.log.Printf("Using the identity token in identity_token, from %s", describe(given))
		return given, nil
	}
	started := a.now()
	token, err := a.tokens.Token(ctx, a.config.Audience)
	if err != nil {
		return idtoken.Token{}, err
	}
	a.log.Protect(token.Text)
	a.log.Printf("Fetched an identity token from %s in %s", describe(token), a.since(started))
	return token, nil
}

// obtain obtains a session. The log shows doing with each failed attempt, and done at the end.
func (a *authenticator) obtain(ctx context.Context, from source, doing, done string) (awsauth.Session, error) {
	started := a.now()
	session, err := from.Session(ctx, a.sts, a.retry(doing))
	if err != nil {
		return awsauth.Session{}, err
	}
	a.log.Protect(session.Secrets()...)
	expires := ""
	if !session.Expires.IsZero() {
		expires = "; the credentials expire " + expiry(session.Expires, a.now())
	}
	a.log.Printf("%s in %s%s", done, a.since(started), expires)
	return session, nil
}

// warnOfSkew warns, once, if the clock is wrong enough to cause errors.
func (a *authenticator) warnOfSkew(ahead time.Duration) {
	const tolerance = time.Minute

	if a.hasWarned || ahead.Abs() <= tolerance {
		return
	}
	a.hasWarned = true
	direction := "behind"
	if ahead < 0 {
		direction = "ahead of"
	}
	a.log.Warnf("This machine's clock is %s %s Bitrise's. A wrong clock is a common cause of errors.",
		ahead.Abs().Round(time.Second), direction)
}

// checkAccount returns an error for credentials of an account that is not allowed.
func checkAccount(session awsauth.Session, allowed []awsid.AccountID) error {
	if len(allowed) == 0 || slices.ContainsFunc(allowed, func(id awsid.AccountID) bool { return id.String() == session.AccountID }) {
		return nil
	}
	if session.AccountID == "" {
		return errors.New("allowed_account_ids: the service does not say which account the credentials belong to; nothing was exported")
	}
	return explain.Advise(
		fmt.Errorf("allowed_account_ids: the credentials belong to %s in account %s, which is not allowed; nothing was exported",
			session.CallerARN, session.AccountID),
		"If the account is right, add it to allowed_account_ids.", "If not, correct role_arn or role_chain, or use a different access key.")
}

// retry logs each failed attempt.
func (a *authenticator) retry(what string) retry.Policy {
	return retry.Policy{Notify: func(attempt int, err error, wait time.Duration) {
		a.log.Warnf("%s failed (attempt %d): %s; retrying in %.1f s", what, attempt, err, wait.Seconds())
	}}
}

func (a *authenticator) since(start time.Time) string { return elapsed(a.now().Sub(start)) }
