package dockerlogin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
)

// service is one of the two that issue logins, ECR and ECR Public. Of both, one operation without parameters is called,
// which is why it is called here and not by the SDK's clients: with them the Step took a tenth longer to compile.
type service struct {
	// name is for people, id by which AWS's variables call it, signingName by which signatures do.
	name, id, signingName string
	// target is the operation in the JSON protocol.
	target string
	// host is what the endpoint's name begins with: of the plain endpoint, and of the dual-stack one.
	host, dualStackHost string
}

// ecr is Amazon ECR: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html.
func ecr() service {
	return service{
		name: "ECR", id: "ECR", signingName: "ecr", target: "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
		host: "api.ecr", dualStackHost: "ecr",
	}
}

// ecrPublic is Amazon ECR Public:
// https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_GetAuthorizationToken.html.
func ecrPublic() service {
	return service{
		name: "ECR Public", id: "ECR PUBLIC", signingName: "ecr-public", target: "SpencerFrontendService.GetAuthorizationToken",
		host: "api.ecr-public", dualStackHost: "ecr-public",
	}
}

// endpointSource is what knows the variables that move endpoints; the SDK's clients look for the same methods on every
// configuration source.
type endpointSource interface {
	GetServiceBaseEndpoint(ctx context.Context, sdkID string) (string, bool, error)
	GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
	GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error)
}

// endpoint returns the URL that the service is called at. The rules are those of the SDK's clients, which a test compares
// it with.
func (s service) endpoint(ctx context.Context, config aws.Config, region awsid.Region) (string, error) {
	base, err := s.baseEndpoint(ctx, config)
	if err != nil || base != "" {
		return base, err
	}
	fips, dualStack := false, false
	for _, source := range sources(config) {
		if state, _, err := source.GetUseFIPSEndpoint(ctx); err == nil {
			fips = state == aws.FIPSEndpointStateEnabled
		}
		if state, _, err := source.GetUseDualStackEndpoint(ctx); err == nil {
			dualStack = state == aws.DualStackEndpointStateEnabled
		}
	}
	host, suffix := s.host, region.Partition().DNSSuffix
	if dualStack {
		host, suffix = s.dualStackHost, region.Partition().DualStackSuffix
	}
	if fips {
		host += "-fips"
	}
	return fmt.Sprintf("https://%s.%s.%s", host, region, suffix), nil
}

// baseEndpoint is where the variables move the service to: its own one before that of all services; empty if neither is
// set.
func (s service) baseEndpoint(ctx context.Context, config aws.Config) (string, error) {
	for _, source := range sources(config) {
		if own, found, err := source.GetServiceBaseEndpoint(ctx, s.id); found || err != nil {
			return own, err
		}
	}
	return aws.ToString(config.BaseEndpoint), nil
}

// moved tells whether the service is called elsewhere than at AWS.
func (s service) moved(ctx context.Context, config aws.Config) bool {
	base, err := s.baseEndpoint(ctx, config)
	return err == nil && base != ""
}

func sources(config aws.Config) []endpointSource {
	var all []endpointSource
	for _, source := range config.ConfigSources {
		if known, ok := source.(endpointSource); ok {
			all = append(all, known)
		}
	}
	return all
}

// signer signs calls by the machine's clock, and by the server's once that is known to differ.
type signer struct {
	now   func() time.Time
	ahead time.Duration
}

// call makes one call in AWS's JSON protocol 1.1 (https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html), and
// returns the answer's body. Errors are those of awserr.
func (s service) call(ctx context.Context, config aws.Config, region awsid.Region, signer *signer) ([]byte, error) {
	request, err := s.request(ctx, config, region, signer)
	if err != nil {
		return nil, err
	}
	response, err := config.HTTPClient.Do(request)
	if err != nil {
		return nil, awserr.Shorten(s.name, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode == http.StatusOK {
		return body, nil
	}
	return nil, signer.corrected(awserr.FromJSON(s.name, response, body, err), response.Header)
}

func (s service) request(ctx context.Context, config aws.Config, region awsid.Region, signer *signer) (*http.Request, error) {
	credentials, err := config.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", s.name, err)
	}
	endpoint, err := s.endpoint(ctx, config, region)
	if err != nil {
		return nil, err
	}
	body := []byte("{}")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the endpoint of " + s.name + " is no URL that can be called")
	}
	if request.URL.Path == "" {
		request.URL.Path = "/"
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", s.target)
	request.Header.Set("User-Agent", config.AppID)
	hash := sha256.Sum256(body)
	at := signer.now().Add(signer.ahead)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(hash[:]), s.signingName, region.String(), at); err != nil {
		return nil, fmt.Errorf("sign the call of %s: %w", s.name, err)
	}
	return request, nil
}

// corrected marks a refusal that came of a wrong clock as one that may pass, and corrects the signer's: AWS takes no
// signature whose time is more than five minutes off
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html).
func (s *signer) corrected(err error, header http.Header) error {
	const tolerable = 4 * time.Minute

	date, parseErr := http.ParseTime(header.Get("Date"))
	if parseErr != nil {
		return err
	}
	ahead := date.Sub(s.now())
	if (ahead - s.ahead).Abs() < tolerable {
		return err
	}
	skewed, marked := awserr.Skewed(err)
	if skewed {
		s.ahead = ahead
	}
	return marked
}
