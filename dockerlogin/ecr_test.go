package dockerlogin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// ecrServer answers every call alike, and counts them.
func ecrServer(t *testing.T, status int, body string) (aws.Config, *int) {
	t.Helper()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if got := r.Header.Get("Authorization"); !strings.Contains(got, "/eu-west-1/ecr/aws4_request") {
			t.Errorf("signed as %q", got)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "secret-canary"}, nil
	})
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), HTTPClient: server.Client(), Credentials: credentials,
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}, &calls
}

func policyOf(attempts int) retry.Policy {
	return retry.Policy{Wait: func(context.Context, time.Duration) error {
		if attempts--; attempts < 1 {
			return errors.New("enough")
		}
		return nil
	}}
}

func answer(token, endpoint string) string {
	return fmt.Sprintf(`{"authorizationData":[{"authorizationToken":%q,"expiresAt":1700000000,"proxyEndpoint":%q}]}`, token, endpoint)
}

func TestFetch(t *testing.T) {
	config, calls := ecrServer(t, 200, answer(base64.StdEncoding.EncodeToString([]byte("AWS:pass:word-canary")), "https://"+host))
	login, err := Fetch(t.Context(), config, policyOf(1), false)
	if err != nil || login.Registry.String() != host || login.Username != "AWS" || login.Password.Reveal() != "pass:word-canary" || !login.Expires.Equal(time.Unix(1700000000, 0)) || *calls != 1 {
		t.Errorf("%+v, %v, %d calls", login, err, *calls)
	}
	if got := fmt.Sprintf("%v %+v %#v", login, login, login); strings.Contains(got, "canary") {
		t.Errorf("a login shows its password: %s", got)
	}
}

func TestFetchRefusals(t *testing.T) {
	valid := base64.StdEncoding.EncodeToString([]byte("AWS:canary-password"))
	for name, row := range map[string]struct {
		status int
		body   string
		want   string
		fresh  bool
		calls  int // of three attempts at most
	}{
		"denied":             {400, `{"__type":"AccessDeniedException","message":"User: x is not authorized to perform: ecr:GetAuthorizationToken"}`, "get a login to ECR in eu-west-1: ECR answered AccessDeniedException: User: x is not authorized", true, 1},
		"throttled":          {400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`, "ThrottlingException", false, 3},
		"fresh credentials":  {400, `{"__type":"UnrecognizedClientException","message":"invalid"}`, "UnrecognizedClientException", true, 3},
		"old credentials":    {400, `{"__type":"UnrecognizedClientException","message":"invalid"}`, "UnrecognizedClientException", false, 1},
		"no data":            {200, `{"authorizationData":[]}`, "ECR answered without an authorization token", false, 3},
		"no token":           {200, `{"authorizationData":[{"proxyEndpoint":"https://x"}]}`, "ECR answered without an authorization token", false, 3},
		"no base64":          {200, answer("canary%", "https://x"), "ECR's authorization token is not base64", false, 3},
		"no pair":            {200, answer(base64.StdEncoding.EncodeToString([]byte("canary")), "https://x"), "not of the shape USERNAME:PASSWORD", false, 3},
		"no registry":        {200, answer(valid, ""), "the registry in ECR's answer: a registry's URL such as", false, 3},
		"registry with path": {200, answer(valid, "https://x/y"), "the registry in ECR's answer", false, 3},
	} {
		t.Run(name, func(t *testing.T) {
			config, calls := ecrServer(t, row.status, row.body)
			_, err := Fetch(t.Context(), config, policyOf(3), row.fresh)
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, row.want)
			}
			if *calls != row.calls {
				t.Errorf("%d calls, want %d", *calls, row.calls)
			}
		})
	}
}

func TestFreshCredentialsAreNotWaitedForForever(t *testing.T) {
	config, calls := ecrServer(t, 400, `{"__type":"UnrecognizedClientException","message":"invalid"}`)
	if _, err := Fetch(t.Context(), config, policyOf(100), true); err == nil || *calls != 8 {
		t.Errorf("%d calls, %v", *calls, err)
	}
}

func FuzzParseEndpoint(f *testing.F) {
	for _, seed := range []string{"", "https://" + host, "http://127.0.0.1:5000/", "https://a@b", "//x", "https://[::1]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		registry, err := parseEndpoint(in)
		if err == nil && (registry.String() == "" || !strings.Contains(in, registry.String()) || strings.ContainsAny(registry.String(), "/@? ")) {
			t.Errorf("%q is the registry %q", in, registry)
		}
	})
}

func FuzzParseAuthorizationToken(f *testing.F) {
	for _, seed := range []string{"", "QVdTOng=", "Og==", "QQ==", "%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		login, err := parseAuthorizationToken(secret.New(in))
		if err == nil && (login.Username == "" || login.Password.IsEmpty()) {
			t.Errorf("%q is half a login", in)
		}
		if err != nil && len(in) >= 8 && strings.Contains(err.Error(), in) {
			t.Errorf("the error quotes the token: %v", err)
		}
	})
}
