package sandbox

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// PublicRegistry is the account by which [Sandbox.Registry] names ECR Public's registry.
const PublicRegistry = "public"

// publicRegion is where ECR Public issues its logins:
// https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html.
const publicRegion = "us-east-1"

// passwordLifetime is how long ECR's authorization tokens live:
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_AuthorizationData.html.
const passwordLifetime = 12 * time.Hour

// password is a login to the registries of a Region, or to the public one.
type password struct {
	region  string
	public  bool
	expires time.Time
}

// containers is one registry and its server.
type containers struct{ host string }

// ecr answers GetAuthorizationToken of ECR (AWS's JSON protocol 1.1) and of ECR Public.
// See https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html.
func (s *Sandbox) ecr(call *Call, r *http.Request, body []byte) answer {
	service := call.Service
	s.mu.Lock()
	who, refused := s.authenticate(r, body, service, ecrCodes)
	s.mu.Unlock()
	if refused != nil {
		return refused.answerJSON(call)
	}
	if call.Action != "GetAuthorizationToken" {
		return refuse(http.StatusBadRequest, "UnknownOperationException", "").answerJSON(call)
	}
	if refused := s.mayLogIn(who, service); refused != nil {
		return refused.answerJSON(call)
	}
	public := service == "ecr-public"
	if public && call.Region != publicRegion {
		return refuse(http.StatusBadRequest, "UnsupportedCommandException", "ECR Public is not in %s", call.Region).answerJSON(call)
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
		return withRequestID(jsonAnswer(http.StatusOK, map[string]any{"authorizationData": data}), requestID())
	}
	data["proxyEndpoint"] = "http://" + s.Registry(who.account, call.Region)
	return withRequestID(jsonAnswer(http.StatusOK, map[string]any{"authorizationData": []any{data}}), requestID())
}

func (s *Sandbox) mayLogIn(who principal, service string) *refusal {
	actions := []string{service + ":GetAuthorizationToken"}
	if service == "ecr-public" {
		actions = append(actions, "sts:GetServiceBearerToken")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, action := range actions {
		if !s.allows(who, action, "*") {
			return refuse(http.StatusBadRequest, "AccessDeniedException",
				"User: %s is not authorized to perform: %s on resource: * because no identity-based policy allows the %s action", who.arn, action, action)
		}
	}
	return nil
}

// Registry returns host and port of an account's registry in a Region; account may be [PublicRegistry]. The registry is
// started when it is first asked for.
func (s *Sandbox) Registry(account, region string) string {
	if account == PublicRegistry {
		region = publicRegion
	}
	key := account + "/" + region
	s.mu.Lock()
	known, found := s.registries[key]
	s.mu.Unlock()
	if found {
		return known.host
	}
	images := registry.New(registry.Logger(silent()))
	started, err := s.listen(0, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := Call{Service: "registry", Action: r.Method, Region: region, Connection: connection(r.Context()), Time: s.clock(), Status: http.StatusOK}
		if !s.opens(r, account, region) {
			call.Status = http.StatusUnauthorized
			w.Header().Set("WWW-Authenticate", `Basic realm="ECR"`)
			w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		} else {
			images.ServeHTTP(w, r)
		}
		s.record.call(call)
	}))
	if err != nil {
		return ""
	}
	started.begin()
	host := strings.TrimPrefix(started.url, "http://")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registries[key] = &containers{host: host}
	return host
}

// opens tells whether a request to a registry carries a password for it.
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
