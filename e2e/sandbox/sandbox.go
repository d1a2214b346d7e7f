package sandbox

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
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

// Options configure a sandbox. The zero value is a sandbox with [DefaultConfig].
type Options struct {
	// Config is the cloud to simulate. Without accounts, it is [DefaultConfig].
	Config Config
	// Issuer is the iss claim of identity tokens. Defaults to the sandbox's own address, where any verifier can fetch the
	// keys. With another issuer, such as https://token.builds.bitrise.io, tokens, providers, and policies name that issuer,
	// but the keys stay at the sandbox's address.
	Issuer string
	// TLS makes Bitrise and AWS use TLS, with a certificate from an authority that is created at startup. Registries stay
	// plain HTTP, which Docker allows on loopback.
	TLS bool
	// Hosts are additional names in the certificate, such as sts.us-east-1.amazonaws.com, for clients that a proxy or a
	// resolver sends here.
	Hosts []string
	// Clock returns the current time. nil means time.Now.
	Clock func() time.Time
	// Faults are injected in this order; see [ParseFaults].
	Faults []Fault
	// BitrisePort and AWSPort are the ports to listen on. 0 means any free port.
	BitrisePort, AWSPort int
	// Log is called for every call that the sandbox receives, without secrets. It can be nil.
	Log func(format string, args ...any)
}

// AccessKey is a user's access key.
type AccessKey struct{ ID, Secret string }

// Sandbox is a running sandbox. It is safe for concurrent use.
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

// signingKey is shared by the sandboxes of a process, because making a key takes longer than many a test. Each sandbox has its own key ID,
// and accepts only tokens with this ID.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

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
	key, err := signingKey()
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
	// This comes last because the handlers read the fields set above.
	s.bitrise.begin()
	s.aws.begin()
	return nil
}

// SetConfig changes the configuration. New users get access keys. Existing sessions stay valid.
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
			s.keys[key.ID] = credential{secret: key.Secret, principal: principal{
				account: account.ID, arn: user.arn(account), source: user.arn(account), id: "AIDA" + keyID(),
			}}
			s.record.secret(key.Secret)
		}
	}
	return nil
}

// Close stops the sandbox and closes all its connections.
func (s *Sandbox) Close() error {
	s.mu.Lock()
	closers := s.closers
	s.closers = nil
	s.mu.Unlock()
	var problems []error
	for _, closer := range slices.Backward(closers) {
		// A server closes its own listener, unless it never started to serve.
		if err := closer(); !errors.Is(err, net.ErrClosed) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// BuildURL returns the base URL of the token endpoint, which Bitrise provides in BITRISE_BUILD_URL.
func (s *Sandbox) BuildURL() string { return s.buildURL }

// BuildAPIToken returns the build's API token, which Bitrise provides in BITRISE_BUILD_API_TOKEN.
func (s *Sandbox) BuildAPIToken() string { return s.apiToken }

// Issuer returns the iss claim of identity tokens.
func (s *Sandbox) Issuer() string { return s.issuer }

// BitriseURL returns the URL under which the discovery document and the keys are served.
func (s *Sandbox) BitriseURL() string { return s.bitrise.url }

// AWSURL returns the endpoint of STS, ECR, and ECR Public. Their protocols distinguish them.
func (s *Sandbox) AWSURL() string { return s.aws.url }

// CACertificate returns the certificate of the TLS authority in PEM, or nil without TLS.
func (s *Sandbox) CACertificate() []byte { return s.caPEM }

// User returns the access key of a user, or an empty one if there is no such user.
func (s *Sandbox) User(name string) AccessKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[name]
}

// Environ returns environment variables (KEY=VALUE) that point the Step, the AWS SDKs, and the AWS CLI to the sandbox.
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

// account returns an account, or nil if there is none with this ID. The caller must hold the lock.
func (s *Sandbox) account(id string) *Account {
	for i := range s.config.Accounts {
		if s.config.Accounts[i].ID == id {
			return &s.config.Accounts[i]
		}
	}
	return nil
}

// snapshot returns the configuration of the token endpoint, with its own copy of the build's claims.
func (s *Sandbox) snapshot() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	config := s.config
	config.Build = maps.Clone(config.Build)
	return config
}

// server is a listener and its HTTP server.
type server struct {
	url   string
	begin func()
}

// listen opens a listener on loopback. The server's begin function starts to serve it.
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

// sessionToken returns a session token, which has the characters of base64, as AWS's have.
func sessionToken() string {
	const prefix = "IQoJ"
	raw := make([]byte, base64.StdEncoding.DecodedLen(MaxSessionToken-len(prefix)))
	_, _ = rand.Read(raw)
	return prefix + base64.StdEncoding.EncodeToString(raw)
}

// keyID returns the part of an IAM ID after its prefix: 16 characters of base32.
func keyID() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	raw := make([]byte, 16)
	_, _ = rand.Read(raw)
	for i := range raw {
		raw[i] = letters[int(raw[i])%len(letters)]
	}
	return string(raw)
}
