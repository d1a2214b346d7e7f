package dockerlogin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

func region(t *testing.T, code string) awsid.Region {
	t.Helper()
	parsed, err := awsid.ParseRegion(code)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// fakeECR answers calls by REGION/SIGNING-NAME of their signature, and notes them.
type fakeECR struct {
	mu      sync.Mutex
	calls   []string
	answers map[string]http.HandlerFunc
}

func (f *fakeECR) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scope := strings.Split(r.Header.Get("Authorization"), "/")
	if len(scope) < 4 {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	where := scope[2] + "/" + scope[3]
	f.mu.Lock()
	f.calls = append(f.calls, where)
	f.mu.Unlock()
	answer := f.answers[where]
	if answer == nil {
		answer = f.answers[""]
	}
	answer(w, r)
}

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func (f *fakeECR) fetcher(t *testing.T, attempts int) Fetcher {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "secret-canary", SessionToken: "token-canary"}, nil
	})
	return Fetcher{
		Config: aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), HTTPClient: server.Client(), Credentials: credentials},
		Retry:  policyOf(attempts), Now: time.Now,
	}
}

// policyOf makes that many attempts, without waiting.
func policyOf(attempts int) retry.Policy {
	return retry.Policy{Wait: func(context.Context, time.Duration) error {
		if attempts--; attempts < 1 {
			return errors.New("enough")
		}
		return nil
	}}
}

func own(t *testing.T) []Registry { return []Registry{OwnRegistry(region(t, "eu-west-1"))} }

func encoded(pair string) string { return base64.StdEncoding.EncodeToString([]byte(pair)) }

func answer(token, endpoint string) string {
	return fmt.Sprintf(`{"authorizationData":[{"authorizationToken":%q,"expiresAt":1700000000.5,"proxyEndpoint":%q}]}`, token, endpoint)
}

func TestLoginToTheOwnRegistry(t *testing.T) {
	fake := &fakeECR{answers: map[string]http.HandlerFunc{"eu-west-1/ecr": reply(200, answer(encoded("AWS:pass:word-canary"), "https://"+host))}}
	logins, err := fake.fetcher(t, 1).Logins(t.Context(), own(t))
	if err != nil || len(logins) != 1 || len(fake.calls) != 1 {
		t.Fatalf("%v, %v, calls %v", logins, err, fake.calls)
	}
	login := logins[0]
	if login.Registry.String() != host || login.Username != "AWS" || login.Password.Reveal() != "pass:word-canary" || !login.Expires.Equal(time.UnixMilli(1700000000500)) {
		t.Errorf("got %+v", login)
	}
	if got := fmt.Sprintf("%v %+v %#v", login, login, login); strings.Contains(got, "canary") {
		t.Errorf("a login shows its password: %s", got)
	}
}

// One call a Region and one for ECR Public; every name gets the login of its Region, in the order in which it was named.
func TestOneCallForEachRegion(t *testing.T) {
	fake := &fakeECR{answers: map[string]http.HandlerFunc{
		"eu-west-1/ecr":        reply(200, answer(encoded("AWS:of-eu-west-1"), "https://own.example:5000")),
		"us-east-1/ecr":        reply(200, answer(encoded("AWS:of-us-east-1"), "https://ignored")),
		"us-east-1/ecr-public": reply(200, `{"authorizationData":{"authorizationToken":"`+encoded("AWS:of-public")+`","expiresAt":1700000000}}`),
	}}
	fetcher := fake.fetcher(t, 1)
	fetcher.Account = "000000000001"
	want := [][2]string{
		{"210987654321.dkr.ecr.us-east-1.amazonaws.com", "of-us-east-1"},
		{"public.ecr.aws", "of-public"},
		{"210987654321.dkr.ecr.eu-west-1.amazonaws.com", "of-eu-west-1"},
		{"own.example:5000", "of-eu-west-1"},
		{"210987654321.dkr-ecr.us-east-1.on.aws", "of-us-east-1"},
		{"ecr-public.aws.com", "of-public"},
	}
	var registries []Registry
	for _, item := range []string{
		"210987654321.dkr.ecr.us-east-1.amazonaws.com", "public.ecr.aws", "210987654321", "000000000001", "https://public.ecr.aws/alias/app",
		"210987654321.dkr-ecr.us-east-1.on.aws", "ecr-public.aws.com", "210987654321.dkr.ecr.eu-west-1.amazonaws.com/app:1",
	} {
		registry, err := ParseRegistry(item, region(t, "eu-west-1"))
		if err != nil {
			t.Fatal(err)
		}
		registries = append(registries, registry)
	}
	logins, err := fetcher.Logins(t.Context(), registries)
	if err != nil {
		t.Fatal(err)
	}
	var got [][2]string
	for _, login := range logins {
		got = append(got, [2]string{login.Registry.String(), login.Password.Reveal()})
	}
	if !slices.Equal(got, want) {
		t.Errorf("logins %v, want %v", got, want)
	}
	slices.Sort(fake.calls)
	if want := []string{"eu-west-1/ecr", "us-east-1/ecr", "us-east-1/ecr-public"}; !slices.Equal(fake.calls, want) {
		t.Errorf("calls %v, want %v", fake.calls, want)
	}
}

