package link_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/link"
)

// echo starts a server that responds to every byte with the next higher one, and returns its address.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = connection.Close() }()
				for buffer := make([]byte, 1); ; {
					if _, err := io.ReadFull(connection, buffer); err != nil {
						return
					}
					buffer[0]++
					_, _ = connection.Write(buffer)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func dial(t *testing.T, rtt time.Duration) (*link.Link, net.Conn) {
	t.Helper()
	l, err := link.New(echo(t), rtt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	connection, err := net.Dial("tcp", l.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return l, connection
}

func ask(t *testing.T, connection net.Conn, question byte) {
	t.Helper()
	reply := []byte{question}
	if _, err := connection.Write(reply); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(connection, reply); err != nil || reply[0] != question+1 {
		t.Fatalf("%d: got %d, %v", question, reply[0], err)
	}
}

// An response takes at least one round trip for the connection and one for each question. There is no upper limit, because the
// machine may be slow.
func TestLatency(t *testing.T) {
	const rtt = 20 * time.Millisecond
	start := time.Now()
	l, connection := dial(t, rtt)
	for i := range byte(3) {
		ask(t, connection, i)
		if took, least := time.Since(start), time.Duration(i+2)*rtt; took < least {
			t.Errorf("response %d took %v, want at least %v", i, took, least)
		}
	}
	if l.Connections() != 1 {
		t.Errorf("got %d connections, want 1", l.Connections())
	}
	// The end of the stream is relayed too.
	_ = connection.(*net.TCPConn).CloseWrite()
	if n, err := io.Copy(io.Discard, connection); n != 0 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestHold(t *testing.T) {
	l, connection := dial(t, 0)
	ask(t, connection, 1)
	select {
	case <-l.Shaken():
		t.Error("the handshake was complete after one question")
	default:
	}
	until := make(chan struct{})
	l.Hold(until)
	if _, err := connection.Write([]byte{2}); err != nil {
		t.Fatal(err)
	}
	<-l.Shaken()
	came := make(chan struct{})
	go func() {
		_, _ = io.ReadFull(connection, make([]byte, 1))
		close(came)
	}()
	select {
	case <-came:
		t.Error("the response was not held back")
	default:
	}
	close(until)
	<-came
}
