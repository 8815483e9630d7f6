package stun_test

import (
	"errors"
	"net"
	"testing"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// servePacket lets s serve UDP on loopback until the test ends, and returns a socket that is
// connected to it.
func servePacket(t *testing.T, s *stun.Server) net.Conn {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.ServePacket(pc) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-served; !errors.Is(err, stun.ErrServerClosed) {
			t.Errorf("ServePacket returned %v, want ErrServerClosed", err)
		}
	})
	c, err := net.Dial("udp4", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// exchangePacket sends datagrams and a request after them, and returns what is answered until that
// one is.
func exchangePacket(t *testing.T, c net.Conn, datagrams ...[]byte) (answers []*pion.Message) {
	t.Helper()
	last := pion.MustBuild(pion.TransactionID, pion.BindingRequest)
	for _, d := range append(datagrams, last.Raw) {
		if _, err := c.Write(d); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 4096)
	for {
		_ = c.SetReadDeadline(time.Now().Add(stun.DefaultTimeout))
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		m := new(pion.Message)
		if err := pion.Decode(b[:n], m); err != nil {
			t.Fatal(err)
		}
		if m.TransactionID == last.TransactionID {
			return answers
		}
		answers = append(answers, m)
	}
}

func TestServePacket(t *testing.T) {
	c := servePacket(t, stun.NewServer(nil))
	req := pion.MustBuild(pion.TransactionID, pion.BindingRequest, pion.Fingerprint)
	answers := exchangePacket(t, c, req.Raw)
	if len(answers) != 1 || answers[0].Type != pion.BindingSuccess || answers[0].TransactionID != req.TransactionID {
		t.Fatalf("answers are %v", answers)
	}
	var mapped pion.XORMappedAddress
	if err := mapped.GetFrom(answers[0]); err != nil || mapped.String() != c.LocalAddr().String() {
		t.Errorf("mapped address %v, %v, want %v", mapped, err, c.LocalAddr())
	}
	if err := pion.Fingerprint.Check(answers[0]); err != nil {
		t.Error(err)
	}
	if len(answers[0].Raw) > 2*len(req.Raw) {
		t.Errorf("%d bytes for %d", len(answers[0].Raw), len(req.Raw))
	}
}

func TestServePacketAnswersNoOther(t *testing.T) {
	c := servePacket(t, stun.NewServer(nil))
	req := pion.MustBuild(pion.TransactionID, pion.BindingRequest).Raw
	long := append([]byte(nil), req...)
	long[2], long[3] = 0x10, 0
	if answers := exchangePacket(t, c,
		nil,
		[]byte("GET / HTTP/1.1\r\n\r\n"),
		req[:19],
		append(append([]byte(nil), req...), 0),
		append(append([]byte(nil), req...), req...),
		append(long, make([]byte, 4096)...),
		pion.MustBuild(pion.TransactionID, pion.BindingSuccess).Raw,
		pion.MustBuild(pion.TransactionID, pion.NewType(pion.MethodBinding, pion.ClassIndication)).Raw,
	); len(answers) != 0 {
		t.Errorf("answers are %v", answers)
	}
	// RFC 5780 over UDP is not for this server.
	change := pion.MustBuild(pion.TransactionID, pion.BindingRequest, pion.RawAttribute{Type: pion.AttrChangeRequest, Value: []byte{0, 0, 0, 6}})
	answers := exchangePacket(t, c, change.Raw)
	if len(answers) != 1 || answers[0].Type != pion.BindingError {
		t.Fatalf("answers are %v", answers)
	}
	if n, m := len(answers[0].Raw), len(change.Raw); 10*n > 24*m {
		t.Errorf("%d bytes for %d", n, m)
	}
}

func TestServePacketAfterClose(t *testing.T) {
	s := stun.NewServer(nil)
	_ = s.Close()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ServePacket(pc); !errors.Is(err, stun.ErrServerClosed) {
		t.Errorf("ServePacket returned %v, want ErrServerClosed", err)
	}
	if _, err := pc.WriteTo(nil, pc.LocalAddr()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket is open: %v", err)
	}
}
