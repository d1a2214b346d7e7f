package sandbox

import (
	"context"
	"io"
	"log"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Call is a call that the sandbox received.
type Call struct {
	// Service is bitrise, sts, ecr, ecr-public, or registry.
	Service string
	// Action is the operation, such as AssumeRole. For bitrise, it is id_token, discovery, or jwks.
	Action string
	// Region is the Region in the signature. It is empty for unsigned calls.
	Region string
	// Status is the HTTP status, or 0 if a fault suppressed the response.
	Status int
	// Code is the error code. It is empty for success.
	Code string
	// AccessKeyID is the key that signed the call. It is empty for unsigned calls.
	AccessKeyID string
	// Connection is the number of the connection, unique for a listener.
	Connection int64
	// Form is the form sent to STS, with its secrets redacted.
	Form url.Values
	// Time is the time of the call.
	Time time.Time
}

// recorder records calls and secrets.
type recorder struct {
	mu      sync.Mutex
	calls   []Call
	secrets []string
}

func (r *recorder) call(c Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, c)
}

func (r *recorder) secret(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, s)
}

// Calls returns all calls so far, in the order in which they completed.
func (s *Sandbox) Calls() []Call {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return slices.Clone(s.record.calls)
}

// Secrets returns every secret issued so far: the build's API token, identity tokens, secret keys, session tokens, passwords
// of registries, and the authorization tokens that contain them.
func (s *Sandbox) Secrets() []string {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return slices.Clone(s.record.secrets)
}

type connectionKey struct{}

// numberConnections numbers the connections of a listener.
func numberConnections() func(context.Context, net.Conn) context.Context {
	var last atomic.Int64
	return func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, last.Add(1))
	}
}

func connection(ctx context.Context) int64 {
	number, _ := ctx.Value(connectionKey{}).(int64)
	return number
}

// silent discards what net/http would log about the connections that faults and tests break.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }
