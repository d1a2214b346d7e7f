package step_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/step"
)

// encode returns a token of Bitrise's with a sub. Its signature identifies it.
func encode(sub, signature string) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	claims, _ := json.Marshal(map[string]any{
		"iss": "https://token.builds.bitrise.io", "aud": "sts.amazonaws.com", "exp": 4102444800, "sub": sub, "app_slug": "0a1b", "workflow": "Deploy",
	})
	return part(`{"alg":"RS256"}`) + "." + part(string(claims)) + "." + part(signature)
}

// If AWS denies the role, the Step requests a second token, with a random sub, and suggests a policy that relies on sub only if the
// token endpoint ignores the request. In every other case, it requests one token.
func TestWhoDecidesWhatSubSays(t *testing.T) {
	const (
		sub      = "app:0a1b:workflow:Deploy"
		notKnown = "It is not known whether callers can choose it."
		bySub    = `"token.builds.bitrise.io:sub": "` + sub + `"`
		rejected = "AWS does not accept the identity token"
		denied   = "<Code>AccessDenied</Code><Message>Not authorized</Message>"
	)
	returns := func(sub string) func(string) (int, string) {
		return func(string) (int, string) { return 200, sub }
	}
	same := returns(sub)
	for name, row := range map[string]struct {
		second func(requested string) (status int, sub string) // the response to the second request
		inputs step.Environment
		sts    string
		want   string
		tokens int
	}{
		"chosen": {func(requested string) (int, string) { return 200, requested }, nil, denied, "lets callers choose it", 2},
		"chosen in form": {func(requested string) (int, string) {
			if strings.HasPrefix(requested, "app:") {
				return 200, requested
			}
			return 200, sub
		}, nil, denied, "lets callers choose it", 2},
		"fixed":          {same, nil, denied, bySub, 2},
		"a third sub":    {returns("app:other"), nil, denied, notKnown, 2},
		"no sub":         {returns(""), nil, denied, notKnown, 2},
		"rejected":       {func(string) (int, string) { return 400, "" }, nil, denied, notKnown, 2},
		"unavailable":    {func(string) (int, string) { return 503, "" }, nil, denied, notKnown, 2},
		"given token":    {same, step.Environment{"identity_token": encode(sub, "given")}, denied, notKnown, 0},
		"explicit deny":  {same, nil, "<Code>AccessDenied</Code><Message>with an explicit deny</Message>", "a policy denies sts:AssumeRoleWithWebIdentity", 1},
		"another reason": {same, nil, "<Code>InvalidIdentityToken</Code><Message>no</Message>", rejected, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var requested []string
			tokens := []string{encode(sub, "first")}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/id_token.json") {
					if r.FormValue("WebIdentityToken") == tokens[len(tokens)-1] && len(tokens) > 1 {
						t.Error("the second token was sent to AWS")
					}
					w.WriteHeader(http.StatusForbidden)
					_, _ = fmt.Fprintf(w, "<ErrorResponse><Error>%s</Error></ErrorResponse>", row.sts)
					return
				}
				var body struct{ Aud, Sub string }
				_ = json.NewDecoder(r.Body).Decode(&body)
				if requested = append(requested, body.Sub); len(requested) == 2 {
					status, sub := row.second(body.Sub)
					tokens = append(tokens, encode(sub, "second"))
					w.WriteHeader(status)
				}
				_, _ = fmt.Fprintf(w, `{"id_token":%q}`, tokens[len(tokens)-1])
			}))
			t.Cleanup(server.Close)
			t.Setenv("AWS_ENDPOINT_URL_STS", server.URL)
			all := step.Environment{
				"region": "us-east-1", "role_arn": "arn:aws:iam::123456789012:role/deploy", "build_url": server.URL, "build_api_token": "any-token",
				"ENVMAN_ENVSTORE_PATH": newStore(t), "verbose": "true",
			}
			maps.Copy(all, row.inputs)
			var written bytes.Buffer
			run := step.Step{
				Environment: all, Log: report.NewPlainLog(&written), Now: now, Exit: func(int) { t.Error("the watchdog stopped the Step") },
			}
			if err := run.Run(t.Context()); err == nil {
				t.Fatal("the Step succeeded")
			}
			log := strings.Join(strings.Fields(written.String()), " ")
			if !strings.Contains(log, row.want) || strings.Contains(log, bySub) != (row.want == bySub) || len(requested) != row.tokens {
				t.Errorf("got %d requests, want %d and the text %q in the log:\n%s", len(requested), row.tokens, row.want, &written)
			}
			if !strings.Contains(log, "sub "+sub) {
				t.Errorf("the log does not show the token's sub:\n%s", &written)
			}
			for _, token := range tokens {
				if strings.Contains(log, token) {
					t.Errorf("the log contains a token:\n%s", &written)
				}
			}
			shape := regexp.MustCompile(`^app:\d[a-z]\d[a-z]:workflow:[A-Z][a-z]{5}$`)
			if len(requested) == 2 && (requested[0] != "" || requested[1] == sub || !shape.MatchString(requested[1])) {
				t.Errorf("got requests with the subs %q", requested)
			}
		})
	}
}
