package sandbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

const deployRole, targetRole = "arn:aws:iam::123456789012:role/bitrise-deploy", "arn:aws:iam::210987654321:role/deploy-target"

// clock is a clock that stands still until the test moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func start(t *testing.T, options sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	cloud, err := sandbox.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	return cloud
}

func config(cloud *sandbox.Sandbox, id, secret, session string) aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(cloud.AWSURL()), Credentials: credentials.NewStaticCredentialsProvider(id, secret, session),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} }, HTTPClient: harness.HTTPClient(),
	}
}

func asUser(cloud *sandbox.Sandbox) aws.Config {
	key := cloud.User("ci")
	return config(cloud, key.ID, key.Secret, "")
}

func as(cloud *sandbox.Sandbox, c *types.Credentials) aws.Config {
	return config(cloud, *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

func exchange(
	t *testing.T, cloud *sandbox.Sandbox, claims map[string]any, change func(*sts.AssumeRoleWithWebIdentityInput),
) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	t.Helper()
	token, err := cloud.MintToken("sts.amazonaws.com", claims)
	if err != nil {
		t.Fatal(err)
	}
	input := &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(deployRole), RoleSessionName: aws.String("session"), WebIdentityToken: &token,
	}
	if change != nil {
		change(input)
	}
	client := sts.NewFromConfig(config(cloud, "", "", ""), func(o *sts.Options) { o.Credentials = aws.AnonymousCredentials{} })
	return client.AssumeRoleWithWebIdentity(t.Context(), input)
}

func wantError(t *testing.T, name string, err error, code, text string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), text) {
		t.Errorf("%s: got %v, want %s: %s", name, err, code, text)
	}
}

func TestConfiguredDenials(t *testing.T) {
	world := sandbox.DefaultConfig()
	world.SessionTokenLimit = 500
	cloud := start(t, sandbox.Options{Config: world})
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject",
		"Resource":"arn:aws:s3:::a-bucket-with-a-long-name/*"}}`
	_, err := exchange(t, cloud, nil, func(in *sts.AssumeRoleWithWebIdentityInput) { in.Policy = &policy })
	wantError(t, "too large", err, "PackedPolicyTooLarge", "exceeds the maximum size of 500 bytes")
	if err := cloud.SetConfig(func(c *sandbox.Config) { c.UnreachableIssuer = true }); err != nil {
		t.Fatal(err)
	}
	_, err = exchange(t, cloud, nil, nil)
	wantError(t, "keys", err, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider")
	if err := cloud.SetConfig(func(c *sandbox.Config) { c.Accounts[0].Roles[0].TrustPolicy = json.RawMessage(`{}`) }); err == nil {
		t.Error("a malformed trust policy was accepted")
	}
}

func TestChain(t *testing.T) {
	cloud := start(t, sandbox.Options{})
	first, err := exchange(t, cloud, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	assume := func(config aws.Config, change func(*sts.AssumeRoleInput)) (*sts.AssumeRoleOutput, error) {
		input := &sts.AssumeRoleInput{RoleArn: aws.String(targetRole), RoleSessionName: aws.String("hop")}
		if change != nil {
			change(input)
		}
		return sts.NewFromConfig(config).AssumeRole(t.Context(), input)
	}
	second, err := assume(as(cloud, first.Credentials), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := *second.AssumedRoleUser.Arn; got != "arn:aws:sts::210987654321:assumed-role/deploy-target/hop" {
		t.Errorf("the second role is %s", got)
	}
	_, err = assume(as(cloud, first.Credentials), func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) })
	wantError(t, "chained duration", err, "ValidationError", "1 hour session limit for roles assumed by role chaining")
	_, err = assume(as(cloud, second.Credentials), nil)
	wantError(t, "not trusted", err, "AccessDenied",
		"User: arn:aws:sts::210987654321:assumed-role/deploy-target/hop is not authorized to perform: sts:AssumeRole on resource: "+
			targetRole)

	// The trust policy requires an external ID and a tag.
	if err := cloud.SetConfig(func(c *sandbox.Config) {
		c.Accounts[1].Roles[0].TrustPolicy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
			"Principal":{"AWS":"123456789012"},"Action":["sts:AssumeRole","sts:TagSession"],
			"Condition":{"StringEquals":{"sts:ExternalId":"agreed","aws:RequestTag/team":"mobile"}}}}`)
	}); err != nil {
		t.Fatal(err)
	}
	_, err = assume(asUser(cloud), nil)
	wantError(t, "external ID", err, "AccessDenied", "sts:AssumeRole")
	if _, err = assume(asUser(cloud), func(in *sts.AssumeRoleInput) {
		in.ExternalId, in.Tags = aws.String("agreed"), []types.Tag{{Key: aws.String("team"), Value: aws.String("mobile")}}
	}); err != nil {
		t.Errorf("with external ID and tag: %v", err)
	}
}

