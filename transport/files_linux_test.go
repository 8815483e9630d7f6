package transport

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

func init() { commands["starve"] = (*labHost).starve }

// starve leaves the peer's process without another file descriptor. Those that are open stay so.
func (h *labHost) starve(context.Context, command) any {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	if err == nil {
		limit.Cur = 0
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	}
	return failed(err)
}

// TestNoFilesInLab: a host without file descriptors ends the punch at once, and both sides know
// why, whichever it is.
func TestNoFilesInLab(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	for name, starved := range map[string]int{"dialler": 0, "listener": 1} {
		t.Run(name, func(t *testing.T) {
			dialler := l.startPeer(t, addHost(t, l.site(t, name+"-a", "eim-apdf"), "alice"), peerConfig{})
			listener := l.startPeer(t, addHost(t, l.site(t, name+"-b", "eim-apdf-rst"), "bob"), peerConfig{})
			ready(t, dialler, listener)
			listener.reserve(t)
			dialler.join(t)
			for _, p := range []*labPeer{dialler, listener} { // ports are warm when this is done
				p.learn(t)
			}
			both := []*labPeer{dialler, listener}
			both[starved].must(t, "starve")
			d := dialler.dial(t, listener)
			o := []outcome{d, listener.look(t, dialler, false)}
			if got := o[starved]; got.Reason != holepunch.ErrNoSocket {
				t.Errorf("the starved side has %v, want %v", got, holepunch.ErrNoSocket)
			}
			if got := o[1-starved]; got.Reason != holepunch.ErrBusy {
				t.Errorf("the other side has %v, want %v", got, holepunch.ErrBusy)
			}
			for _, p := range both {
				n := 0
				for _, s := range p.steps(t) {
					if s.Kind == holepunch.Connecting {
						n++
					}
				}
				if n > fewSYNs {
					t.Errorf("%s: %d connects", p.host.Name(), n)
				}
			}
		})
	}
}