// If one fails, there is no login, and everyone that failed is listed. Those whose fault might have passed are not waited
// for any longer.
func TestEveryFailureIsListed(t *testing.T) {
	denied := make(chan struct{})
	fake := &fakeECR{answers: map[string]http.HandlerFunc{
		"eu-west-1/ecr": reply(200, answer(encoded("AWS:x"), "https://"+host)),
		"us-east-1/ecr": func(w http.ResponseWriter, r *http.Request) {
			<-denied
			reply(503, `{}`)(w, r)
		},
		"us-east-1/ecr-public": func(w http.ResponseWriter, r *http.Request) {
			defer close(denied)
			reply(400, `{"__type":"com.amazonaws#AccessDeniedException","Message":"User: x is not authorized to perform: sts:GetServiceBearerToken on resource: *"}`)(w, r)
		},
	}}
	fetcher := fake.fetcher(t, 1)
	fetcher.Retry = retry.Policy{Jitter: func() float64 { return 1 }}
	var registries []Registry
	for _, item := range []string{"210987654321", "public.ecr.aws", "000000000001.dkr.ecr.us-east-1.amazonaws.com", "210987654321.dkr.ecr.us-east-1.amazonaws.com"} {
		registry, err := ParseRegistry(item, region(t, "eu-west-1"))
		if err != nil {
			t.Fatal(err)
		}
		registries = append(registries, registry)
	}
	logins, err := fetcher.Logins(t.Context(), registries)
	var failed *FetchError
	if len(logins) != 0 || !errors.As(err, &failed) || len(failed.Failures) != 2 || failed.Registries != 4 {
		t.Fatalf("%v, %v", logins, err)
	}
	for _, want := range []string{
		"get a login to ECR Public in us-east-1 for public.ecr.aws: ECR Public answered AccessDeniedException: User: x is not",
		"get a login to ECR in us-east-1 for 000000000001.dkr.ecr.us-east-1.amazonaws.com, 210987654321.dkr.ecr.us-east-1.amazonaws.com: the answer of ECR, 503",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if n := len(fake.calls); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
	if x, found := failed.Failures[0].explain(); !found || !strings.Contains(x.Cause, "sts:GetServiceBearerToken") {
		t.Errorf("%+v", x)
	}
	// One of them has no explanation, which keeps nothing of the other's back.
	x, found := failed.Explain()
	if text := strings.Join(append(x.Means, x.Do...), " "); !found || !strings.Contains(text, "ECR Public in us-east-1: the permission sts:GetServiceBearerToken is missing") || !strings.Contains(text, "ECR in us-east-1: the answer of ECR, 503") {
		t.Errorf("%v %+v", found, x)
	}
}

// A Region that never answers does not hold up a run in which another one has refused already.
func TestARefusalDoesNotWaitForSilence(t *testing.T) {
	fake := &fakeECR{answers: map[string]http.HandlerFunc{
		"us-east-1/ecr": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or net/http does not notice that the client is gone
			<-r.Context().Done()
		},
		"eu-west-1/ecr": reply(400, `{"__type":"AccessDeniedException","message":"no"}`),
	}}
	registries := append(own(t), OwnRegistry(region(t, "us-east-1")))
	_, err := fake.fetcher(t, 5).Logins(t.Context(), registries)
	if err == nil || strings.Contains(err.Error(), "within 10 seconds") || !strings.Contains(err.Error(), "get a login to ECR in us-east-1: no answer from ECR") {
		t.Errorf("%v", err)
	}
}