func TestSignatures(t *testing.T) {
	at := &clock{now: time.Now()}
	cloud := start(t, sandbox.Options{Clock: at.Now})
	key := cloud.User("ci")
	session, err := exchange(t, cloud, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	whoami := func(config aws.Config) error {
		_, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
		return err
	}
	if err := whoami(asUser(cloud)); err != nil {
		t.Fatal(err)
	}
	c := session.Credentials
	wantError(t, "wrong secret", whoami(config(cloud, key.ID, "wrong", "")), "SignatureDoesNotMatch",
		"does not match the signature you provided")
	wantError(t, "unknown key", whoami(config(cloud, "AKIAUNKNOWN", "x", "")), "InvalidClientTokenId", "is invalid")
	wantError(t, "no session token", whoami(config(cloud, *c.AccessKeyId, *c.SecretAccessKey, "")), "InvalidClientTokenId", "is invalid")
	wantError(t, "wrong session token", whoami(config(cloud, *c.AccessKeyId, *c.SecretAccessKey, "x")), "InvalidClientTokenId", "is invalid")
	wantError(t, "tampered body", whoami(tampering(asUser(cloud))), "SignatureDoesNotMatch", "does not match")
	anonymous := func(o *sts.Options) { o.Credentials = aws.AnonymousCredentials{} }
	_, err = sts.NewFromConfig(asUser(cloud), anonymous).GetCallerIdentity(t.Context(), nil)
	wantError(t, "unsigned", err, "MissingAuthenticationToken", "")
	at.Move(6 * time.Minute)
	wantError(t, "old", whoami(asUser(cloud)), "SignatureDoesNotMatch", "Signature expired")
	at.Move(time.Hour)
	wantError(t, "expired session", whoami(as(cloud, c)), "ExpiredToken", "expired")
	if session, err = exchange(t, cloud, nil, nil); err != nil {
		t.Fatal(err)
	}
	cloud.EndSessions()
	wantError(t, "ended session", whoami(as(cloud, session.Credentials)), "ExpiredToken", "expired")
}

// tampering changes the request body after it was signed.
func tampering(config aws.Config) aws.Config {
	config.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		body = append(body, "&X=1"...)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return http.DefaultTransport.RoundTrip(r)
	})}
	return config
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestECR(t *testing.T) {
	cloud := start(t, sandbox.Options{})
	response, err := ecr.NewFromConfig(asUser(cloud)).GetAuthorizationToken(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	data := response.AuthorizationData[0]
	if *data.ProxyEndpoint != "http://"+cloud.Registry("123456789012", "us-east-1") {
		t.Errorf("the registry is %s", *data.ProxyEndpoint)
	}
	public, err := ecrpublic.NewFromConfig(asUser(cloud)).GetAuthorizationToken(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func(registry, token string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+registry+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Basic "+token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	for name, row := range map[string]struct {
		registry, token string
		want            int
	}{
		"its own":             {cloud.Registry("123456789012", "us-east-1"), *data.AuthorizationToken, 200},
		"another account's":   {cloud.Registry("210987654321", "us-east-1"), *data.AuthorizationToken, 200},
		"another Region's":    {cloud.Registry("123456789012", "eu-west-1"), *data.AuthorizationToken, 401},
		"the public one":      {cloud.Registry(sandbox.PublicRegistry, ""), *data.AuthorizationToken, 401},
		"public with public":  {cloud.Registry(sandbox.PublicRegistry, ""), *public.AuthorizationData.AuthorizationToken, 200},
		"private with public": {cloud.Registry("123456789012", "us-east-1"), *public.AuthorizationData.AuthorizationToken, 401},
		"none":                {cloud.Registry("123456789012", "us-east-1"), "", 401},
	} {
		t.Run(name, func(t *testing.T) {
			if got := open(row.registry, row.token); got != row.want {
				t.Errorf("got %d, want %d", got, row.want)
			}
		})
	}
	if err := cloud.SetConfig(func(c *sandbox.Config) { c.Accounts[0].Users[0].Policies = nil }); err != nil {
		t.Fatal(err)
	}
	_, err = ecr.NewFromConfig(asUser(cloud)).GetAuthorizationToken(t.Context(), nil)
	wantError(t, "no permission", err, "AccessDeniedException",
		"is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no identity-based policy allows")
	_, err = ecr.NewFromConfig(config(cloud, "AKIAUNKNOWN", "x", "")).GetAuthorizationToken(t.Context(), nil)
	wantError(t, "unknown key", err, "UnrecognizedClientException", "is invalid")
}

func TestParseFaults(t *testing.T) {
	faults, err := sandbox.ParseFaults(strings.NewReader(`# a comment

sts:* 2- error Throttling "Rate exceeded"
bitrise:id_token 1-3 status 503 7
`))
	want := []sandbox.Fault{
		{Service: "sts", Action: "*", First: 2, Kind: "error", Args: []string{"Throttling", "Rate exceeded"}},
		{Service: "bitrise", Action: "id_token", First: 1, Last: 3, Kind: "status", Args: []string{"503", "7"}},
	}
	if err != nil || !reflect.DeepEqual(faults, want) {
		t.Errorf("got %+v, %v; want %+v", faults, err, want)
	}
	for script, want := range map[string]string{
		"sts:x 1":             "must be SERVICE:ACTION WHICH FAULT",
		"sts 1 reset":         "must be SERVICE:ACTION, got",
		"sts:x 0 reset":       "must be the number of a call",
		"sts:x 3-2 reset":     "must be a range of calls",
		"sts:x 1 explode":     "unknown fault",
		"sts:x 1 status":      "must have 1 to 2 arguments, got 0",
		"sts:x 1 status soon": "arguments must be numbers",
		"\nsts:x y reset":     "line 2",
	} {
		t.Run(script, func(t *testing.T) {
			if _, err := sandbox.ParseFaults(strings.NewReader(script)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func TestParseConfig(t *testing.T) {
	encoded, err := json.Marshal(sandbox.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := sandbox.ParseConfig(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exchange(t, start(t, sandbox.Options{Config: parsed, TLS: false}), nil, nil); err != nil {
		t.Error(err)
	}
	if _, err := sandbox.ParseConfig([]byte(`{"accountz":[]}`)); err == nil {
		t.Error("an unknown field was accepted")
	}
}
