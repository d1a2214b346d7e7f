package sandbox

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is a fault that the sandbox injects into some calls.
type Fault struct {
	// Service and Action are those of [Call]. * matches all.
	Service, Action string
	// First and Last are the first and the last affected call of Service and Action, counted from 1. If Last is 0, all calls
	// from First on are affected.
	First, Last int
	// Kind is the kind of fault; see [ParseFaults].
	Kind string
	// Args are the arguments of the kind.
	Args []string
}

// kinds returns the kinds of faults with the minimum and maximum number of their arguments.
func kinds() map[string][2]int {
	return map[string][2]int{
		"close": {0, 0}, "reset": {0, 0}, "midway": {0, 0}, "silence": {0, 0}, "truncate": {0, 0}, "garbage": {0, 0}, "empty": {0, 0},
		"status": {1, 2}, "page": {1, 1}, "error": {2, 2}, "redirect": {1, 1}, "huge": {1, 1}, "date": {1, 1}, "rate": {1, 1}, "gather": {1, 1},
		"audience": {1, 1}, "expired": {0, 0}, "nojwt": {0, 0}, "echo": {1, 1}, "header": {0, 0}, "switch": {0, 0},
		"trailer": {0, 1},
	}
}

// ParseFaults parses a script of faults, one per line:
//
//	# SERVICE:ACTION                WHICH  FAULT
//	bitrise:id_token                1      status 503
//	sts:AssumeRoleWithWebIdentity   1-2    error Throttling "Rate exceeded"
//	ecr:GetAuthorizationToken       *      silence
//
// WHICH is the number of a call (from 1), a range, N- for all from N on, or * for all. The faults:
//
//	close               the connection closes before the response
//	reset               the same, with a TCP reset
//	midway              the connection closes after half of the real response
//	truncate            a well-formed response whose body is incomplete JSON or XML
//	silence             no response
//	garbage, empty      a 200 with a body that is not JSON or XML; without a body
//	status N [SECONDS]  an HTTP status, with Retry-After
//	page N              an HTTP status with a web page, as load balancers send it
//	error CODE TEXT     an AWS error
//	echo CODE           an error that repeats every secret of the call, in plain text and in several encodings
//	switch              a 101 Switching Protocols; the connection stays open
//	header              a response with a malformed header that repeats them
//	trailer [CODE]      the real response, or an AWS error, in chunks, with a malformed trailer that repeats them
//	redirect URL        a 307 to URL
//	huge BYTES          a 200 with a body of that size
//	date SECONDS        the real response, with a Date that is this far ahead
//	rate N              Throttling for more than N calls per second
//	gather N            the real response, but only after N calls wait for theirs, so that the next calls come all at once
//	audience AUD        a token for another audience
//	expired, nojwt      an expired token; a token that is not a JWT
func ParseFaults(r io.Reader) ([]Fault, error) {
	var faults []Fault
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fault, err := parseFault(line)
		if err != nil {
			return nil, fmt.Errorf("line %d of the faults: %w", number, err)
		}
		faults = append(faults, fault)
	}
	return faults, lines.Err()
}

func parseFault(line string) (Fault, error) {
	words := splitWords(line)
	if len(words) < 3 {
		return Fault{}, fmt.Errorf("must be SERVICE:ACTION WHICH FAULT, got %q", line)
	}
	fault := Fault{Kind: words[2], Args: words[3:]}
	var found bool
	if fault.Service, fault.Action, found = strings.Cut(words[0], ":"); !found {
		return Fault{}, fmt.Errorf("must be SERVICE:ACTION, got %q", words[0])
	}
	if err := fault.parseWhich(words[1]); err != nil {
		return Fault{}, err
	}
	arguments, found := kinds()[fault.Kind]
	if !found {
		return Fault{}, fmt.Errorf("unknown fault %q", fault.Kind)
	}
	if n := len(fault.Args); n < arguments[0] || n > arguments[1] {
		return Fault{}, fmt.Errorf("fault %s: must have %d to %d arguments, got %d", fault.Kind, arguments[0], arguments[1], n)
	}
	if slices.Contains([]string{"status", "page", "huge", "date", "rate", "gather"}, fault.Kind) {
		for _, argument := range fault.Args {
			if _, err := strconv.Atoi(argument); err != nil {
				return Fault{}, fmt.Errorf("fault %s: arguments must be numbers, got %q", fault.Kind, argument)
			}
		}
	}
	return fault, nil
}

