package dockerlogin

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
	"github.com/aws/smithy-go/middleware"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// grace is how long the other calls may continue after one has failed: long enough for most services to respond, so that the
// error lists what they returned, and too short to wait for a service that is down.
const grace = time.Second

// ecrUsername is the username of all logins to ECR.
const ecrUsername = "AWS"

// Client gets logins from ECR and ECR Public.
type Client struct {
	// Both are shared by all calls, because they remember how far off this machine's clock is.
	private *ecr.Client
	public  *ecrpublic.Client
}

// Login is what Docker needs to log in to a registry. The username is always AWS.
type Login struct {
	Host     string
	Password secret.Text
	// Expires is when the password expires: after 12 hours, or together with the credentials.
	Expires time.Time
}

// NewClient returns a client that uses a configuration from [awsclient.LoadConfig], except its Region.
func NewClient(config aws.Config) *Client {
	return &Client{private: ecr.NewFromConfig(config), public: ecrpublic.NewFromConfig(config)}
}

// Endpoints returns the URLs that [Client.Logins] is going to call, so that connections can be opened
// early. URLs that cannot be resolved are left out: the call will fail and say why.
func (c *Client) Endpoints(ctx context.Context, registries []Registry) []string {
	var urls []string
	groups, _ := groupByIssuer(registries)
	for _, g := range groups {
		if endpoint, err := c.endpoint(ctx, g.issuer); err == nil {
			urls = append(urls, endpoint.URI.String())
		}
	}
	return urls
}

func (c *Client) endpoint(ctx context.Context, from issuer) (smithyendpoints.Endpoint, error) {
	private, public := c.private.Options(), c.public.Options()
	region := aws.String(from.region.String())
	// Both services use the same configuration.
	fips := aws.Bool(private.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled)
	dualStack := aws.Bool(private.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled)
	if from.isPublic {
		return public.EndpointResolverV2.ResolveEndpoint(ctx, ecrpublic.EndpointParameters{
			Region: region, UseFIPS: fips, UseDualStack: dualStack, Endpoint: public.BaseEndpoint,
		})
	}
	return private.EndpointResolverV2.ResolveEndpoint(ctx, ecr.EndpointParameters{
		Region: region, UseFIPS: fips, UseDualStack: dualStack, Endpoint: private.BaseEndpoint,
	})
}

// Logins returns a login for each registry, in the same order, each host once. It makes one call per Region and one for ECR
// Public, all at once. ECR requires the permission ecr:GetAuthorizationToken; ECR Public requires
// ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken. Each call is signed with the credentials and retried. If any call
// fails, Logins returns no logins and an [explain.Error] that lists every failure.
func (c *Client) Logins(
	ctx context.Context, signer credentials.Credentials, registries []Registry, policy retry.Policy,
) ([]Login, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	groups, byIssuer := groupByIssuer(registries)
	var calls sync.WaitGroup
	for _, g := range groups {
		calls.Go(func() {
			if g.err = c.authorize(ctx, g, signer, policy); g.err != nil {
				time.AfterFunc(grace, cancel)
			}
		})
	}
	calls.Wait()
	if err := failures(groups); err != nil {
		return nil, err
	}
	var logins []Login
	seen := map[string]bool{}
	for _, registry := range registries {
		login := byIssuer[registry.issuer].login
		login.Host = cmp.Or(registry.host, login.Host)
		if !seen[login.Host] {
			logins = append(logins, login)
		}
		seen[login.Host] = true
	}
	return logins, nil
}

// group is the registries that one authorization token is valid for, and the login from the token.
type group struct {
	issuer issuer
	// hosts are those of the registries, or empty for the account's own, whose host is in login.
	hosts []string
	login Login
	err   error
}

// groupByIssuer groups registries in the order of their first appearance, those of ECR first.
func groupByIssuer(registries []Registry) (groups []*group, byIssuer map[issuer]*group) {
	byIssuer = map[issuer]*group{}
	for _, registry := range registries {
		g := byIssuer[registry.issuer]
		if g == nil {
			g = &group{issuer: registry.issuer}
			byIssuer[g.issuer], groups = g, append(groups, g)
		}
		g.hosts = append(g.hosts, registry.host)
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return cmp.Compare(a.issuer.service(), b.issuer.service()) })
	return groups, byIssuer
}

// authorize gets a group's login, with retries.
func (c *Client) authorize(ctx context.Context, g *group, signer credentials.Credentials, policy retry.Policy) error {
	return policy.Do(ctx, func(ctx context.Context) error {
		data, metadata, err := c.call(ctx, g.issuer, awsclient.Provider(signer))
		if err != nil {
			return awserr.From(g.issuer.service(), signer, err)
		}
		g.login, err = parseLogin(data, metadata)
		if err == nil && slices.Contains(g.hosts, "") {
			g.login.Host, err = c.ownHost(data)
		}
		if err != nil { // A proxy may have replaced the response.
			return transport.Garbled("the response of %s %w", g.issuer.service(), err)
		}
		return nil
	})
}

// call makes one call. Its result must not be printed: the password isn't redacted in the log yet.
func (c *Client) call(
	ctx context.Context, from issuer, signer aws.CredentialsProvider,
) (data types.AuthorizationData, metadata middleware.Metadata, err error) {
	if from.isPublic {
		// See https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_GetAuthorizationToken.html.
		out, err := c.public.GetAuthorizationToken(ctx, nil, func(o *ecrpublic.Options) {
			o.Region, o.Credentials = from.region.String(), signer
		})
		if err != nil || out.AuthorizationData == nil {
			return data, metadata, err
		}
		data.AuthorizationToken, data.ExpiresAt = out.AuthorizationData.AuthorizationToken, out.AuthorizationData.ExpiresAt
		return data, out.ResultMetadata, nil
	}
	// See https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html.
	out, err := c.private.GetAuthorizationToken(ctx, nil, func(o *ecr.Options) {
		o.Region, o.Credentials = from.region.String(), signer
	})
	if err != nil || len(out.AuthorizationData) == 0 {
		return data, metadata, err
	}
	return out.AuthorizationData[0], out.ResultMetadata, nil
}

// parseLogin returns the login in an authorization token, which is AWS:PASSWORD in base64.
func parseLogin(data types.AuthorizationData, metadata middleware.Metadata) (Login, error) {
	token := aws.ToString(data.AuthorizationToken)
	if token == "" {
		return Login{}, errors.New("contains no authorization token")
	}
	plain, err := base64.StdEncoding.DecodeString(token)
	password, found := strings.CutPrefix(string(plain), ecrUsername+":")
	if err != nil || !found || password == "" {
		return Login{}, fmt.Errorf("contains an authorization token that is not %s:PASSWORD in base64", ecrUsername)
	}
	expires, isValid := awsclient.Expiry(data.ExpiresAt, metadata, time.Now())
	if !isValid {
		return Login{}, errors.New("contains an authorization token that has expired, or has no expiration")
	}
	return Login{Password: secret.New(password), Expires: expires}, nil
}

// ownHost returns the host of the account's own registry.
func (c *Client) ownHost(data types.AuthorizationData) (string, error) {
	match := registryURL.FindStringSubmatch(aws.ToString(data.ProxyEndpoint))
	if match == nil {
		return "", errors.New("contains no valid URL of the account's registry")
	}
	// AWS's own endpoints return ECR hosts. Docker would send the ECR password to any other host.
	if _, isECR := regionOfHost(match[1]); !isECR && c.private.Options().BaseEndpoint == nil {
		return "", errors.New("contains the URL of a registry that is not ECR's")
	}
	return match[1], nil
}
