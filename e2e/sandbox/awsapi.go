package sandbox

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// awsHandler serves STS, ECR, ECR Public, and the registries on one endpoint. The JSON protocols name their target in a header,
// the query protocol names its action in the form, and a registry has a host name.
func (s *Sandbox) awsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if account, region, found := registryNamed(r.Host); found {
			s.containers(account, region).handler.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return
		}
		call := &Call{Service: "sts", Connection: connection(r.Context()), Time: s.clock()}
		scope, _ := parseAuthorization(r.Header.Get("Authorization"))
		call.Region, call.AccessKeyID = scope.region, scope.accessKeyID
		target := r.Header.Get("X-Amz-Target")
		if target == "" {
			form, _ := url.ParseQuery(string(body))
			r = r.WithContext(context.WithValue(r.Context(), formKey{}, form))
			call.Action, call.Form = form.Get("Action"), withoutSecrets(form)
			s.respond(w, r, call, func() response { return s.sts(call, r, body, form) })
			return
		}
		prefix, action, _ := strings.Cut(target, ".")
		call.Action, call.Service = action, "ecr"
		if prefix == "SpencerFrontendService" {
			call.Service = "ecr-public"
		}
		s.respond(w, r, call, func() response { return s.ecr(call, r, body) })
	})
}

// formKey is the context key of a call's form.
type formKey struct{}

func formOf(r *http.Request) url.Values {
	form, _ := r.Context().Value(formKey{}).(url.Values)
	return form
}

func withoutSecrets(form url.Values) url.Values {
	clean := url.Values{}
	for key, values := range form {
		if key == "WebIdentityToken" {
			values = []string{"[REDACTED]"}
		}
		clean[key] = values
	}
	return clean
}

// apiError is an AWS error.
type apiError struct {
	status     int
	code, text string
}

func (r *apiError) Error() string { return r.code + ": " + r.text }

func newError(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, code: code, text: fmt.Sprintf(format, args...)}
}

// asXML returns an error in the query protocol of STS: https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html.
func (r *apiError) asXML(call *Call) response {
	call.Code = r.code
	kind := "Sender"
	if r.status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	var body struct {
		XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Error   struct{ Type, Code, Message string }
		ID      string `xml:"RequestId"`
	}
	body.Error.Type, body.Error.Code, body.Error.Message, body.ID = kind, r.code, r.text, requestID()
	return xmlResponse(r.status, body, body.ID)
}

// asJSON returns an error in the JSON protocol 1.1 of ECR.
func (r *apiError) asJSON(call *Call) response {
	call.Code = r.code
	return withRequestID(jsonResponse(r.status, map[string]string{"__type": r.code, "message": r.text}), requestID())
}

func xmlResponse(status int, body any, id string) response {
	content, err := xml.Marshal(body)
	if err != nil {
		panic(err) // the sandbox itself builds every body
	}
	return withRequestID(response{status: status, header: http.Header{"Content-Type": {"text/xml"}}, body: content}, id)
}

func withRequestID(a response, id string) response {
	a.header.Set("X-Amzn-Requestid", id)
	return a
}

// requestID returns a random ID in the format of AWS's request IDs.
func requestID() string {
	id := random(16)
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}

// principal is the caller of a signed call.
type principal struct {
	// account and arn are what GetCallerIdentity returns.
	account, arn string
	// source is the ARN of the user or of the assumed role.
	source string
	// id is the unique ID, AIDA… or AROA…:session.
	id string
	// chained reports whether the caller is the session of a role.
	chained bool
	// sessionPolicies restrict the role's own policies.
	sessionPolicies []*Policy
	// origin holds the context keys that the provider's context provider has added to the session.
	origin map[string][]string
}

// names returns the principals by which a policy can refer to p.
func (p principal) names() []string {
	partition := strings.Split(p.arn, ":")[1]
	return []string{p.arn, p.source, p.account, "arn:" + partition + ":iam::" + p.account + ":root"}
}

// credential is what the sandbox knows about an access key ID.
type credential struct {
	secret, sessionToken string
	expires              time.Time // zero: never
	principal            principal
}

// allows evaluates the identity policies and the session policies of a principal. The caller must hold the lock.
func (s *Sandbox) allows(p principal, action, resource string) bool {
	request := Request{Action: action, Resource: resource, Context: map[string][]string{"aws:PrincipalArn": {p.source}}}
	maps.Copy(request.Context, p.origin)
	allowed := false
	for _, document := range s.policiesOf(p) {
		policy, err := ParsePolicy(document)
		if err != nil {
			return false
		}
		switch policy.Evaluate(request) {
		case Denied:
			return false
		case Allowed:
			allowed = true
		}
	}
	for _, policy := range p.sessionPolicies {
		if policy.Evaluate(request) != Allowed {
			return false
		}
	}
	return allowed
}

func (s *Sandbox) policiesOf(p principal) []json.RawMessage {
	account := s.account(p.account)
	if account == nil {
		return nil
	}
	for i := range account.Roles {
		if account.Roles[i].arn(account) == p.source {
			return account.Roles[i].Policies
		}
	}
	for i := range account.Users {
		if account.Users[i].arn(account) == p.source {
			return account.Users[i].Policies
		}
	}
	return nil
}
