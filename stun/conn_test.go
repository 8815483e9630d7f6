package stun_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestBindingSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go func() {
			for _, b := range success(readRequest(t, server), 7) {
				time.Sleep(100 * time.Millisecond)
				_, _ = server.Write([]byte{b})
			}
		}()
		got, err := c.Binding(t.Context())
		if want := netip.MustParseAddrPort("192.0.2.1:7"); err != nil || got != want {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	})
}

// TestBindingConcurrently sends two answers in one segment, the later first.
func TestBindingConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go func() {
			first, second := readRequest(t, server), readRequest(t, server)
			_, _ = server.Write(append(success(second, 5), success(first, 5)...))
		}()
		errs := make(chan error)
		for range 2 {
			go func() { _, err := c.Binding(t.Context()); errs <- err }()
		}
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestBindingAnswerThenClose has the answer and the end of the connection come before Binding waits
// for either. The answer must win.
func TestBindingAnswerThenClose(t *testing.T) {
	for range 100 {
		client, server := net.Pipe()
		c := stun.NewConn(&lastWords{client, make(chan struct{})}, "pipe")
		go func() { _, _ = server.Write(success(readRequest(t, server), 1)) }()
		if _, err := c.Binding(t.Context()); err != nil {
			t.Error(err)
		}
		<-c.Done()
		if err := c.Err(); !errors.Is(err, stun.ErrDisconnected) {
			t.Errorf("the connection ended with %v, want ErrDisconnected", err)
		}
		_, _ = c.Close(), server.Close()
	}
}

// lastWords is a connection that ends with the first bytes that come, and on which a write takes
// until then.
type lastWords struct {
	net.Conn
	ended chan struct{}
}

func (c *lastWords) Read(b []byte) (int, error) {
	n, _ := c.Conn.Read(b)
	return n, io.EOF
}

func (c *lastWords) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	<-c.ended
	return n, err
}

func (c *lastWords) Close() error {
	close(c.ended)
	return c.Conn.Close()
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go readRequest(t, server)
		time.AfterFunc(time.Second, func() { _ = c.Close() })
		if _, err := c.Binding(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Binding returned %v, want net.ErrClosed", err)
		}
		select {
		case <-c.Done():
		default:
			t.Error("Done is not closed")
		}
		if err := c.Err(); !errors.Is(err, net.ErrClosed) || errors.Is(err, stun.ErrDisconnected) {
			t.Errorf("Err is %v, want net.ErrClosed", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("the second Close returned %v", err)
		}
	})
}

func TestServerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		synctest.Wait()
		if err := c.Err(); err != nil {
			t.Fatalf("ended too early: %v", err)
		}
		_ = server.Close()
		<-c.Done()
		if err := c.Err(); !errors.Is(err, stun.ErrDisconnected) || !errors.Is(err, io.EOF) {
			t.Errorf("Err is %v, want ErrDisconnected and io.EOF", err)
		}
	})
}

func TestStrayAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		_, _ = server.Write(success(pion.MustBuild(pion.TransactionID), 1))
		<-c.Done()
		if err := c.Err(); !errors.Is(err, stun.ErrTransaction) {
			t.Errorf("Err is %v, want ErrTransaction", err)
		}
	})
}

func TestAnsweredTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go func() {
			answer := success(readRequest(t, server), 1)
			_, _ = server.Write(answer)
			_, _ = server.Write(answer)
		}()
		if _, err := c.Binding(t.Context()); err != nil {
			t.Error(err)
		}
		<-c.Done()
		if err := c.Err(); !errors.Is(err, stun.ErrTransaction) {
			t.Errorf("Err is %v, want ErrTransaction", err)
		}
	})
}

func TestConnAddrs(t *testing.T) {
	server := serve(t, nil)
	c, err := stun.Dial(t.Context(), &net.Dialer{}, server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for range 3 {
		got, err := c.Binding(t.Context())
		if err != nil || got != c.LocalAddr() {
			t.Errorf("got %v, %v, want %v", got, err, c.LocalAddr())
		}
	}
	if got := c.RemoteAddr(); got != server {
		t.Errorf("RemoteAddr is %v, want %v", got, server)
	}
	p, _ := pipe(t)
	if p.LocalAddr().IsValid() || p.RemoteAddr().IsValid() {
		t.Errorf("addresses of a pipe: %v, %v", p.LocalAddr(), p.RemoteAddr())
	}
}

// pipe returns a Conn and the server's end of its connection, on which a write waits for the
// reader.
func pipe(t *testing.T) (*stun.Conn, net.Conn) {
	t.Helper()
	a, b := net.Pipe()
	c := stun.NewConn(a, "pipe")
	t.Cleanup(func() { _ = b.Close(); _ = c.Close() })
	return c, b
}
