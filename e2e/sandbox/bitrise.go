package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// bitriseHandler serves the token endpoint (POST BUILD_URL/id_token.json) and the issuer's discovery document and keys
// (OpenID Connect Discovery 1.0, RFC 7517).
func (s *Sandbox) bitriseHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", s.watched("bitrise", "discovery", func(_ *Call, _ *http.Request) response {
		return jsonResponse(http.StatusOK, map[string]any{
			"issuer":                                s.issuer,
			"jwks_uri":                              s.bitrise.url + "/.well-known/jwks",
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{string(jose.RS256)},
		})
	}))
	mux.HandleFunc("GET /.well-known/jwks", s.watched("bitrise", "jwks", func(_ *Call, _ *http.Request) response {
		return jsonResponse(http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
			Key: s.key.Public(), KeyID: s.keyID, Algorithm: string(jose.RS256), Use: "sig",
		}}})
	}))
	mux.HandleFunc("/{path...}", s.watched("bitrise", "id_token", s.idToken))
	return mux
}

// placeholder matches a claim's name in [Config.Subject].
var placeholder = regexp.MustCompile(`\{[^{}]+\}`)

func (s *Sandbox) idToken(call *Call, r *http.Request) response {
	reject := func(status int, message string) response {
		call.Code = message
		return jsonResponse(status, map[string]string{"error_msg": message})
	}
	if "/"+strings.TrimPrefix(r.URL.Path, "/") != strings.TrimPrefix(s.buildURL, s.bitrise.url)+"/id_token.json" {
		return reject(http.StatusNotFound, "Not Found")
	}
	if r.Method != http.MethodPost {
		return reject(http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	if r.Header.Get("BUILD_API_TOKEN") != s.apiToken {
		return reject(http.StatusUnauthorized, "Unauthorized")
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return reject(http.StatusUnsupportedMediaType, "Content-Type must be application/json")
	}
	// Bitrise's Step Get OIDC Identity Token sends an empty sub:
	// https://github.com/bitrise-steplib/bitrise-step-get-identity-token/blob/9c671da/api/models.go.
	var body struct {
		Audience string `json:"aud"`
		Subject  string `json:"sub"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&body); err != nil || body.Audience == "" {
		return reject(http.StatusBadRequest, "aud is missing")
	}
	config := s.snapshot()
	claims := map[string]any{}
	if body.Subject != "" {
		switch config.RequestedSubject {
		case UseSubject:
			claims["sub"] = body.Subject
		case ReplaceSubject:
			claims["sub"] = random(16)
		case RejectSubject:
			return reject(http.StatusBadRequest, "sub is not allowed")
		}
	}
	token, err := s.MintToken(body.Audience, claims)
	if err != nil {
		return reject(http.StatusInternalServerError, "Internal Server Error")
	}
	return jsonResponse(http.StatusOK, map[string]any{
		"id_token": token, "token_type": "urn:ietf:params:oauth:token-type:id_token", "expires_in": config.TokenLifetime,
	})
}

// MintToken issues an identity token of the build for an audience. The given claims override the usual ones, or remove them
// if the value is nil. The sub claim follows from the others unless it is overridden as well.
func (s *Sandbox) MintToken(audience string, claims map[string]any) (string, error) {
	config := s.snapshot()
	all, now := config.Build, s.clock()
	maps.Copy(all, map[string]any{
		"iss": s.issuer, "aud": audience, "jti": random(16),
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Unix() + int64(config.TokenLifetime),
	})
	maps.Copy(all, claims)
	if _, found := claims["sub"]; !found {
		all["sub"] = placeholder.ReplaceAllStringFunc(cmp.Or(config.Subject, DefaultSubject), func(name string) string {
			if value := all[strings.Trim(name, "{}")]; value != nil {
				return fmt.Sprint(value)
			}
			return ""
		})
	}
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: s.key, KeyID: s.keyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	token, err := jwt.Signed(signer).Claims(all).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign an identity token: %w", err)
	}
	s.record.secret(token)
	return token, nil
}

// response is a handler's HTTP response, which watched writes or spoils.
type response struct {
	status int
	header http.Header
	body   []byte
}

func jsonResponse(status int, body any) response {
	content, err := json.Marshal(body)
	if err != nil {
		panic(err) // the sandbox itself builds every body
	}
	return response{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: content}
}

// watched records and logs the calls of a handler, and injects faults.
func (s *Sandbox) watched(service, action string, handle func(*Call, *http.Request) response) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		call := &Call{Service: service, Action: action, Connection: connection(r.Context()), Time: s.clock()}
		s.respond(w, r, call, func() response { return handle(call, r) })
	}
}

func (s *Sandbox) respond(w http.ResponseWriter, r *http.Request, call *Call, handle func() response) {
	defer func() {
		s.record.call(*call)
		s.log("%s:%s %s %d %s", call.Service, call.Action, call.Region, call.Status, call.Code)
	}()
	w.Header().Set("Date", s.clock().UTC().Format(http.TimeFormat))
	if fault, found := s.faults.next(call); found {
		call.Code = "fault: " + fault.Kind
		fault.play(w, r, s, call, handle)
		return
	}
	handle().write(w, call)
}

func (a response) write(w http.ResponseWriter, call *Call) {
	call.Status = a.status
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Content-Length", fmt.Sprint(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}
