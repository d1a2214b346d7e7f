package sandbox

import (
	"cmp"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// sts implements the query protocol of STS: https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html.
func (s *Sandbox) sts(call *Call, r *http.Request, body []byte, form url.Values) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	var result any
	var apiErr *apiError
	switch form.Get("Action") {
	case "AssumeRoleWithWebIdentity":
		result, apiErr = s.assumeRoleWithWebIdentity(form, s.regionOf(r, call))
	case "AssumeRole":
		result, apiErr = s.assumeRole(r, body, form)
	case "GetCallerIdentity":
		result, apiErr = s.getCallerIdentity(r, body)
	default:
		apiErr = newError(http.StatusBadRequest, "InvalidAction", "Could not find operation %s for version 2011-06-15", form.Get("Action"))
	}
	if apiErr != nil {
		return apiErr.asXML(call)
	}
	id := requestID()
	return xmlResponse(http.StatusOK, stsResponse{
		XMLName: xml.Name{Space: "https://sts.amazonaws.com/doc/2011-06-15/", Local: form.Get("Action") + "Response"},
		Result:  stsResult{XMLName: xml.Name{Local: form.Get("Action") + "Result"}, Body: result},
		ID:      id,
	}, id)
}

// regionOf returns the Region of an unsigned call, which follows from the host: sts.REGION.amazonaws.com.
func (s *Sandbox) regionOf(r *http.Request, call *Call) string {
	if fields := strings.Split(r.Host, "."); len(fields) > 2 && strings.HasPrefix(fields[0], "sts") {
		return fields[1]
	}
	return call.Region
}

type stsResponse struct {
	XMLName xml.Name
	Result  stsResult
	ID      string `xml:"ResponseMetadata>RequestId"`
}

type stsResult struct {
	XMLName xml.Name
	Body    any
}

// MarshalXML puts the fields of the body directly under the result.
func (r stsResult) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return e.EncodeElement(r.Body, xml.StartElement{Name: r.XMLName})
}

type stsCredentials struct {
	AccessKeyId, SecretAccessKey, SessionToken, Expiration string //nolint:revive // as in the response of STS
}

type assumedRole struct {
	Arn, AssumedRoleId string //nolint:revive // as in the response of STS
}

type assumeRoleResult struct {
	Credentials                 stsCredentials
	AssumedRoleUser             assumedRole
	SessionTokenSize            int
	SessionTokenUtilization     int
	SubjectFromWebIdentityToken string `xml:",omitempty"`
	Audience                    string `xml:",omitempty"`
	Provider                    string `xml:",omitempty"`
}

type callerIdentity struct{ Arn, UserId, Account string } //nolint:revive // as in the response of STS

func (s *Sandbox) getCallerIdentity(r *http.Request, body []byte) (any, *apiError) {
	who, apiErr := s.authenticate(r, body, "sts", stsCodes)
	if apiErr != nil {
		return nil, apiErr
	}
	return callerIdentity{Arn: who.arn, UserId: who.id, Account: who.account}, nil
}

// role returns the role with an ARN and its account. The caller must hold the lock.
func (s *Sandbox) role(arn string) (*Account, *Role) {
	for i := range s.config.Accounts {
		account := &s.config.Accounts[i]
		for j := range account.Roles {
			if account.Roles[j].arn(account) == arn {
				return account, &account.Roles[j]
			}
		}
	}
	return nil, nil
}

// session creates the credentials of an assumed role. The caller must hold the lock.
func (s *Sandbox) session(
	account *Account, role *Role, name string, lifetime time.Duration, policies []*Policy, origin map[string][]string,
) (stsCredentials, assumedRole) {
	// AWS states the expiration in whole seconds, and the credentials must not outlive it.
	expires := s.clock().Add(lifetime).Truncate(time.Second)
	stated := expires
	if s.config.SessionLifetime > 0 {
		stated = s.clock().Add(time.Duration(s.config.SessionLifetime) * time.Second).Truncate(time.Second)
	}
	user := assumedRole{
		Arn:           "arn:" + account.partition() + ":sts::" + account.ID + ":assumed-role/" + role.Name + "/" + name,
		AssumedRoleId: "AROA" + keyID() + ":" + name,
	}
	id, secret, token := "ASIA"+keyID(), random(30)[:40], sessionToken()
	s.record.secret(secret)
	s.record.secret(token)
	s.keys[id] = credential{secret: secret, sessionToken: token, expires: expires, principal: principal{
		account: account.ID, arn: user.Arn, source: role.arn(account), id: user.AssumedRoleId, chained: true, sessionPolicies: policies,
		origin: origin,
	}}
	return stsCredentials{AccessKeyId: id, SecretAccessKey: secret, SessionToken: token, Expiration: stated.UTC().Format(time.RFC3339)}, user
}

// EndSessions makes all sessions that exist expire at once.
func (s *Sandbox) EndSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, session := range s.keys {
		if session.principal.chained {
			session.expires = s.clock()
			s.keys[id] = session
		}
	}
}

// CallerARN returns whose an access key is, as GetCallerIdentity does; empty for an unknown one.
func (s *Sandbox) CallerARN(accessKeyID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[accessKeyID].principal.arn
}

// MaxSessionToken is the size of the longest session token in bytes, since September 2026: see the change log of the AWS SDK for Go,
// service/sts v1.51.0. A caller can request a minimum size, so the Step must work with any size. The sandbox issues the longest.
const MaxSessionToken = 4096

// sessionPolicies parses the session policies. The session token contains them and the tags; AWS does not document how, so here, each
// character takes a byte.
func (s *Sandbox) sessionPolicies(form url.Values) ([]*Policy, *apiError) {
	const rest = 400 // bytes of the token

	var policies []*Policy
	size := rest
	if document := form.Get("Policy"); document != "" {
		policy, err := ParsePolicy([]byte(document))
		if err != nil {
			return nil, newError(http.StatusBadRequest, "MalformedPolicyDocument", "Syntax errors in policy.")
		}
		policies = append(policies, policy)
		size += utf8.RuneCountInString(document)
	}
	for key, values := range form {
		if strings.HasPrefix(key, "PolicyArns.") || strings.HasPrefix(key, "Tags.") {
			size += len(strings.Join(values, ""))
		}
	}
	if limit := cmp.Or(s.config.SessionTokenLimit, MaxSessionToken); size > limit {
		// AWS documents the code. Its text of the time before, "Packed policy consumes 134% of allotted space", was about another limit.
		return nil, newError(http.StatusBadRequest, "PackedPolicyTooLarge", "The session token exceeds the maximum size of %d bytes", limit)
	}
	return policies, nil
}

// tags returns the session tags (Tags.member.N.Key and Value) and their keys.
func tags(form url.Values) (map[string]string, []string) {
	values := map[string]string{}
	var keys []string
	for _, field := range sortedKeys(form) {
		if number, found := strings.CutSuffix(field, ".Key"); found && strings.HasPrefix(field, "Tags.member.") {
			values[form.Get(field)] = form.Get(number + ".Value")
			keys = append(keys, form.Get(field))
		}
	}
	return values, keys
}

// trusts evaluates the trust policy of a role. The caller must hold the lock.
func trusts(role *Role, request Request) bool {
	policy, err := ParsePolicy(role.TrustPolicy)
	return err == nil && policy.Evaluate(request) == Allowed
}
