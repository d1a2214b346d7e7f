package dockerlogin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

func TestLoginToTheOwnRegistry(t *testing.T) {
	fake := always(200, authorized(encoded("AWS:pass:word-canary"), "https://"+host))
	logins, err := obtain(t, fake.client(t), 1, newRequest(own(t)))
	if err != nil || len(logins) != 1 || len(fake.calls) != 1 {
		t.Fatalf("got %v, %v, calls %v", logins, err, fake.calls)
	}
	login := logins[0]
	if login.Host != host || login.Password.Reveal() != "pass:word-canary" {
		t.Errorf("got %+v", login)
	}
	if want := time.UnixMilli(4000000000500); !login.Expires.Equal(want) {
		t.Errorf("expires at %s, want %s", login.Expires, want)
	}
	if got := fmt.Sprintf("%v %+v %#v", login, login, login); strings.Contains(got, "canary") {
		t.Errorf("the login prints its password: %s", got)
	}
}

// The client makes one call per Region and one to ECR Public. Every host gets the login of its Region, in the order of the request.
func TestOneCallPerRegion(t *testing.T) {
	fake := &fakeECR{handlers: map[string]http.HandlerFunc{
		"eu-west-1/ecr":        reply(200, authorized(encoded("AWS:of-eu-west-1"), "https://own.example:5000")),
		"us-east-1/ecr":        reply(200, authorized(encoded("AWS:of-us-east-1"), "https://ignored")),
		"us-east-1/ecr-public": reply(200, `{"authorizationData":{"authorizationToken":"`+encoded("AWS:of-public")+`","expiresAt":4000000000}}`),
	}}
	client := fake.client(t)
	request := newRequest(registries(t,
		"210987654321.dkr.ecr.us-east-1.amazonaws.com", "public.ecr.aws", "210987654321", "000000000001", "https://public.ecr.aws/alias/app",
		"210987654321.dkr-ecr.us-east-1.on.aws", "ecr-public.aws.com", "210987654321.dkr.ecr.eu-west-1.amazonaws.com/app:1")...)
	request.Registries = append(request.Registries, own(t), own(t))
	logins, err := obtain(t, client, 1, request)
	if err != nil {
		t.Fatal(err)
	}
	var got [][2]string
	for _, login := range logins {
		got = append(got, [2]string{login.Host, login.Password.Reveal()})
	}
	want := [][2]string{
		{"210987654321.dkr.ecr.us-east-1.amazonaws.com", "of-us-east-1"},
		{"public.ecr.aws", "of-public"},
		{"210987654321.dkr.ecr.eu-west-1.amazonaws.com", "of-eu-west-1"},
		{"000000000001.dkr.ecr.eu-west-1.amazonaws.com", "of-eu-west-1"},
		{"210987654321.dkr-ecr.us-east-1.on.aws", "of-us-east-1"},
		{"ecr-public.aws.com", "of-public"},
		{"own.example:5000", "of-eu-west-1"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got logins %v, want %v", got, want)
	}
	slices.Sort(fake.calls)
	if want := []string{"eu-west-1/ecr", "us-east-1/ecr", "us-east-1/ecr-public"}; !slices.Equal(fake.calls, want) {
		t.Errorf("got calls %v, want %v", fake.calls, want)
	}
}

// If one call fails, no logins are returned, and all failures are listed. Other calls are retried for one more second.
func TestEveryFailureIsListed(t *testing.T) {
	fake := &fakeECR{handlers: map[string]http.HandlerFunc{
		"eu-west-1/ecr":        reply(200, authorized(encoded("AWS:x"), "https://"+host)),
		"us-east-1/ecr":        reply(503, `{}`),
		"us-east-1/ecr-public": reply(400, denied("sts:GetServiceBearerToken", "")),
	}}
	request := newRequest(registries(t, "210987654321", "public.ecr.aws",
		"000000000001.dkr.ecr.us-east-1.amazonaws.com", "210987654321.dkr.ecr.us-east-1.amazonaws.com")...)
	client := fake.client(t)
	var logins []Login
	var err error
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		if logins, err = client.Logins(t.Context(), request.Credentials, request.Registries, request.Retry); time.Since(started) != time.Second {
			t.Errorf("the failure took %v", time.Since(started))
		}
	})
	if err == nil || len(logins) != 0 {
		t.Fatalf("got %v, %v", logins, err)
	}
	lines := strings.Split(err.Error(), "\n")
	const public = "get a login to ECR Public in us-east-1 for public.ecr.aws: ECR Public returned AccessDeniedException: User: x is not"
	const private = "get a login to ECR in us-east-1 for 000000000001.dkr.ecr.us-east-1.amazonaws.com, " +
		"210987654321.dkr.ecr.us-east-1.amazonaws.com: ECR returned 503"
	if len(lines) != 2 || !strings.HasPrefix(lines[0], private) || !strings.HasPrefix(lines[1], public) {
		t.Errorf("got %q", lines)
	}
}

// A Region that never responds does not delay a run in which a different one has rejected the call.
func TestErrorDoesNotWaitForOtherRegions(t *testing.T) {
	fake := &fakeECR{handlers: map[string]http.HandlerFunc{
		"us-east-1/ecr": silence,
		"eu-west-1/ecr": reply(400, denied("ecr:GetAuthorizationToken", "")),
	}}
	_, err := obtain(t, fake.client(t), 5, newRequest(own(t), OwnRegistry(region(t, "us-east-1"))))
	if err == nil || !strings.HasSuffix(err.Error(), ": context canceled") {
		t.Errorf("got %v", err)
	}
}

func TestLoginsEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	fake := &fakeECR{handlers: map[string]http.HandlerFunc{"": func(w http.ResponseWriter, r *http.Request) {
		cancel()
		silence(w, r)
	}}}
	_, err := fake.client(t).Logins(ctx, newRequest().Credentials, []Registry{own(t)}, retry.Policy{})
	if !errors.Is(err, context.Canceled) || len(fake.calls) != 1 {
		t.Errorf("got %v, calls %v", err, fake.calls)
	}
}

// AWS's own endpoints return registries of ECR. Endpoints that the variables name may return any host.
func TestHostOfTheOwnRegistry(t *testing.T) {
	for url, isECR := range map[string]bool{"https://" + host: true, "https://index.docker.io": false, "http://127.0.0.1:5000": false} {
		fake := always(200, authorized(encoded("AWS:x"), url))
		t.Run(url+", with AWS_ENDPOINT_URL", func(t *testing.T) {
			if _, err := obtain(t, fake.client(t), 1, newRequest(own(t))); err != nil {
				t.Errorf("got %v", err)
			}
		})
		t.Run(url+", without it", func(t *testing.T) {
			_, err := obtain(t, newClient(t, nil, &http.Client{Transport: fake}), 1, newRequest(own(t)))
			if (err == nil) != isECR || !isECR && !strings.Contains(err.Error(), "the URL of a registry that is not ECR's") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The client corrects a wrong clock once, for all Regions. A signature that is rejected for another reason is not retried.
func TestSignaturesFollowTheServersClock(t *testing.T) {
	const layout = "20060102T150405Z"
	for name, row := range map[string]struct {
		ahead   time.Duration
		accepts bool
		calls   int
	}{
		"hours wrong":                 {3 * time.Hour, true, 3},
		"right, but rejected anyway":  {0, false, 1},
		"minutes wrong, and rejected": {2 * time.Minute, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakeECR{handlers: map[string]http.HandlerFunc{"": func(w http.ResponseWriter, r *http.Request) {
				server := time.Now().Add(row.ahead)
				signed, err := time.Parse(layout, r.Header.Get("X-Amz-Date"))
				w.Header().Set("Date", server.UTC().Format(http.TimeFormat))
				if !row.accepts || err != nil || server.Sub(signed).Abs() > 5*time.Minute {
					reply(400, `{"__type":"InvalidSignatureException","message":"Signature expired"}`)(w, r)
					return
				}
				reply(200, authorized(encoded("AWS:x"), "https://"+host))(w, r)
			}}}
			client := fake.client(t)
			_, err := obtain(t, client, 5, newRequest(own(t)))
			if err == nil {
				_, err = obtain(t, client, 5, newRequest(OwnRegistry(region(t, "us-east-1"))))
			}
			if (err == nil) != row.accepts || len(fake.calls) != row.calls {
				t.Errorf("got %d calls, %v; want %d", len(fake.calls), err, row.calls)
			}
		})
	}
}

func TestCallsAreSigned(t *testing.T) {
	var seen http.Header
	fake := &fakeECR{handlers: map[string]http.HandlerFunc{"": func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		reply(200, authorized(encoded("AWS:x"), "https://"+host))(w, r)
	}}}
	if _, err := obtain(t, fake.client(t), 1, newRequest(own(t))); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(fmt.Sprint(seen), "secret-canary") || seen.Get("X-Amz-Security-Token") != "token-canary" ||
		!strings.HasSuffix(seen.Get("X-Amz-Target"), ".GetAuthorizationToken") {
		t.Errorf("got %v", seen)
	}
}

// The endpoints in all partitions are tested in e2e.
func TestEndpoints(t *testing.T) {
	const public = "public.ecr.aws"
	for name, row := range map[string]struct {
		variables map[string]string
		want      []string
	}{
		"no variables": {nil, []string{"https://api.ecr.eu-west-1.amazonaws.com", "https://api.ecr-public.us-east-1.amazonaws.com"}},
		"FIPS": {
			map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"},
			[]string{"https://api.ecr-fips.eu-west-1.amazonaws.com", "https://api.ecr-public-fips.us-east-1.amazonaws.com"},
		},
		"dual-stack": {
			map[string]string{"AWS_USE_DUALSTACK_ENDPOINT": "true"},
			[]string{"https://ecr.eu-west-1.api.aws", "https://ecr-public.us-east-1.api.aws"},
		},
		"all services": {map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, []string{"http://127.0.0.1:1", "http://127.0.0.1:1"}},
		"one service": {
			map[string]string{"AWS_ENDPOINT_URL_ECR_PUBLIC": "http://127.0.0.1:2"},
			[]string{"https://api.ecr.eu-west-1.amazonaws.com", "http://127.0.0.1:2"},
		},
		"cannot be resolved": {
			map[string]string{"AWS_USE_FIPS_ENDPOINT": "true", "AWS_ENDPOINT_URL_ECR": "http://127.0.0.1:1"},
			[]string{"https://api.ecr-public-fips.us-east-1.amazonaws.com"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := newClient(t, row.variables, http.DefaultClient).Endpoints(t.Context(), append(registries(t, "123456789012", public), own(t)))
			if !slices.Equal(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}
