package main

import (
	"encoding/json"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
)

// someID is the peer ID of no peer in this test.
const someID = "12D3KooWNBgu298tLQiyYBJpGmbFWVTx1wj8m9GwceeeVUQpoqJQ"

// Where the kernel chooses the ports.
const (
	anyListen = "/ip4/127.0.0.1/tcp/0"
	anySTUN   = "127.0.0.1:0"
)

// startRelay starts examples/relay and returns it with the flags that it prints for peers: -relay
// MULTIADDR -stun HOST:PORT.
func startRelay(t *testing.T, exe, listen, stun string, args ...string) (*program.Process, []string) {
	t.Helper()
	args = append(args, "-listen", listen, "-stun", stun)
	relay := program.Start(t, exec.Command(exe, args...))
	return relay, strings.Fields(relay.Line("-relay "))
}

func TestPeers(t *testing.T) {
	t.Parallel()
	relayExe, exe := program.Build(t, "../relay"), program.Build(t, ".") // one of go run prints another command
	relay, flags := startRelay(t, relayExe, anyListen, anySTUN)
	listener := program.Start(t, exec.Command(exe, append([]string{"listen"}, flags...)...))
	command := strings.Fields(listener.Line(" dial "))
	id := command[len(command)-1]

	dial := func(t *testing.T, id string, args ...string) program.Result {
		t.Helper()
		args = append(append([]string{"dial"}, flags...), args...)
		return program.Run(t, exec.Command(exe, append(args, id)...))
	}
	t.Run("by the printed command", func(t *testing.T) {
		r := program.Run(t, exec.Command(command[0], command[1:]...))
		if r.Status != 0 || r.Stderr != "" {
			t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
		}
		for _, want := range []string{"relayed ", "address ", "punch ", "direct ", "RTT ", "sent      8.0 MiB"} {
			if !strings.Contains(r.Stdout, "\n"+want) {
				t.Errorf("no line %q", want)
			}
		}
		listener.Line("direct connection up")
		listener.Line("received 8.0 MiB")
	})
	t.Run("json", func(t *testing.T) {
		r := dial(t, id, "-json", "-bytes", "100000")
		var report pair.Report
		if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
			t.Fatal(err)
		}
		if r.Status != 0 || r.Stderr != "" || report.Reason != "" {
			t.Errorf("status %d, stderr %q, reason %q", r.Status, r.Stderr, report.Reason)
		}
		if !report.Relayed || !report.Direct || report.Bytes != 100000 ||
			!strings.HasPrefix(report.RemoteAddr, "/ip4/127.0.0.1/tcp/") ||
			report.TimeToDirect <= 0 || report.RelayedRTT <= 0 || report.DirectRTT <= 0 {
			t.Errorf("report %+v", report)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		r := dial(t, someID)
		wantFailure(t, r, "is not at the relay")
	})
	t.Run("the relay's ID", func(t *testing.T) {
		_, relayID, _ := strings.Cut(flags[1], "/p2p/")
		wantFailure(t, dial(t, relayID), "is the relay's")
	})
	t.Run("another relay's ID", func(t *testing.T) {
		addr, _, _ := strings.Cut(flags[1], "/p2p/")
		wantFailure(t, dial(t, id, "-relay", addr+"/p2p/"+someID), "the peer there is")
	})
	t.Run("no STUN server", func(t *testing.T) {
		// Port 1 is tcpmux (RFC 1078), which no host runs. The relay is asked instead.
		args := []string{"dial", flags[0], flags[1], "-stun", "127.0.0.1:1", id}
		if r := program.Run(t, exec.Command(exe, args...)); r.Status != 0 || r.Stderr != "" {
			t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
		}
	})

	t.Run("interrupted before a STUN server answers", func(t *testing.T) {
		silent, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		p := program.Start(t, exec.Command(exe, "listen", flags[0], flags[1], "-stun", silent.Addr().String()))
		c, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p.Interrupt()
		if r := p.Wait(); r.Status != 0 || r.Stdout != "" || r.Stderr != "" {
			t.Errorf("status %d, stdout %q, stderr %q", r.Status, r.Stdout, r.Stderr)
		}
	})
	t.Run("a STUN server that is not there is not recommended", func(t *testing.T) {
		p := program.Start(t, exec.Command(exe, "listen", flags[0], flags[1], "-stun", "127.0.0.1:1"))
		p.Line("127.0.0.1:1 refuses TCP connections")
		if command := p.Line(" dial "); strings.Contains(command, "-stun") {
			t.Error(command)
		}
		p.Interrupt()
		p.Wait()
	})

	listener.Interrupt()
	if r := listener.Wait(); r.Status != 0 || r.Stderr != "" {
		t.Errorf("listener: status %d, stderr %q", r.Status, r.Stderr)
	}
	relay.Interrupt()
	if r := relay.Wait(); r.Status != 0 || r.Stderr != "" {
		t.Errorf("relay: status %d, stderr %q", r.Status, r.Stderr)
	}
	wantFailure(t, dial(t, id), "cannot reach the relay")
}

