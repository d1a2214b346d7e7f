package awsauth_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
)

// recorder keeps where a request would have gone, and sends none.
type recorder struct{ address string }

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.address = request.URL.Scheme + "://" + request.URL.Host
	return nil, errors.New("not sent")
}

// The endpoint is the one that the SDK's client calls.
func TestEndpoint(t *testing.T) {
	for name, row := range map[string]struct {
		region    string
		variables map[string]string
		want      string
	}{
		"commercial":   {"eu-west-1", nil, "https://sts.eu-west-1.amazonaws.com"},
		"China":        {"cn-north-1", nil, "https://sts.cn-north-1.amazonaws.com.cn"},
		"FIPS":         {"us-east-2", map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, "https://sts-fips.us-east-2.amazonaws.com"},
		"dual-stack":   {"us-east-2", map[string]string{"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://sts.us-east-2.api.aws"},
		"all moved":    {"us-east-2", map[string]string{"AWS_ENDPOINT_URL": "http://x:1"}, "http://x:1"},
		"itself moved": {"us-east-2", map[string]string{"AWS_ENDPOINT_URL": "http://x:1", "AWS_ENDPOINT_URL_STS": "https://y"}, "https://y"},
	} {
		t.Run(name, func(t *testing.T) {
			region, err := awsid.ParseRegion(row.region)
			if err != nil {
				t.Fatal(err)
			}
			sent := &recorder{}
			config, err := awsauth.NewConfig(awsauth.Settings{Region: region, HTTP: &http.Client{Transport: sent}, Getenv: func(key string) string { return row.variables[key] }})
			if err != nil {
				t.Fatal(err)
			}
			config.Credentials = awsauth.Session{Keys: awsauth.Keys{}}
			got, err := awsauth.Endpoint(t.Context(), config)
			if _, callErr := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil); callErr == nil || err != nil || got != row.want || got != sent.address {
				t.Errorf("got %s, %v, want %s; the SDK calls %s", got, err, row.want, sent.address)
			}
		})
	}
}
