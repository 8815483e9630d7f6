package holepunch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// TestFollowing: a responder does not connect to the address that only says where the initiator is,
// but to those which follow.
func TestFollowing(t *testing.T) {
	t.Parallel()
	s, r := newSession(false)
	s.onMessage(received("following"))
	s.onGathered(theirs, 50000, nil)
	if got := r.rounds[0].remote; len(got) != 0 {
		t.Errorf("connects to %v", got)
	}
	r.did = nil
	more := candidates(punch.Predicted, "46.0.1.1:50001", "46.0.1.1:50002")
	s.onMessage(received("candidates", of(more...)))
	r.want(t, fmt.Sprint("add ", addrsOf(more)))
	s.onMessage(received("candidates", of(candidates(punch.Predicted, "46.0.1.1:50003")...))) // once
	s.onMessage(received("candidates", of(candidates(punch.Listener, "46.0.1.1:50003")...)))
	s.onMessage(received("candidates", of(candidates(punch.LAN, "192.168.1.9:50003")...))) // of another site
	r.want(t)
}

// TestBlock: of a NAT with a block of ports, one predicted candidate stands for all.
func TestBlock(t *testing.T) {
	t.Parallel()
	theirs := candidates(punch.Predicted, "[2a00::1]:50000", "46.0.1.1:50005", "46.0.1.9:50005")
	_, r := punchingSession(t, true, ours, of(theirs...), behind(block))
	want := addrs("[2a00::1]:50000")
	for port := uint16(50000); port < 50016; port++ {
		want = append(want, netip.AddrPortFrom(netip.MustParseAddr("46.0.1.1"), port))
	}
	want = append(want, netip.MustParseAddrPort("46.0.1.9:50005"))
	if got := addrsOf(r.rounds[0].remote); !slices.Equal(got, want) {
		t.Errorf("connects to %v\nwant %v", got, want)
	}
}

// TestSameSite: both sides name their addresses within, after they have seen that they are at one
// site.
func TestSameSite(t *testing.T) {
	t.Parallel()
	neighbour := description{candidates: reflexive(addrs("46.0.1.1:50000")...)}
	lan := candidates(punch.LAN, "192.168.1.7:40000")
	there := candidates(punch.LAN, "192.168.1.8:50000")

	s, r := newSession(false)
	r.lan = lan
	s.onMessage(received("offer", plain))
	s.onGathered(neighbour, 50000, nil)
	if got := r.sent[0].candidates; !slices.Equal(got, append(neighbour.candidates, lan...)) {
		t.Errorf("answered with %v", got)
	}
	r.did = nil
	s.onMessage(received("candidates", of(there...)))
	r.want(t, fmt.Sprint("add ", addrsOf(there)))
	s.onMessage(received("candidates", of(there...)))
	r.want(t)

	// Also if its ports are predicted.
	s, r = newSession(false)
	r.lan = lan
	s.onMessage(received("offer", plain))
	s.onGathered(description{candidates: neighbour.candidates, behaviour: sequential, following: true}, 50000, nil)
	predicted := candidates(punch.Predicted, "46.0.1.1:50001", "46.0.1.1:50002")
	s.onPredicted(predicted, nil)
	if got := r.sent[0].candidates; !slices.Equal(got, append(predicted, lan...)) {
		t.Errorf("answered with %v", got)
	}

	s, r = newSession(true)
	r.lan = lan
	s.onGathered(ours, 40000, nil)
	r.did = nil
	s.onMessage(received("answer", plain, of(append(neighbour.candidates, there...)...)))
	r.want(t, "connect with", "CANDIDATES", "trace offered", "round 0")
	if got := r.sent[1].candidates; !slices.Equal(got, lan) {
		t.Errorf("CANDIDATES with %v, want %v", got, lan)
	}
	s.onTimer(roundTimer)
	s.onRoundEnded(0, punch.Result{})
	if r.err.Reason() != ErrNoHairpin || !errors.Is(r.err, ErrNoConnection) {
		t.Errorf("got %v, want ErrNoHairpin", r.err)
	}
	if m := r.sent[len(r.sent)-1]; m.status != StatusFailed {
		t.Errorf("told %v: what came of SYNs is nobody's business", m.status)
	}
}

// TestNoHairpin: where it is known that neighbours cannot meet, no SYN is sent.
func TestNoHairpin(t *testing.T) {
	t.Parallel()
	s, r := newSession(true)
	s.onGathered(description{candidates: reflexive(addrs("46.0.1.1:40000")...), behaviour: stun.Behaviour{Hairpin: stun.No}}, 40000, nil)
	s.onMessage(received("answer", plain, of(reflexive(addrs("46.0.1.1:50000")...)...)))
	if r.err.Reason() != ErrNoHairpin || len(r.rounds) != 0 || r.sent[1].status != StatusImpossible {
		t.Errorf("did %q: %v", r.did, r.err)
	}
}

// TestListenersAreNotPunched: the application connects to them.
func TestListenersAreNotPunched(t *testing.T) {
	t.Parallel()
	for _, initiator := range []bool{true, false} {
		s, r := newSession(initiator)
		s.elsewhere = elsewhereUnasked
		cs := append(reflexive(addrs("46.0.3.1:40000")...), candidates(punch.Listener, "46.0.3.1:4001", "46.0.3.2:4001", "46.0.3.3:4001")...)
		if initiator {
			s.onGathered(ours, 40000, nil)
			s.onMessage(received("answer", plain, of(cs...)))
		} else {
			s.onMessage(received("offer", plain, of(cs...)))
			s.onGathered(theirs, 50000, nil)
		}
		if got := r.rounds[0].remote; !slices.Equal(got, cs[:1]) {
			t.Errorf("connects to %v, want %v", got, cs[:1])
		}
		if got, want := r.did[len(r.did)-1], fmt.Sprint("elsewhere ", addrs("46.0.3.1:4001", "46.0.3.2:4001"), " true"); got != want {
			t.Errorf("did %q, want %q", got, want)
		}
		if initiator {
			s.onMessage(received("done")) // the peer has a connection; so will we
			if s.state == over {
				t.Error("over before the application has its connection")
			}
		}
		r.did = nil
		s.onElsewhere(nil)
		r.want(t, "DONE", "fail")
		if r.err.Reason() != ErrElsewhere {
			t.Errorf("got %v, want %q", r.err, ErrElsewhere)
		}
	}
}

// TestToldElsewhere: an initiator without means of its own takes the peer's word.
func TestToldElsewhere(t *testing.T) {
	t.Parallel()
	s, r := punchingSession(t, true, ours)
	s.onElsewhere(errors.New("timeout")) // which means nothing
	s.onMessage(received("done"))
	if r.err == nil || r.err.Reason() != ErrElsewhere {
		t.Errorf("got %v, want %q", r.err, ErrElsewhere)
	}
}
