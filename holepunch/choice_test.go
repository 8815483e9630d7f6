package holepunch

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// A handmadeInitiator does the initiator's part with a socket of its own, up to where the responder
// has its connection, and chooses nothing.
type handmadeInitiator struct {
	signal *pipeEnd
	tcp    net.Conn
}

// deliver has the responder accept, which returns before the choice. Its handshake is
// script{4, 4, 4}.
func (h *handmadeInitiator) deliver(t *testing.T, responder *Agent) *Conn {
	t.Helper()
	var b *pipeEnd
	h.signal, b = pipe()
	accepted := make(chan side, 1)
	go func() {
		c, err := responder.Accept(testContext(t), b, &Options{Handshake: &Handshake{Protocols: []string{"script"}, Run: script{4, 4, 4}.run}})
		accepted <- side{c, err}
	}()
	h.say(t, &message{
		typ: pb.Message_OFFER, attempt: testID, token: offerToken, protocols: []string{"script"},
		description: description{candidates: reflexive(netip.MustParseAddrPort("127.0.0.1:1024"))},
	})
	r := newReader(h.signal)
	answer, err := readMessage(r)
	if err != nil || answer.status != StatusOK {
		t.Fatalf("answered %+v, %v", answer, err)
	}
	h.say(t, &message{typ: pb.Message_FLIGHT, attempt: testID, flight: make([]byte, 4)})
	if m, err := readMessage(r); err != nil || len(m.flight) != 4 {
		t.Fatalf("answered %+v, %v, want a FLIGHT of 4 bytes", m, err)
	}
	if h.tcp, err = net.Dial("tcp4", answer.candidates[0].Addr.String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.tcp.Close() })
	// The token, and the last flight in a frame.
	if _, err := h.tcp.Write(append(answer.token.AppendPreamble(nil), 0, 0, 4, 2, 2, 2, 2)); err != nil {
		t.Fatal(err)
	}
	s := <-accepted
	if s.err != nil {
		t.Fatal(s.err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.conn.AwaitChoice(canceled); !errors.Is(err, context.Canceled) {
		t.Fatalf("chosen by nobody: %v", err)
	}
	if s.conn.TCPConn() != nil {
		t.Error("there is a TCP connection before the choice")
	}
	return s.conn
}

func (h *handmadeInitiator) say(t *testing.T, m *message) {
	t.Helper()
	if err := writeMessage(h.signal, m.marshal()); err != nil {
		t.Fatal(err)
	}
}

// TestAcceptBeforeChoice: with a handshake the responder has its connection before the choice, and
// keeps it if that comes.
func TestAcceptBeforeChoice(t *testing.T) {
	t.Parallel()
	responder := newAgent(t, Config{STUNServers: []string{stuntest.New(t)}})
	h := new(handmadeInitiator)
	c := h.deliver(t, responder)
	h.signal.Close() // which does no harm
	if _, err := h.tcp.Write([]byte("\x01hello")); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitChoice(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	c.SetDeadline(time.Now().Add(testTimeout))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
		t.Errorf("read %q, %v", b, err)
	}
	if c.TCPConn() == nil {
		t.Error("there is no TCP connection after the choice")
	}
	if err := responder.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Write(b); err != nil {
		t.Errorf("the connection is lost with its agent: %v", err)
	}
	c.Close()
}

// TestNotChosen: without the choice the connection fails, and nothing is left of the attempt.
func TestNotChosen(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end  func(*handmadeInitiator, *Agent, *Conn)
		want error
	}{
		"the agent is closed": {func(_ *handmadeInitiator, a *Agent, _ *Conn) { a.Close() }, ErrClosed},
		"the initiator gives up": {func(h *handmadeInitiator, _ *Agent, _ *Conn) {
			h.say(t, &message{typ: pb.Message_DONE, attempt: testID, status: StatusFailed})
		}, ErrNoConnection},
		"the caller closes it": {func(_ *handmadeInitiator, _ *Agent, c *Conn) { c.Close() }, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAgent(t, Config{STUNServers: []string{stuntest.New(t)}})
			h := new(handmadeInitiator)
			c := h.deliver(t, a)
			tc.end(h, a, c)
			c.SetDeadline(time.Now().Add(testTimeout))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, tc.want) {
				t.Errorf("read: %v, want %v", err, tc.want)
			}
			if err := c.AwaitChoice(t.Context()); !errors.Is(err, tc.want) || ReasonOf(err) == "" {
				t.Errorf("the choice: %v, want %v and a reason", err, tc.want)
			}
			a.attempts.Wait()
			if a.limiter.attempts != 0 {
				t.Errorf("%d attempts are left", a.limiter.attempts)
			}
		})
	}
}
