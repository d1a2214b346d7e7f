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

// Call is one call that the sandbox answered, or did not.
type Call struct {
	// Service is bitrise, sts, ecr, ecr-public or registry.
	Service string
	// Action is the service's operation, such as AssumeRole; id_token, discovery and jwks for bitrise.
	Action string
	// Region is that of the signature; empty for calls without one.
	Region string
	// Status is the HTTP status; 0 where a fault kept the answer back.
	Status int
	// Code is the error's code; empty for success.
	Code string
	// AccessKeyID signed the call; empty for calls without a signature.
	AccessKeyID string
	// Connection tells the connections of a listener apart.
	Connection int64
	// Form is the form that was sent to STS, secrets replaced.
	Form url.Values
	// Time is when the call came.
	Time time.Time
}

// recorder keeps calls and secrets.
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

// Calls returns every call so far, in the order in which they ended.
func (s *Sandbox) Calls() []Call {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return slices.Clone(s.record.calls)
}

// Secrets returns every secret that was ever made or handed out: the build's API token, identity tokens, secret keys,
// session tokens, passwords of registries and the authorization tokens that hold them.
func (s *Sandbox) Secrets() []string {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return slices.Clone(s.record.secrets)
}

type connectionKey struct{}

// numberConnections gives every connection of a listener a number.
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

// silent drops what net/http would print about connections that faults, and tests, break.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }
