package tcpport

import (
	"net"
	"net/netip"
	"slices"
	"testing"
)

// dial connects from an address other than the tests' Ports have.
func dial(t *testing.T, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := d.Dial("tcp4", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Reset(c.(*net.TCPConn)) })
	return c.(*net.TCPConn)
}

// Of too many connections that wait the oldest makes room, so that strangers' do not keep a
// peer's out.
func TestWaitingConnectionsAreBounded(t *testing.T) {
	p, pa := open4(t)
	e := p.Expect()
	defer e.Close()
	first := dial(t, pa)
	for range maxWaiting - 1 {
		dial(t, pa)
	}
	q, qa := open4(t)
	connect(t, q, pa)
	wantReset(t, first)
	e.From([]netip.AddrPort{qa})
	if got := remoteOf(next(t, e)); got != qa {
		t.Fatalf("got %v, want %v", got, qa)
	}
}

// A host with many attempts under way keeps what all of their peers bring early.
func TestManyOpenExpectations(t *testing.T) {
	const peers = 2 * maxWaiting
	p, pa := open4(t)
	var expected []*Expectation
	var early []netip.AddrPort
	for range peers {
		e := p.Expect()
		defer e.Close()
		expected = append(expected, e)
	}
	for range peers {
		early = append(early, dial(t, pa).LocalAddr().(*net.TCPAddr).AddrPort())
	}
	for i, e := range expected {
		e.From(early[i : i+1])
	}
	for i, e := range expected {
		if got := remoteOf(next(t, e)); got != early[i] {
			t.Fatalf("got %v, want %v", got, early[i])
		}
	}
}

// A stranger's connection is not kept as long as there is an open Expectation, which on
// a busy host may be always.
func TestNothingWaitsForEver(t *testing.T) {
	t.Parallel()
	p, pa := open4(t)
	e := p.Expect()
	defer e.Close()
	wantReset(t, dial(t, pa))
}

// What comes for an Expectation that has just ended is not handed to another of the
// same address.
func TestBelatedConnectionIsNobodyElses(t *testing.T) {
	p, pa := open4(t)
	q, qa := open4(t)
	r, ra := open4(t)
	ended, other := p.Expect(), p.Expect()
	defer other.Close()
	ended.From([]netip.AddrPort{qa})
	other.From([]netip.AddrPort{netip.AddrPortFrom(ra.Addr(), ra.Port()-1)})
	ended.Close()
	wantRefusal(t, q, pa)
	connect(t, r, pa)
	if got := remoteOf(next(t, other)); got != ra {
		t.Fatalf("got %v, want %v", got, ra)
	}
	// Until it is expected anew.
	again := p.Expect()
	defer again.Close()
	connect(t, q, pa)
	again.From([]netip.AddrPort{qa})
	if got := remoteOf(next(t, again)); got != qa {
		t.Fatalf("got %v, want %v", got, qa)
	}
}

// An Expectation may be told anew, and after its end.
func TestFromAgain(t *testing.T) {
	p, pa := open4(t)
	q, qa := open4(t)
	neighbour := netip.MustParseAddrPort("127.0.0.9:4001")
	e := p.Expect()
	e.From([]netip.AddrPort{qa, qa})
	e.From([]netip.AddrPort{neighbour})
	wantRefusal(t, q, pa)
	e.From([]netip.AddrPort{neighbour, qa})
	if got := remoteOf(connect(t, q, pa)); got != pa {
		t.Fatal(got)
	}
	next(t, e)
	e.Close()
	e.From([]netip.AddrPort{qa})
	r, _ := open4(t)
	wantRefusal(t, r, pa)
}

// Who names what another has named before is told so.
func TestFromTellsWhatIsTaken(t *testing.T) {
	p, _ := open4(t)
	at := netip.MustParseAddrPort
	first, second, same := p.Expect(), p.Expect(), p.Expect()
	first.Peer, second.Peer, same.Peer = "first", "second", "second"
	for i, tc := range []struct {
		of          *Expectation
		from, taken []netip.AddrPort
	}{
		{first, []netip.AddrPort{at("192.0.2.1:1"), at("192.0.2.1:2")}, nil},
		{second, []netip.AddrPort{at("192.0.2.2:1")}, nil},
		{second, []netip.AddrPort{at("192.0.2.1:3"), at("192.0.2.2:1")}, []netip.AddrPort{at("192.0.2.1:0")}},
		{second, []netip.AddrPort{at("192.0.2.1:2")}, []netip.AddrPort{at("192.0.2.1:2"), at("192.0.2.1:0")}},
		{first, []netip.AddrPort{at("192.0.2.3:1")}, nil},
		{second, []netip.AddrPort{at("192.0.2.1:2")}, nil},
		{first, []netip.AddrPort{at("192.0.2.1:2")}, []netip.AddrPort{at("192.0.2.1:2"), at("192.0.2.1:0")}},
		{second, []netip.AddrPort{at("192.0.2.1:4"), at("192.0.2.1:2")}, nil},
		{same, []netip.AddrPort{at("192.0.2.1:2")}, nil},
	} {
		if taken := tc.of.From(tc.from); !slices.Equal(taken, tc.taken) {
			t.Errorf("%d: %v are taken, want %v", i, taken, tc.taken)
		}
	}
}

// A stranger with many connections that wait makes room for itself, and not a peer who is elsewhere.
func TestStrangersMakeRoomForThemselves(t *testing.T) {
	p, pa := open4(t)
	e := p.Expect()
	defer e.Close()
	q, qa := open4(t)
	connect(t, q, pa)
	first := dial(t, pa)
	for range maxWaiting - 1 {
		dial(t, pa)
	}
	wantReset(t, first)
	e.From([]netip.AddrPort{qa})
	if got := remoteOf(next(t, e)); got != qa {
		t.Fatalf("got %v, want %v", got, qa)
	}
}

// Strangers at the peer's address, which a receiver that is busy has not got to, leave room for what comes from a candidate.
func TestRoomForCandidates(t *testing.T) {
	p, pa := open4(t)
	q, qa := open4(t)
	e := p.Expect()
	defer e.Close()
	e.From([]netip.AddrPort{qa})
	for range maxWaiting + 1 {
		if c, err := net.Dial("tcp4", pa.String()); err == nil { // the last is reset at once
			defer c.Close()
		}
	}
	connect(t, q, pa)
	r, _ := open4(t)
	wantRefusal(t, r, pa) // by which time that was accepted
	for remoteOf(next(t, e)) != qa {
	}
}
