package stun_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestServeSeveralListeners(t *testing.T) {
	s := stun.NewServer(nil)
	addrs := []string{serveOn(t, s, "127.0.0.1:0").String(), serveOn(t, s, "127.0.0.1:0").String()}
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Logf("without IPv6: %v", err)
	} else {
		_ = l.Close()
		addrs = append(addrs, serveOn(t, s, "[::1]:0").String())
	}
	for _, addr := range addrs {
		c, err := stun.Dial(t.Context(), &net.Dialer{}, addr)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Binding(t.Context()); err != nil || got != c.LocalAddr() {
			t.Errorf("%s: got %v, %v, want %v", addr, got, err, c.LocalAddr())
		}
		_ = c.Close()
	}
}

func TestServeAfterClose(t *testing.T) {
	s := stun.NewServer(nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l := newPipeListener()
	if err := s.Serve(l); !errors.Is(err, stun.ErrServerClosed) {
		t.Errorf("Serve returned %v, want ErrServerClosed", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error("the listener is open")
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown after Close returned %v", err)
	}
}

// emfile is what Accept returns when the process has too many open files.
var emfile = &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}

// TestServeAcceptErrors has Accept fail in passing, succeed, fail again, and then for good.
func TestServeAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stun.NewServer(nil)
		l := newPipeListener()
		final := errors.New("broken")
		served := make(chan error, 1)
		begun := time.Now()
		go func() { served <- s.Serve(l) }()
		for range 10 {
			l.errs <- emfile
		}
		time.Sleep(4 * time.Second)
		exchange(t, l.dial(t, "192.0.2.1:1")) // The next pause is 5 ms again.
		l.errs <- emfile
		l.errs <- final
		if err := <-served; !errors.Is(err, final) {
			t.Errorf("Serve returned %v", err)
		}
		if took := time.Since(begun); took != 4*time.Second+5*time.Millisecond {
			t.Errorf("Serve returned after %v", took)
		}
		_ = s.Close()
	})
}

// TestServeBackoff checks how long Serve pauses.
func TestServeBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stun.NewServer(nil)
		l := newPipeListener()
		for range 10 {
			l.errs <- emfile
		}
		l.errs <- net.ErrClosed
		begun := time.Now()
		if err := s.Serve(l); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
		// 5, 10, 20, ... 640 ms, then 1 s.
		if took := time.Since(begun); took != 1275*time.Millisecond+2*time.Second {
			t.Errorf("Serve returned after %v", took)
		}
		_ = s.Close()
	})
}

func TestCloseDuringBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stun.NewServer(nil)
		l := newPipeListener()
		for range 10 {
			l.errs <- emfile
		}
		time.AfterFunc(1300*time.Millisecond, func() { _ = s.Close() })
		begun := time.Now()
		if err := s.Serve(l); !errors.Is(err, stun.ErrServerClosed) {
			t.Errorf("Serve returned %v, want ErrServerClosed", err)
		}
		if took := time.Since(begun); took != 1300*time.Millisecond {
			t.Errorf("Serve returned after %v", took)
		}
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := servePipes(t, nil)
		idle, busy := l.dial(t, "192.0.2.1:1"), l.dial(t, "192.0.2.2:2")
		exchange(t, idle)
		req := pion.MustBuild(pion.TransactionID, pion.BindingRequest)
		write(t, busy, req.Raw[:10])
		time.Sleep(time.Second)

		shut := make(chan error)
		go func() { shut <- s.Shutdown(t.Context()) }()
		wantClosed(t, idle, 0)
		time.Sleep(3 * time.Second)
		write(t, busy, req.Raw[10:])
		readResponse(t, busy, req)
		wantClosed(t, busy, 0)
		if err := <-shut; err != nil {
			t.Errorf("Shutdown returned %v", err)
		}
	})
}

// TestShutdownHalfRequest leaves a request unfinished: Shutdown takes no longer than the request
// may.
func TestShutdownHalfRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := servePipes(t, nil)
		nc := l.dial(t, "192.0.2.1:1")
		write(t, nc, []byte{0})
		synctest.Wait() // The server has taken it in.
		begun := time.Now()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown returned %v", err)
		}
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("Shutdown took %v", took)
		}
	})
}

func TestShutdownTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := servePipes(t, nil)
		nc := l.dial(t, "192.0.2.1:1")
		write(t, nc, []byte{0})
		synctest.Wait() // The server has taken it in.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returned %v, want context.DeadlineExceeded", err)
		}
		wantClosed(t, nc, 0)
	})
}

// TestShutdownUnderLoad shuts down while clients ask as fast as they can. Each request must be
// answered, or the connection ended.
func TestShutdownUnderLoad(t *testing.T) {
	s := stun.NewServer(unbounded)
	addr := serveOn(t, s, "127.0.0.1:0").String()
	var clients, ready sync.WaitGroup
	for range 8 {
		ready.Add(1)
		clients.Go(func() {
			c, err := stun.Dial(t.Context(), &net.Dialer{}, addr)
			if err != nil {
				t.Error(err)
				ready.Done()
				return
			}
			defer func() { _ = c.Close() }()
			_, err = c.Binding(t.Context())
			ready.Done()
			for err == nil {
				_, err = c.Binding(t.Context())
			}
			if !errors.Is(err, stun.ErrDisconnected) {
				t.Errorf("ended with %v", err)
			}
		})
	}
	ready.Wait()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
	clients.Wait()
	if _, err := stun.Dial(t.Context(), &net.Dialer{}, addr); err == nil {
		t.Error("the port is still open")
	}
}

func TestCloseServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := servePipes(t, nil)
		idle, busy := l.dial(t, "192.0.2.1:1"), l.dial(t, "192.0.2.2:2")
		write(t, busy, []byte{0})
		begun := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wantClosed(t, idle, 0)
		wantClosed(t, busy, 0)
		if took := time.Since(begun); took != 0 {
			t.Errorf("Close took %v", took)
		}
	})
}

// TestServerFiles counts open files round after round. Their number may fall, because another
// test's files are closed late, but never rise.
func TestServerFiles(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil && os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		if err != nil {
			t.Skipf("no count of open files here: %v", err)
		}
		return len(entries)
	}
	before := -1
	for range 3 { // The first round may open what the runtime keeps.
		s := stun.NewServer(nil)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		var conns []*stun.Conn
		for range 2 {
			c, err := stun.Dial(t.Context(), &net.Dialer{}, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			if _, err := c.Binding(t.Context()); err != nil {
				t.Error(err)
			}
		}
		garbage, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(garbage, "GET / HTTP/1.1\r\n\r\n")
		_, _ = io.ReadAll(garbage)
		_ = garbage.Close()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-served
		for _, c := range conns {
			_ = c.Close()
		}
		after := count()
		if before >= 0 && after > before {
			t.Errorf("%d open files, %d before", after, before)
		}
		before = after
	}
}
