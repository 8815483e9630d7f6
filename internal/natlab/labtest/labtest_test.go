package labtest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestMain(m *testing.M) {
	labtest.Main(m, map[string]labtest.Role{
		"addresses": addresses,
		"echo":      echo,
		"fail":      func(*labtest.Child) error { return errors.New("out of luck") },
		"hang":      func(*labtest.Child) error { select {} },
		"race":      race,
	})
}

// addresses emits the prefix from the configuration and the addresses that the process has.
func addresses(c *labtest.Child) error {
	var prefix string
	if err := c.Config(&prefix); err != nil {
		return err
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		prefix += " " + a.String()
	}
	return c.Emit(prefix)
}

// echo emits what it receives.
func echo(c *labtest.Child) error {
	for {
		var v any
		switch err := c.Receive(&v); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		if err := c.Emit(v); err != nil {
			return err
		}
	}
}

// race prints what the race detector does, and goes on.
func race(*labtest.Child) error {
	fmt.Fprintln(os.Stderr, "WARNING: DATA RACE")
	select {}
}

func newHost(t *testing.T) *natlab.Host {
	t.Helper()
	lab := labtest.New(t, natlab.Config{})
	site, err := lab.AddSite(natlab.SiteConfig{Name: "home", NAT: natlab.Behaviour{Mapping: natlab.EIM}})
	if err != nil {
		t.Fatal(err)
	}
	host, err := site.AddHost("alice")
	if err != nil {
		t.Fatal(err)
	}
	return host
}

func TestProcIsInsideHost(t *testing.T) {
	host := newHost(t)
	p := labtest.Start(t, host, "addresses", "mine:")
	var got string
	p.Next(t, &got)
	if want := "mine: 127.0.0.1/8 "; !strings.HasPrefix(got, want) || !strings.Contains(got, host.Addr().String()) {
		t.Errorf("got %q, want %q and %v", got, want, host.Addr())
	}
	if err := p.Wait(t); err != nil {
		t.Error(err)
	}
}

func TestProcSend(t *testing.T) {
	p := labtest.Start(t, newHost(t), "echo", nil)
	for _, want := range []string{"a", "b"} {
		p.Send(t, want)
		var got string
		if p.Next(t, &got); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := p.Wait(t); err != nil {
		t.Error(err)
	}
}

func TestProcFails(t *testing.T) {
	p := labtest.Start(t, newHost(t), "fail", nil)
	var exit *exec.ExitError
	if err := p.Wait(t); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", err)
	}
}

// A recorder is a test that records its errors.
type recorder struct {
	testing.TB
	errors chan string
}

func (r recorder) Errorf(format string, args ...any) { r.errors <- fmt.Sprintf(format, args...) }

// TestProcRaces: a data race in a child is a failure of the test, though the child is killed.
func TestProcRaces(t *testing.T) {
	r := recorder{t, make(chan string, 1)}
	labtest.Start(r, newHost(t), "race", nil)
	select {
	case got := <-r.errors:
		if got != "alice/race: data race" {
			t.Errorf("got %q", got)
		}
	case <-time.After(time.Minute):
		t.Error("no error")
	}
}

func TestProcIsKilledWithLab(t *testing.T) {
	lab := labtest.New(t, natlab.Config{})
	site, err := lab.AddSite(natlab.SiteConfig{Name: "server"})
	if err != nil {
		t.Fatal(err)
	}
	host, err := site.AddHost("server")
	if err != nil {
		t.Fatal(err)
	}
	p := labtest.Start(t, host, "hang", nil)
	if err := lab.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t); err == nil {
		t.Error("the child has ended by itself")
	}
}

func TestProcAbort(t *testing.T) {
	p := labtest.Start(t, newHost(t), "echo", nil)
	p.Send(t, "a")
	<-p.Events() // it runs
	p.Abort()
	var exit *exec.ExitError
	if err := p.Wait(t); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("got %v, want exit status 2, as after a panic", err)
	}
	if e, ok := <-p.Events(); ok {
		t.Errorf("got %s after the end", e)
	}
}

func TestProcHold(t *testing.T) {
	p := labtest.Start(t, newHost(t), "echo", nil)
	if err := p.Hold(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	p.Send(t, "a")
	var got string
	if p.Next(t, &got); got != "a" {
		t.Errorf("got %q after it stood still", got)
	}
}
