// Package credentials has the type of AWS credentials, which several packages share.
package credentials

import (
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// Credentials are an AWS access key and, if they are temporary, the session token that belongs to it. The access key ID is
// treated as a secret, too: it grants nothing alone, but it shows attackers which key to look for.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken secret.Text
	// Expires is when the credentials expire, or zero if they don't or if it is unknown.
	Expires time.Time
}

// Secrets returns all parts that must not appear in a log.
func (c Credentials) Secrets() []secret.Text {
	return []secret.Text{c.AccessKeyID, c.SecretAccessKey, c.SessionToken}
}