// wantFailure checks for status 1 and one line that says why.
func wantFailure(t *testing.T, r program.Result, want string) {
	t.Helper()
	if r.Status != 1 || !strings.Contains(r.Stderr, want) || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("status %d, stderr %q; want 1 and a line with %q", r.Status, r.Stderr, want)
	}
}

// TestListenerFollowsRelay: the relay is started again, with the same key and at the same address,
// and the listener comes back to it.
func TestListenerFollowsRelay(t *testing.T) {
	t.Parallel()
	relayExe, exe := program.Build(t, "../relay"), program.Self(t)
	key := filepath.Join(t.TempDir(), "relay.key")
	relay, flags := startRelay(t, relayExe, anyListen, anySTUN, "-key", key)
	listener := program.Start(t, exec.Command(exe, append([]string{"listen"}, flags...)...))
	before := listener.Line(" dial ")

	relay.Interrupt()
	relay.Wait()
	listener.Line("lost, trying again")
	addr, _, _ := strings.Cut(flags[1], "/p2p/")
	again, flagsAgain := startRelay(t, relayExe, addr, flags[3], "-key", key)
	if flagsAgain[1] != flags[1] {
		t.Errorf("the relay's address is %s, was %s", flagsAgain[1], flags[1])
	}
	if after := listener.Line(" dial "); after != before {
		t.Errorf("the command is %q, was %q", after, before)
	}
	again.Interrupt()
	again.Wait()
}

// TestKey: with -key, a listener is the same peer at each start.
func TestKey(t *testing.T) {
	t.Parallel()
	relayExe, exe := program.Build(t, "../relay"), program.Self(t)
	_, flags := startRelay(t, relayExe, anyListen, anySTUN)
	id := func(args ...string) string {
		p := program.Start(t, exec.Command(exe, append(append([]string{"listen"}, args...), flags...)...))
		command := strings.Fields(p.Line(" dial "))
		p.Interrupt()
		p.Wait()
		return command[len(command)-1]
	}
	key := filepath.Join(t.TempDir(), "peer.key")
	if first, second := id("-key", key), id("-key", key); first != second {
		t.Errorf("%s, then %s", first, second)
	}
	if first, second := id(), id(); first == second {
		t.Errorf("%s twice, without a key", first)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	exe := program.Self(t)
	const relay = "/ip4/127.0.0.1/tcp/4001/p2p/" + someID
	if r := program.Run(t, exec.Command(exe, "-h")); r.Status != 0 || !strings.Contains(r.Stdout, "peer dial") || r.Stderr != "" {
		t.Errorf("-h: status %d, stdout %q, stderr %q", r.Status, r.Stdout, r.Stderr)
	}
	if r := program.Run(t, exec.Command(exe, "talk")); !strings.HasPrefix(r.Stderr, `peer: there is no command "talk"`) {
		t.Errorf("stderr %q", r.Stderr)
	}
	program.WantUsage(t, exe,
		[]string{},
		[]string{"talk"},
		[]string{"listen"},
		[]string{"listen", "-relay", "/ip4/127.0.0.1/tcp/4001"},
		[]string{"listen", "-relay", relay, "extra"},
		[]string{"dial", "-relay", relay},
		[]string{"dial", "-relay", relay, "nobody"},
		[]string{"dial", "-relay", relay, "-stun", "turn:127.0.0.1", someID},
		[]string{"dial", "-relay", relay, "-bytes", "-1", someID},
	)
}
