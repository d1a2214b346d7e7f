package sandbox

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// Options shape a sandbox. The zero value is one with [DefaultConfig].
type Options struct {
	// Config is the world to play; [DefaultConfig] where it has no accounts.
	Config Config
	// Issuer is the iss of identity tokens. Empty: the address of the sandbox's Bitrise, so that any verifier can fetch the
	// keys. Another one, such as https://token.builds.bitrise.io, is what tokens, providers and policies then say, while
	// the keys stay where they are.
	Issuer string
	// TLS makes Bitrise and AWS speak TLS, with a certificate of an authority that is made at the start. Registries stay
	// plain, which Docker allows on loopback.
	TLS bool
	// Hosts are names that the certificate is valid for besides loopback's, such as sts.us-east-1.amazonaws.com, for clients
	// that a proxy or a resolver leads here.
	Hosts []string
	// Clock tells the time; nil: time.Now.
	Clock func() time.Time
	// Faults are played in the order in which they stand; see [ParseFaults].
	Faults []Fault
	// Ports of Bitrise and of AWS; 0: any that is free.
	BitrisePort, AWSPort int
	// Log is told of every call, without secrets; nil: nobody is.
	Log func(format string, args ...any)
}

// AccessKey is a user's access key.
type AccessKey struct{ ID, Secret string }

// Sandbox is a running sandbox. Its methods may be called from several goroutines.
type Sandbox struct {
	clock    func() time.Time
	issuer   string
	log      func(format string, args ...any)
	key      *rsa.PrivateKey
	keyID    string
	bitrise  *server
	aws      *server
	caPEM    []byte
	caFile   string
	buildURL string
	apiToken string
	faults   *player
	record   recorder

	mu         sync.Mutex
	config     Config
	keys       map[string]credential // by access key ID
	users      map[string]AccessKey
	registries map[string]*containers // by account/Region
	passwords  map[string]password
	closers    []func() error
}