func (f *Fault) parseWhich(which string) error {
	if which == "*" {
		f.First = 1
		return nil
	}
	first, last, ranged := strings.Cut(which, "-")
	var err error
	if f.First, err = strconv.Atoi(first); err != nil || f.First < 1 {
		return fmt.Errorf("must be the number of a call, got %q", which)
	}
	switch {
	case !ranged:
		f.Last = f.First
	case last != "":
		if f.Last, err = strconv.Atoi(last); err != nil || f.Last < f.First {
			return fmt.Errorf("must be a range of calls, got %q", which)
		}
	}
	return nil
}

// splitWords splits a line at spaces. Quoted text is one word.
func splitWords(line string) []string {
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if strings.HasPrefix(line, `"`) {
			word, rest, _ := strings.Cut(line[1:], `"`)
			words, line = append(words, word), rest
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		words, line = append(words, word), rest
	}
	return words
}

// player decides which fault applies to a call.
type player struct {
	mu     sync.Mutex
	clock  func() time.Time
	faults []Fault
	seen   []int       // number of calls of each fault's service and action
	recent []time.Time // calls that a rate limit allowed in the last second

	gathered int
	complete chan struct{} // closed when enough calls are waiting
}

func newPlayer(faults []Fault, clock func() time.Time) *player {
	return &player{clock: clock, faults: faults, seen: make([]int, len(faults)), complete: make(chan struct{})}
}

// next counts the call and returns the first fault that applies to it.
func (p *player) next(call *Call) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var played Fault
	found := false
	for i, fault := range p.faults {
		if (fault.Service != "*" && fault.Service != call.Service) || (fault.Action != "*" && fault.Action != call.Action) {
			continue
		}
		p.seen[i]++
		if found || p.seen[i] < fault.First || (fault.Last > 0 && p.seen[i] > fault.Last) {
			continue
		}
		if fault.Kind == "rate" && p.within(fault.Args[0]) {
			continue
		}
		played, found = fault, true
	}
	return played, found
}

// within reports whether a call is within the rate limit, and counts it if so.
func (p *player) within(rate string) bool {
	limit, _ := strconv.Atoi(rate)
	now := p.clock()
	p.recent = slices.DeleteFunc(p.recent, func(t time.Time) bool { return now.Sub(t) >= time.Second })
	if len(p.recent) >= limit {
		return false
	}
	p.recent = append(p.recent, now)
	return true
}

// gather returns a channel that is closed when the wanted number of calls is waiting.
func (p *player) gather(want string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	number, _ := strconv.Atoi(want)
	if p.gathered++; p.gathered == number {
		close(p.complete)
	}
	return p.complete
}

// PlayFaults replaces the script and restarts the count of calls.
func (s *Sandbox) PlayFaults(faults []Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.faults, s.faults.seen, s.faults.recent = faults, make([]int, len(faults)), nil
	s.faults.gathered, s.faults.complete = 0, make(chan struct{})
}

// awsError returns the response for faults that are AWS errors.
func awsError(call *Call, r *apiError) response {
	if call.Service == "sts" {
		return r.asXML(call)
	}
	return r.asJSON(call)
}

// statusOf returns the HTTP status that AWS uses with an error code.
func statusOf(code string) int {
	switch code {
	case "AccessDenied", "InvalidClientTokenId", "ExpiredToken", "SignatureDoesNotMatch", "RegionDisabledException":
		return http.StatusForbidden
	case "InternalFailure", "InternalError":
		return http.StatusInternalServerError
	case "ServiceUnavailable":
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadRequest
	}
}
