package pair

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// TestAttempts: only a refused connect counts as refused.
func TestAttempts(t *testing.T) {
	var got Event
	as := newAttempts(func(e Event) { got = e })
	step := func(kind holepunch.EventKind, err error) {
		as.trace(transport.Event{Peer: "peer", Kind: kind, Err: err})
	}
	step(transport.Offered, nil)
	for _, err := range []error{
		syscall.ECONNREFUSED,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		fmt.Errorf("dial: %w", os.ErrDeadlineExceeded),
		context.DeadlineExceeded,
		syscall.EHOSTUNREACH,
	} {
		step(holepunch.Connecting, nil)
		step(holepunch.ConnectFailed, err)
	}
	step(transport.Finished, nil)
	if got.Kind != Punched || got.Connects != 5 || got.Refused != 2 || got.Silent != 3 {
		t.Errorf("got %+v", got)
	}
}

// TestRefusedAttempt: a listener is told why an attempt ended before any address was used. A
// dialler has its error.
func TestRefusedAttempt(t *testing.T) {
	for dir, want := range map[network.Direction][]Kind{network.DirInbound: {Punched}, network.DirOutbound: nil} {
		var told []Kind
		as := newAttempts(func(e Event) { told = append(told, e.Kind) })
		as.trace(transport.Event{Peer: "peer", Direction: dir, Kind: transport.Started})
		as.trace(transport.Event{Peer: "peer", Direction: dir, Kind: transport.Finished, Err: holepunch.ErrNoCandidate})
		if !slices.Equal(told, want) {
			t.Errorf("%v: told %v, want %v", dir, told, want)
		}
	}
	var told []Kind
	as := newAttempts(func(e Event) { told = append(told, e.Kind) })
	as.trace(transport.Event{Peer: "peer", Direction: network.DirInbound, Kind: transport.Offered})
	as.forget("peer")
	as.trace(transport.Event{Peer: "peer", Direction: network.DirInbound, Kind: transport.Finished, Err: holepunch.ErrSignalLost})
	if !slices.Equal(told, []Kind{Offered}) {
		t.Errorf("told %v of a peer that has gone", told)
	}
}

// TestAfter: what waits for an attempt is called once, when that is over or another one begins.
func TestAfter(t *testing.T) {
	for name, end := range map[string]func(*attempts){
		"finished": func(as *attempts) { as.trace(transport.Event{Peer: "peer", Kind: transport.Finished}) },
		"another":  func(as *attempts) { as.trace(transport.Event{Peer: "peer", Kind: transport.Started}) },
		"offered":  func(as *attempts) { as.trace(transport.Event{Peer: "peer", Kind: transport.Offered}) },
		"gone":     func(as *attempts) { as.forget("peer") },
	} {
		var told []Kind
		as := newAttempts(func(e Event) { told = append(told, e.Kind) })
		as.trace(transport.Event{Peer: "peer", Kind: transport.Offered})
		as.after("peer", func() { told = append(told, Direct) })
		if slices.Contains(told, Direct) {
			t.Errorf("%s: called before the end", name)
		}
		end(as)
		end(as)
		if n := len(slices.DeleteFunc(slices.Clone(told), func(k Kind) bool { return k != Direct })); n != 1 {
			t.Errorf("%s: called %d times", name, n)
		}
		if name == "finished" && !slices.Equal(told[:3], []Kind{Offered, Punched, Direct}) {
			t.Errorf("told %v", told)
		}
	}
	as := newAttempts(func(Event) {})
	called := false
	if as.after("peer", func() { called = true }); !called {
		t.Error("not called without an attempt")
	}
}