func TestRefusals(t *testing.T) {
	valid := encoded("AWS:canary-password")
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
		"no JSON":            {200, `<html>canary`, "the answer of ECR, of 12 bytes, is not the JSON object", false, 3},
		"no JSON, 400":       {400, `<html>canary`, "the answer of ECR, 400 Bad Request, could not be read", false, 1},
		"no code, 500":       {500, `{}`, "the answer of ECR, 500 Internal Server Error, could not be read", false, 3},
		"no data":            {200, `{"authorizationData":[]}`, "ECR answered without an authorization token", false, 3},
		"data is a text":     {200, `{"authorizationData":"canary"}`, "ECR answered without an authorization token", false, 3},
		"no token":           {200, `{"authorizationData":[{"proxyEndpoint":"https://x"}]}`, "ECR answered without an authorization token", false, 3},
		"no base64":          {200, answer("canary%", "https://x"), "the authorization token of ECR is not base64", false, 3},
		"no pair":            {200, answer(encoded("canary"), "https://x"), "is not of the shape USERNAME:PASSWORD", false, 3},
		"no registry":        {200, answer(valid, ""), "the answer of ECR names no registry", false, 3},
		"registry with path": {200, answer(valid, "https://x/y"), "the registry in the answer of ECR: a registry's URL such as", false, 3},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakeECR{answers: map[string]http.HandlerFunc{"eu-west-1/ecr": reply(row.status, row.body)}}
			fetcher := fake.fetcher(t, 3)
			fetcher.Fresh = row.fresh
			_, err := fetcher.Logins(t.Context(), own(t))
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, row.want)
			}
			if len(fake.calls) != row.calls {
				t.Errorf("%d calls, want %d", len(fake.calls), row.calls)
			}
		})
	}
}

// rerouted sends every call to one server, whatever its host.
type rerouted struct{ host string }

func (r rerouted) RoundTrip(request *http.Request) (*http.Response, error) {
	request.URL.Scheme, request.URL.Host = "http", r.host
	return http.DefaultTransport.RoundTrip(request)
}

