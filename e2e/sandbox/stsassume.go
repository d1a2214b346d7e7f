package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// documentedClaims are the claims that AWS documents as condition keys for any OIDC provider. The keys that AWS documents for
// particular providers (GitHub, Google, CircleCI, Oracle) do not apply to Bitrise.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif.
var documentedClaims = []string{"amr", "aud", "email", "oaud", "sub"}

// assumeRoleWithWebIdentity checks what AWS checks, in this order: the parameters, the token's format and signature, the
// provider and its audiences, the token's validity period, and the role's trust policy.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html.
func (s *Sandbox) assumeRoleWithWebIdentity(form url.Values, region string) (any, *apiError) {
	if apiErr := validate(form); apiErr != nil {
		return nil, apiErr
	}
	denied := newError(http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	account := s.account(accountIn(form.Get("RoleArn")))
	if account == nil {
		return nil, denied
	}
	if slices.Contains(s.config.DisabledRegions, region) {
		return nil, newError(http.StatusForbidden, "RegionDisabledException", "STS is not activated in this region for account:%s. "+
			"Your account administrator can activate STS in this region using the IAM Console.", account.ID)
	}
	claims, provider, apiErr := s.verifyToken(form.Get("WebIdentityToken"), account)
	if apiErr != nil {
		return nil, apiErr
	}
	_, role := s.role(form.Get("RoleArn"))
	providerARN := "arn:" + account.partition() + ":iam::" + account.ID + ":oidc-provider/" + provider.URL
	request := Request{
		Action:     "sts:AssumeRoleWithWebIdentity",
		Principals: map[string][]string{"Federated": {providerARN}},
		Context:    map[string][]string{"sts:RoleSessionName": {form.Get("RoleSessionName")}},
	}
	for claim, value := range claims {
		if s.config.EveryClaim || slices.Contains(documentedClaims, claim) {
			request.Context[provider.URL+":"+claim] = claimTexts(value)
		}
	}
	if role == nil || !trusts(role, request) {
		return nil, denied
	}
	lifetime, apiErr := duration(form, role, false)
	if apiErr != nil {
		return nil, apiErr
	}
	policies, apiErr := s.sessionPolicies(form)
	if apiErr != nil {
		return nil, apiErr
	}
	result := assumeRoleResult{
		SessionTokenSize: MaxSessionToken, SessionTokenUtilization: 100,
		Audience: fmt.Sprint(claims["aud"]), SubjectFromWebIdentityToken: fmt.Sprint(claims["sub"]),
		Provider: providerARN,
	}
	origin := provider.origin(providerARN, claims)
	result.Credentials, result.AssumedRoleUser = s.session(account, role, form.Get("RoleSessionName"), lifetime, policies, origin)
	return result, nil
}

// origin returns the context keys that the context provider adds to a session. AWS documents that callers cannot change them.
// Whether they are in the context of the role's trust policy, too, is not documented for OIDC providers; here, they are not.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_OriginIdentity.html and API_TransactionContext.html.
func (p Provider) origin(arn string, claims map[string]any) map[string][]string {
	if p.ContextProvider == nil {
		return nil
	}
	keys := map[string][]string{"aws:OriginIdentity/Issuer": {p.URL}, "aws:OriginIdentity/FederatedProviderArn": {arn}}
	if kind := p.ContextProvider.SubjectTypeValue; kind != "" {
		keys["aws:OriginIdentity/SubjectType"] = []string{kind}
	}
	if subject, found := claims[p.ContextProvider.SubjectSourceKey]; found {
		keys["aws:OriginIdentity/Subject"] = claimTexts(subject)
	}
	for _, definition := range p.ContextProvider.KeyDefinitionList {
		if value, found := claims[definition.SourceKey]; found {
			name := cmp.Or(definition.TargetKey, definition.SourceKey)
			keys["aws:TransactionContext/IdentityProvider/"+name] = claimTexts(value)
		}
	}
	return keys
}

// verifyToken verifies a token against the OIDC providers of an account and returns its claims and its provider.
func (s *Sandbox) verifyToken(text string, account *Account) (map[string]any, Provider, *apiError) {
	invalid := func(format string, args ...any) (map[string]any, Provider, *apiError) {
		return nil, Provider{}, newError(http.StatusBadRequest, "InvalidIdentityToken", format, args...)
	}
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return invalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	var unverified map[string]any
	if err := token.UnsafeClaimsWithoutVerification(&unverified); err != nil {
		return invalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	issuer, _ := unverified["iss"].(string)
	index := slices.IndexFunc(account.Providers, func(p Provider) bool { return p.URL == issuerHost(issuer) })
	if index < 0 {
		return invalid("No OpenIDConnect provider found in your account for %s", issuer)
	}
	if s.config.UnreachableIssuer || issuer != s.issuer || len(token.Headers) != 1 || token.Headers[0].KeyID != s.keyID {
		return invalid("Couldn't retrieve verification key from your identity provider, " +
			" please reference AssumeRoleWithWebIdentity documentation for requirements")
	}
	var claims map[string]any
	if err := token.Claims(s.key.Public(), &claims); err != nil {
		return invalid("Invalid token signature") // AWS documents the code, and no text
	}
	for _, name := range []string{"aud", "sub", "exp", "iat"} {
		if _, found := claims[name]; !found {
			return invalid("Missing a required claim: %s", name)
		}
	}
	isKnown := func(audience string) bool { return slices.Contains(account.Providers[index].ClientIDs, audience) }
	if !slices.ContainsFunc(claimTexts(claims["aud"]), isKnown) {
		return invalid("Incorrect token audience")
	}
	return claims, account.Providers[index], s.checkTimes(claims)
}

func (s *Sandbox) checkTimes(claims map[string]any) *apiError {
	const tolerance = 5 * time.Minute // a common allowance for clock skew

	now := s.clock()
	if exp, _ := claims["exp"].(float64); !now.Before(time.Unix(int64(exp), 0)) {
		return newError(http.StatusBadRequest, "ExpiredTokenException",
			"Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), int64(exp))
	}
	for _, name := range []string{"nbf", "iat"} {
		if from, found := claims[name].(float64); found && now.Add(tolerance).Before(time.Unix(int64(from), 0)) {
			return newError(http.StatusBadRequest, "InvalidIdentityToken", "Token is not valid yet: its %s lies in the future", name)
		}
	}
	return nil
}

// assumeRole: see https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
func (s *Sandbox) assumeRole(r *http.Request, body []byte, form url.Values) (any, *apiError) {
	caller, apiErr := s.authenticate(r, body, "sts", stsCodes)
	if apiErr != nil {
		return nil, apiErr
	}
	if apiErr := validate(form); apiErr != nil {
		return nil, apiErr
	}
	values, keys := tags(form)
	request := Request{
		Action:     "sts:AssumeRole",
		Principals: map[string][]string{"AWS": caller.names()},
		Context:    map[string][]string{"sts:RoleSessionName": {form.Get("RoleSessionName")}, "aws:PrincipalArn": {caller.source}},
	}
	if form.Has("ExternalId") {
		request.Context["sts:ExternalId"] = []string{form.Get("ExternalId")}
	}
	if len(keys) > 0 {
		request.Context["aws:TagKeys"] = keys
	}
	maps.Copy(request.Context, caller.origin)
	for key, value := range values {
		request.Context["aws:RequestTag/"+key] = []string{value}
	}
	account, role := s.role(form.Get("RoleArn"))
	actions := []string{"sts:AssumeRole"}
	if len(keys) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	for _, action := range actions {
		request.Action = action
		if role == nil || !trusts(role, request) || !s.allows(caller, action, form.Get("RoleArn")) {
			return nil, newError(http.StatusForbidden, "AccessDenied",
				"User: %s is not authorized to perform: %s on resource: %s", caller.arn, action, form.Get("RoleArn"))
		}
	}
	lifetime, apiErr := duration(form, role, caller.chained)
	if apiErr != nil {
		return nil, apiErr
	}
	policies, apiErr := s.sessionPolicies(form)
	if apiErr != nil {
		return nil, apiErr
	}
	result := assumeRoleResult{SessionTokenSize: MaxSessionToken, SessionTokenUtilization: 100}
	result.Credentials, result.AssumedRoleUser = s.session(account, role, form.Get("RoleSessionName"), lifetime, policies, nil)
	return result, nil
}

// accountIn returns the account ID in an ARN, or an empty string if the ARN is malformed.
func accountIn(arn string) string {
	fields := strings.SplitN(arn, ":", 6)
	if len(fields) < 6 {
		return ""
	}
	return fields[4]
}

// claimTexts returns the values of a claim as strings, which is what conditions compare.
func claimTexts(value any) []string {
	switch v := value.(type) {
	case []any:
		var all []string
		for _, item := range v {
			all = append(all, claimTexts(item)...)
		}
		return all
	case string:
		return []string{v}
	case float64:
		text, _ := json.Marshal(v)
		return []string{string(text)}
	default:
		return []string{fmt.Sprint(v)}
	}
}

func sortedKeys(form url.Values) []string { return slices.Sorted(maps.Keys(form)) }
