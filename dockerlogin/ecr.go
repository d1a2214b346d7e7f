package dockerlogin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// Login is what opens a registry.
type Login struct {
	// Registry is where the login is valid.
	Registry Registry
	// Username is AWS for every registry of ECR.
	Username string
	// Password is ECR's authorization token.
	Password secret.Text
	// Expires is when the password ends, 12 hours after it was made or with the credentials it was asked with.
	Expires time.Time
}

// Fetch asks ECR, in the Region of config and with its credentials, for a login to the registry of the credentials'
// own account. It needs the permission ecr:GetAuthorizationToken. Credentials that STS has only just issued may be refused
// at first; for those, fresh is true.
// See https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html.
func Fetch(ctx context.Context, config aws.Config, policy retry.Policy, fresh bool) (Login, error) {
	// IAM is consistent within seconds. After about half a minute of attempts the refusal is taken for what it says.
	const freshAttempts = 8

	client := ecr.NewFromConfig(config)
	var login Login
	attempts := 0
	err := policy.Do(ctx, func(ctx context.Context) error {
		var err error
		login, err = fetch(ctx, client)
		if attempts++; fresh && attempts < freshAttempts {
			err = awserr.FreshCredentials(err)
		}
		return err
	})
	if err != nil {
		return Login{}, &FetchError{Region: config.Region, Err: err}
	}
	return login, nil
}

// fetch makes one attempt. An answer that lacks what it has to have may pass.
func fetch(ctx context.Context, client *ecr.Client) (Login, error) {
	answer, err := client.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return Login{}, awserr.Shorten("ECR", err)
	}
	if len(answer.AuthorizationData) == 0 || answer.AuthorizationData[0].AuthorizationToken == nil {
		return Login{}, retry.Passing(errors.New("ECR answered without an authorization token"), 0)
	}
	data := answer.AuthorizationData[0]
	login, err := parseAuthorizationToken(secret.New(*data.AuthorizationToken))
	if err != nil {
		return Login{}, retry.Passing(err, 0)
	}
	if login.Registry, err = parseEndpoint(aws.ToString(data.ProxyEndpoint)); err != nil {
		return Login{}, retry.Passing(fmt.Errorf("the registry in ECR's answer: %w", err), 0)
	}
	login.Expires = aws.ToTime(data.ExpiresAt)
	return login, nil
}

// parseAuthorizationToken takes ECR's authorization token apart, which is base64 of USERNAME:PASSWORD. Its errors speak
// of the token's shape, never of its text.
func parseAuthorizationToken(token secret.Text) (Login, error) {
	plain, err := base64.StdEncoding.DecodeString(token.Reveal())
	if err != nil {
		return Login{}, errors.New("ECR's authorization token is not base64")
	}
	username, password, found := strings.Cut(string(plain), ":")
	if !found || username == "" || password == "" {
		return Login{}, errors.New("ECR's authorization token is not of the shape USERNAME:PASSWORD")
	}
	return Login{Username: username, Password: secret.New(password)}, nil
}
