// Package link is a network link of a set latency, in user space: a relay of TCP connections that delivers what it is sent
// half a round trip later, in both directions, and makes a connection's first bytes wait for the round trip that TCP's own
// handshake would take. It delays bytes and does not hold them up: what is sent meanwhile is on its way too.
//
// It counts connections, and sees when a connection's handshake of TLS is done, for tests about their order.
package link

import (
	"net"
	"sync"
	"time"
)

// Link is a relay to one address.
type Link struct {
	listener net.Listener
	target   string
	rtt      time.Duration
	// shaken is closed once a connection has its TLS handshake behind it.
	shaken chan struct{}
	once   sync.Once

	mu          sync.Mutex
	until       <-chan struct{}
	connections int
	open        []net.Conn
}

// New makes a link from a free port of loopback to a target, HOST:PORT, with a round trip of rtt; 0: as fast as it goes.
func New(target string, rtt time.Duration) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{listener: listener, target: target, rtt: rtt, shaken: make(chan struct{})}
	go l.serve()
	return l, nil
}

// Address is the near end, HOST:PORT.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Connections is how many connections were made.
func (l *Link) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connections
}

// Shaken is closed once the client of a connection has finished its handshake: it has spoken twice, the second time in
// answer to the server.
func (l *Link) Shaken() <-chan struct{} { return l.shaken }

// Hold keeps back, from now on and until the channel is closed, what servers send after the handshake: the answers.
func (l *Link) Hold(until <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = until
}

// Close ends the link and its connections.
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

		finished := make(chan struct{}) // the client's part of the handshake
		go l.relay(far, near, opened, func(n int) {
			if n == 2 {
				close(finished)
				l.once.Do(func() { close(l.shaken) })
			}
		})
		go l.relay(near, far, opened, func(int) { l.wait(finished) })
	}
}

// wait returns when what a server sends may pass.
func (l *Link) wait(finished <-chan struct{}) {
	l.mu.Lock()
	until := l.until
	l.mu.Unlock()
	select {
	case <-finished:
		if until != nil {
			<-until
		}
	default: // still the handshake
	}
}

// parcel is bytes on their way, none for the end of what is sent.
type parcel struct {
	bytes []byte
	due   time.Time
}

// relay delivers what it reads from one connection to another, half a round trip later, and nothing before the connection
// is open. before is told the number of each parcel, from 1, when it is about to be delivered.
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