// AWS itself names registries of ECR only; elsewhere, where the variables lead the call, it is any host.
func TestHostOfTheOwnRegistry(t *testing.T) {
	for host, right := range map[string]bool{"https://" + host: true, "https://index.docker.io": false, "http://127.0.0.1:5000": false} {
		fake := &fakeECR{answers: map[string]http.HandlerFunc{"": reply(200, answer(encoded("AWS:x"), host))}}
		fetcher := fake.fetcher(t, 1)
		address := strings.TrimPrefix(aws.ToString(fetcher.Config.BaseEndpoint), "http://")
		if _, err := fetcher.Logins(t.Context(), own(t)); err != nil {
			t.Errorf("%s, with an endpoint of its own: %v", host, err)
		}
		fetcher.Config.BaseEndpoint, fetcher.Config.HTTPClient = nil, &http.Client{Transport: rerouted{address}}
		if _, err := fetcher.Logins(t.Context(), own(t)); (err == nil) != right || !right && !strings.Contains(err.Error(), "is not of ECR") {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestFreshCredentialsAreNotWaitedForForever(t *testing.T) {
	fake := &fakeECR{answers: map[string]http.HandlerFunc{"": reply(400, `{"__type":"UnrecognizedClientException","message":"invalid"}`)}}
	fetcher := fake.fetcher(t, 100)
	fetcher.Fresh = true
	if _, err := fetcher.Logins(t.Context(), own(t)); err == nil || len(fake.calls) != 8 {
		t.Errorf("%d calls, %v", len(fake.calls), err)
	}
}

// A machine's clock that is wrong is corrected by the server's, once; a signature that is refused for another reason is
// not tried again.
func TestSignaturesFollowTheServersClock(t *testing.T) {
	const layout = "20060102T150405Z"
	server := time.Now().Add(3 * time.Hour).Truncate(time.Second)
	for name, row := range map[string]struct {
		ahead time.Duration
		calls int
		right bool
	}{"hours off": {3 * time.Hour, 2, true}, "right, and refused all the same": {0, 1, false}} {
		t.Run(name, func(t *testing.T) {
			server := server.Add(row.ahead - 3*time.Hour)
			fake := &fakeECR{answers: map[string]http.HandlerFunc{"": func(w http.ResponseWriter, r *http.Request) {
				signed, err := time.Parse(layout, r.Header.Get("X-Amz-Date"))
				w.Header().Set("Date", server.UTC().Format(http.TimeFormat))
				if !row.right || err != nil || server.Sub(signed).Abs() > 5*time.Minute {
					reply(400, `{"__type":"InvalidSignatureException","message":"Signature expired"}`)(w, r)
					return
				}
				reply(200, answer(encoded("AWS:x"), "https://"+host))(w, r)
			}}}
			_, err := fake.fetcher(t, 5).Logins(t.Context(), own(t))
			if (err == nil) != row.right || len(fake.calls) != row.calls {
				t.Errorf("%d calls, %v", len(fake.calls), err)
			}
		})
	}
}

// The credentials are not sent elsewhere than into the signature and its token.
func TestTheCallHoldsNoSecretKey(t *testing.T) {
	var seen http.Header
	fake := &fakeECR{answers: map[string]http.HandlerFunc{"": func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		reply(200, answer(encoded("AWS:x"), "https://"+host))(w, r)
	}}}
	if _, err := fake.fetcher(t, 1).Logins(t.Context(), own(t)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(fmt.Sprint(seen), "secret-canary") || seen.Get("X-Amz-Security-Token") != "token-canary" || seen.Get("X-Amz-Target") != ecr().target {
		t.Errorf("%v", seen)
	}
}

func TestNoCredentialsNoCall(t *testing.T) {
	fake := &fakeECR{}
	fetcher := fake.fetcher(t, 3)
	fetcher.Config.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("none") })
	if _, err := fetcher.Logins(t.Context(), own(t)); err == nil || awserr.Passes(err) || len(fake.calls) != 0 {
		t.Errorf("%v, calls %v", err, fake.calls)
	}
	fetcher = fake.fetcher(t, 3)
	fetcher.Config.BaseEndpoint = aws.String("http://[user:pass-canary")
	if _, err := fetcher.Logins(t.Context(), own(t)); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, seed := range []string{"", "{}", answer(encoded("AWS:x"), "https://x"), `{"authorizationData":{"authorizationToken":"QTpi"}}`, `{"authorizationData":[]}`, `{"authorizationData":[null]}`, `{"authorizationData":[{"authorizationToken":"QTpi","expiresAt":1e300}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		token, err := parseAnswer("ECR", in)
		if err == nil && (token.username == "" || token.password.IsEmpty()) {
			t.Errorf("%q is half a login", in)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("an error of %d characters", len(err.Error()))
		}
	})
}

func FuzzParseAuthorizationToken(f *testing.F) {
	for _, seed := range []string{"", "QVdTOng=", "Og==", "QQ==", "%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		token, err := parseToken(secret.New(in))
		if err == nil && (token.username == "" || token.password.IsEmpty()) {
			t.Errorf("%q is half a login", in)
		}
		if err != nil && len(in) >= 8 && strings.Contains(err.Error(), in) {
			t.Errorf("the error quotes the token: %v", err)
		}
	})
}
