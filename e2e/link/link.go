// Package link simulates a network link with a fixed latency in user space. It relays TCP connections, delays the bytes in
// each direction by half a round trip, and delays the first bytes of a connection by another round trip for TCP's handshake.
// It limits only the latency, not the throughput: any number of bytes can be in transit.
//
// For tests of the order of connections, it counts them and detects when a TLS handshake is complete.
package link

import (
	"net"
	"sync"
	"time"
)

// Link relays connections to one address.
type Link struct {
	listener net.Listener
	target   string
	rtt      time.Duration
	// shaken is closed once the first TLS handshake is complete.
	shaken chan struct{}
	once   sync.Once

	mu          sync.Mutex
	until       <-chan struct{}
	connections int
	open        []net.Conn
}

// New returns a link from a free port on the loopback interface to a target (HOST:PORT) with the given round-trip time.
func New(target string, rtt time.Duration) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{listener: listener, target: target, rtt: rtt, shaken: make(chan struct{})}
	go l.serve()
	return l, nil
}

// Address returns the address to connect to, HOST:PORT.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Connections returns the number of connections so far.
func (l *Link) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connections
}

// Shaken returns a channel that is closed once a client has completed its TLS handshake, which is when it sends for the second
// time.
func (l *Link) Shaken() <-chan struct{} { return l.shaken }

// Hold holds back what servers send after the handshake, until the channel is closed.
func (l *Link) Hold(until <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = until
}

// Close closes the link and its connections.
func (l *Link) Close() error {
	err := l.listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, connection := range l.open {
		_ = connection.Close()
	}
	return err
}

func (l *Link) serve() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		opened := time.Now().Add(l.rtt)
		far, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		l.mu.Lock()
		l.connections++
		l.open = append(l.open, near, far)
		l.mu.Unlock()

		finished := make(chan struct{}) // closed after the client's part of the handshake
		go l.relay(far, near, opened, func(n int) {
			if n == 2 {
				close(finished)
				l.once.Do(func() { close(l.shaken) })
			}
		})
		go l.relay(near, far, opened, func(int) { l.wait(finished) })
	}
}

// wait returns when what a server has sent can be delivered.
func (l *Link) wait(finished <-chan struct{}) {
	l.mu.Lock()
	until := l.until
	l.mu.Unlock()
	select {
	case <-finished:
		if until != nil {
			<-until
		}
	default: // the handshake is not complete
	}
}

// parcel is a number of bytes in transit. An empty one is the end of the stream.
type parcel struct {
	bytes []byte
	due   time.Time
}

// relay copies one connection to another with a delay of half a round trip, and delivers nothing before opened. It calls
// before with the number of each parcel, starting at 1, just before it delivers the parcel.
func (l *Link) relay(to, from net.Conn, opened time.Time, before func(n int)) {
	way := make(chan parcel, 1024)
	go func() {
		defer close(way)
		for {
			buffer := make([]byte, 64<<10)
			n, err := from.Read(buffer)
			sent := time.Now()
			if sent.Before(opened) {
				sent = opened
			}
			way <- parcel{buffer[:n], sent.Add(l.rtt / 2)}
			if err != nil {
				return
			}
		}
	}()
	number := 0
	for p := range way {
		time.Sleep(time.Until(p.due))
		if len(p.bytes) == 0 {
			continue
		}
		number++
		before(number)
		if _, err := to.Write(p.bytes); err != nil {
			break
		}
	}
	_ = to.Close()
	for range way { // until the reader is done
	}
}