// Start starts a sandbox.
func Start(options Options) (*Sandbox, error) {
	if len(options.Config.Accounts) == 0 {
		options.Config = DefaultConfig()
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	if options.Log == nil {
		options.Log = func(string, ...any) {}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	s := &Sandbox{
		clock: options.Clock, log: options.Log, key: key, keyID: random(8), apiToken: random(24), config: options.Config,
		keys: map[string]credential{}, users: map[string]AccessKey{}, registries: map[string]*containers{},
		passwords: map[string]password{}, faults: newPlayer(options.Faults, options.Clock),
	}
	s.record.secret(s.apiToken)
	if err := s.start(options); err != nil {
		return nil, errors.Join(fmt.Errorf("start the sandbox: %w", err), s.Close())
	}
	return s, nil
}

func (s *Sandbox) start(options Options) error {
	var authority *authority
	if options.TLS {
		var err error
		if authority, err = newAuthority(s.clock(), options.Hosts); err != nil {
			return err
		}
		s.caPEM = authority.pem
		file, err := writeTemporary(s.caPEM)
		if err != nil {
			return err
		}
		s.caFile = file
		s.closers = append(s.closers, func() error { return os.Remove(file) })
	}
	var err error
	if s.bitrise, err = s.listen(options.BitrisePort, authority, s.bitriseHandler()); err != nil {
		return err
	}
	if s.aws, err = s.listen(options.AWSPort, authority, s.awsHandler()); err != nil {
		return err
	}
	s.issuer = options.Issuer
	if s.issuer == "" {
		s.issuer = s.bitrise.url
	}
	slug, _ := s.config.Build["build_slug"].(string)
	s.buildURL = s.bitrise.url + "/build/" + slug
	if err := s.SetConfig(func(*Config) {}); err != nil {
		return err
	}
	// Last, because the handlers read what was set above.
	s.bitrise.begin()
	s.aws.begin()
	return nil
}

// SetConfig changes the world. Users that are new get keys; sessions that were handed out go on.
func (s *Sandbox) SetConfig(change func(*Config)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.config)
	if err := s.config.resolve(s.issuer); err != nil {
		return err
	}
	for i := range s.config.Accounts {
		account := &s.config.Accounts[i]
		for j := range account.Users {
			user := &account.Users[j]
			if _, found := s.users[user.Name]; found {
				continue
			}
			key := AccessKey{ID: "AKIA" + keyID(), Secret: random(30)[:40]}
			s.users[user.Name] = key
			s.keys[key.ID] = credential{secret: key.Secret, principal: principal{account: account.ID, arn: user.arn(account), source: user.arn(account), id: "AIDA" + keyID()}}
			s.record.secret(key.Secret)
		}
	}
	return nil
}

// Close ends the sandbox and all its connections.
func (s *Sandbox) Close() error {
	s.mu.Lock()
	closers := s.closers
	s.closers = nil
	s.mu.Unlock()
	var problems []error
	for _, closer := range slices.Backward(closers) {
		// A server closes its listener itself, but one that never began does not know it.
		if err := closer(); !errors.Is(err, net.ErrClosed) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// BuildURL is the base of the token endpoint, what Bitrise sets BITRISE_BUILD_URL to.
func (s *Sandbox) BuildURL() string { return s.buildURL }

// BuildAPIToken is the build's token, what Bitrise sets BITRISE_BUILD_API_TOKEN to.
func (s *Sandbox) BuildAPIToken() string { return s.apiToken }

// Issuer is the iss of identity tokens.
func (s *Sandbox) Issuer() string { return s.issuer }

// BitriseURL is where discovery document and keys are.
func (s *Sandbox) BitriseURL() string { return s.bitrise.url }

// AWSURL is the endpoint of STS, ECR and ECR Public, which are told apart by their protocols.
func (s *Sandbox) AWSURL() string { return s.aws.url }

// CACertificate is the authority of the TLS certificates, in PEM; nil without TLS.
func (s *Sandbox) CACertificate() []byte { return s.caPEM }

// User returns the access key of a user of the configuration; empty for others.
func (s *Sandbox) User(name string) AccessKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[name]
}

// Environ is the environment, KEY=VALUE, that points the Step, any AWS SDK and the AWS CLI at the sandbox.
func (s *Sandbox) Environ() []string {
	number, _ := s.config.Build["build_number"].(string)
	environment := []string{
		"AWS_ENDPOINT_URL_STS=" + s.aws.url,
		"AWS_ENDPOINT_URL_ECR=" + s.aws.url,
		"AWS_ENDPOINT_URL_ECR_PUBLIC=" + s.aws.url,
		"BITRISE_BUILD_URL=" + s.buildURL,
		"BITRISE_BUILD_API_TOKEN=" + s.apiToken,
		"BITRISE_BUILD_NUMBER=" + number,
	}
	if s.caFile != "" {
		environment = append(environment, "AWS_CA_BUNDLE="+s.caFile)
	}
	return environment
}

// accounts calls visit for every account until it returns true. The caller holds the lock.
func (s *Sandbox) account(id string) *Account {
	for i := range s.config.Accounts {
		if s.config.Accounts[i].ID == id {
			return &s.config.Accounts[i]
		}
	}
	return nil
}

// snapshot returns the claims of the build and the token's lifetime.
func (s *Sandbox) snapshot() (map[string]any, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.config.Build), time.Duration(s.config.TokenLifetime) * time.Second
}

// server is one listener.
type server struct {
	url   string
	begin func()
}

// listen opens a listener on loopback; begin lets it answer.
func (s *Sandbox) listen(port int, authority *authority, handler http.Handler) (*server, error) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	web := &http.Server{Handler: handler, ConnContext: numberConnections(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: silent()}
	result := &server{url: "http://" + listener.Addr().String(), begin: func() { go func() { _ = web.Serve(listener) }() }}
	if authority != nil {
		result.url = "https://" + listener.Addr().String()
		web.TLSConfig = authority.serverConfig()
		result.begin = func() { go func() { _ = web.ServeTLS(listener, "", "") }() }
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, listener.Close, web.Close)
	return result, nil
}

// random returns n random bytes in hexadecimal.
func random(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

// keyID returns the part of an ID of IAM behind its prefix: 16 characters of base32.
func keyID() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	raw := make([]byte, 16)
	_, _ = rand.Read(raw)
	for i := range raw {
		raw[i] = letters[int(raw[i])%len(letters)]
	}
	return string(raw)
}
