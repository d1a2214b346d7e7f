package step

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
)

// authenticate gets credentials that work, from whichever source the inputs name, and walks the role chain from there.
func (s Step) authenticate(ctx context.Context, config Config, client *http.Client, aws awsauth.Config) (awsauth.Session, error) {
	session, err := s.firstSession(ctx, config, client, aws)
	if err != nil || len(config.Chain) == 0 {
		return session, err
	}
	chain := awsauth.Chain{
		Roles: config.Chain, SessionName: config.SessionName, ExternalID: config.ExternalID, Tags: config.Tags,
		Settings: config.Settings, Retry: s.retry("assume a role of role_chain"),
	}
	started := s.Now()
	chain.Assumed = func(hop int, session awsauth.Session) {
		s.keep(session.Keys)
		s.Log.Printf("Hop %d of %d: got the credentials of %s until %s (%s)", hop, len(config.Chain), caller(session), clock(session.Expires), s.since(started))
		started = s.Now()
	}
	return chain.Session(ctx, aws, session)
}

func (s Step) firstSession(ctx context.Context, config Config, client *http.Client, aws awsauth.Config) (awsauth.Session, error) {
	started := s.Now()
	if config.AccessKeys != nil {
		session, err := awsauth.AccessKeys{Keys: *config.AccessKeys, Retry: s.retry("verify the access key")}.Session(ctx, aws)
		if err == nil {
			s.Log.Printf("Verified the access key of %s (%s)", caller(session), s.since(started))
		}
		return session, err
	}
	identity := awsauth.WebIdentity{
		Role:        config.WebIdentity.Role,
		SessionName: config.SessionName,
		Retry:       s.retry("assume the role"),
		Now:         s.Now,
	}
	next := s.tokens(*config.WebIdentity, client)
	identity.Token = func(ctx context.Context) (awsauth.IdentityToken, error) {
		defer func() { started = s.Now() }() // the exchange's time is counted from the token on
		return next(ctx)
	}
	if len(config.Chain) == 0 {
		identity.Settings = config.Settings
	}
	session, err := identity.Session(ctx, aws)
	s.keep(session.Keys)
	if err == nil {
		s.Log.Printf("Got the credentials of %s until %s (%s)", caller(session), clock(session.Expires), s.since(started))
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

// tokens returns what yields identity tokens: the ready one, as long as it lives, or a new one from Bitrise each time.
func (s Step) tokens(config WebIdentityConfig, http *http.Client) func(context.Context) (awsauth.IdentityToken, error) {
	told := false
	client := oidc.Client{
		HTTP: http, BuildURL: config.BuildURL, BuildAPIToken: config.BuildAPIToken,
		Now: s.Now, Retry: s.retry("get an identity token"), Skew: func(ahead time.Duration) { told = s.warnOfSkew(ahead, told) },
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

// caller says whose the credentials are.
func caller(session awsauth.Session) string {
	if session.CallerARN == "" {
		return "somebody that the service does not name"
	}
	return session.CallerARN
}
