package sandbox

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// PublicRegistry is the account of ECR Public's registry in [Sandbox.Registry].
const PublicRegistry = "public"

// publicRegion is the Region in which ECR Public issues authorization tokens:
// https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html.
const publicRegion = "us-east-1"

// passwordLifetime is the lifetime of ECR's authorization tokens:
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_AuthorizationData.html.
const passwordLifetime = 12 * time.Hour

// password is a login to the registries of a Region or to the public registry.
type password struct {
	region  string
	public  bool
	expires time.Time
}

// containers is a registry.
type containers struct {
	handler http.Handler
	host    string // of its listener; empty until it is first requested
}

// ecr implements GetAuthorizationToken of ECR (JSON protocol 1.1) and of ECR Public.
// See https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html.
func (s *Sandbox) ecr(call *Call, r *http.Request, body []byte) response {
	service := call.Service
	s.mu.Lock()
	who, apiErr := s.authenticate(r, body, service, ecrCodes)
	s.mu.Unlock()
	if apiErr != nil {
		return apiErr.asJSON(call)
	}
	if call.Action != "GetAuthorizationToken" {
		return newError(http.StatusBadRequest, "UnknownOperationException", "").asJSON(call)
	}
	if apiErr := s.mayLogIn(who, service); apiErr != nil {
		return apiErr.asJSON(call)
	}
	public := service == "ecr-public"
	if public && call.Region != publicRegion {
		return newError(http.StatusBadRequest, "UnsupportedCommandException", "ECR Public is not in %s", call.Region).asJSON(call)
	}
	expires := s.clock().Add(passwordLifetime)
	secret := random(64)
	token := base64.StdEncoding.EncodeToString([]byte("AWS:" + secret))
	s.record.secret(secret)
	s.record.secret(token)
	s.mu.Lock()
	s.passwords[secret] = password{region: call.Region, public: public, expires: expires}
	s.mu.Unlock()

	data := map[string]any{"authorizationToken": token, "expiresAt": float64(expires.UnixMilli()) / 1000}
	if public {
		return withRequestID(jsonResponse(http.StatusOK, map[string]any{"authorizationData": data}), requestID())
	}
	data["proxyEndpoint"] = "http://" + s.Registry(who.account, call.Region)
	// Clients that call ECR by its name get the registry's name.
	if suffix, found := strings.CutPrefix(r.Host, "api.ecr."+call.Region+"."); found {
		data["proxyEndpoint"] = "https://" + who.account + ".dkr.ecr." + call.Region + "." + suffix
	}
	return withRequestID(jsonResponse(http.StatusOK, map[string]any{"authorizationData": []any{data}}), requestID())
}

func (s *Sandbox) mayLogIn(who principal, service string) *apiError {
	actions := []string{service + ":GetAuthorizationToken"}
	if service == "ecr-public" {
		actions = append(actions, "sts:GetServiceBearerToken")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, action := range actions {
		if !s.allows(who, action, "*") {
			kind, outside := "identity-based", who
			if outside.sessionPolicies = nil; s.allows(outside, action, "*") {
				kind = "session"
			}
			return newError(http.StatusBadRequest, "AccessDeniedException",
				"User: %s is not authorized to perform: %s on resource: * because no %s policy allows the %s action",
				who.arn, action, kind, action)
		}
	}
	return nil
}

// Registry returns host and port of an account's registry in a Region, on loopback and without TLS. account can be
// [PublicRegistry]. The registry starts on the first call. Under its own name, such as ACCOUNT.dkr.ecr.REGION.amazonaws.com, it
// is served at [Sandbox.AWSURL].
func (s *Sandbox) Registry(account, region string) string {
	if account == PublicRegistry {
		region = publicRegion
	}
	registry := s.containers(account, region)
	s.mu.Lock()
	host := registry.host
	s.mu.Unlock()
	if host != "" {
		return host
	}
	started, err := s.listen(0, nil, registry.handler)
	if err != nil {
		return ""
	}
	started.begin()
	s.mu.Lock()
	defer s.mu.Unlock()
	registry.host = strings.TrimPrefix(started.url, "http://")
	return registry.host
}

// containers returns a registry and creates it if necessary.
func (s *Sandbox) containers(account, region string) *containers {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := account + "/" + region
	if known, found := s.registries[key]; found {
		return known
	}
	images := registry.New(registry.Logger(silent()))
	s.registries[key] = &containers{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := Call{
			Service: "registry", Action: r.Method, Region: region, Connection: connection(r.Context()), Time: s.clock(), Status: http.StatusOK,
		}
		if !s.opens(r, account, region) {
			call.Status = http.StatusUnauthorized
			w.Header().Set("WWW-Authenticate", `Basic realm="ECR"`)
			w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		} else {
			images.ServeHTTP(w, r)
		}
		s.record.call(call)
	})}
	return s.registries[key]
}

// registryNamed returns the registry with this host name: ACCOUNT.dkr.ecr.REGION.SUFFIX, its variants with dkr.ecr-fips and, for
// dual-stack endpoints, dkr-ecr and dkr-ecr-fips, or one of the two names of ECR Public.
// See https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html.
func registryNamed(host string) (account, region string, found bool) {
	if host == "public.ecr.aws" || host == "ecr-public.aws.com" {
		return PublicRegistry, publicRegion, true
	}
	labels := strings.Split(host, ".")
	switch {
	case len(labels) > 4 && labels[1] == "dkr" && (labels[2] == "ecr" || labels[2] == "ecr-fips"):
		return labels[0], labels[3], true
	case len(labels) > 4 && (labels[1] == "dkr-ecr" || labels[1] == "dkr-ecr-fips"):
		return labels[0], labels[2], true
	default:
		return "", "", false
	}
}

// opens reports whether a request to a registry has a valid password for it.
func (s *Sandbox) opens(r *http.Request, account, region string) bool {
	user, secret, found := r.BasicAuth()
	if !found || user != "AWS" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known, found := s.passwords[secret]
	return found && known.public == (account == PublicRegistry) && known.region == region && s.clock().Before(known.expires)
}
