package main

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

const synACK = natlab.SYN | natlab.ACK

var (
	aliceAddr = netip.MustParseAddrPort("46.0.2.1:4001")
	bobAddr   = netip.MustParseAddrPort("46.0.3.1:4002")
)

// seen makes segments of one punch; alice's sequence number is 100, bob's 200.
func seen(site string, d natlab.Direction, flags uint8, fate natlab.Fate) segment {
	s := segment{site: site, direction: d, flags: flags, fate: fate, src: aliceAddr, dst: bobAddr, seq: 100}
	if (site == scene.BobName) == (d == natlab.Outbound) {
		s.src, s.dst, s.seq = bobAddr, aliceAddr, 200
	}
	if flags == synACK {
		s.ack = 300 - s.seq + 1
	}
	return s
}

func crossing() []segment {
	return []segment{
		seen(scene.AliceName, natlab.Outbound, natlab.SYN, natlab.Forwarded),
		seen(scene.BobName, natlab.Outbound, natlab.SYN, natlab.Forwarded),
		seen(scene.BobName, natlab.Inbound, natlab.SYN, natlab.Forwarded),
		seen(scene.BobName, natlab.Outbound, synACK, natlab.Forwarded),
		seen(scene.AliceName, natlab.Inbound, natlab.SYN, natlab.Forwarded),
		seen(scene.AliceName, natlab.Outbound, synACK, natlab.Lost),
	}
}

func TestSimultaneous(t *testing.T) {
	if !simultaneous(crossing(), bobAddr) {
		t.Error("crossing SYNs are not simultaneous")
	}
	if simultaneous(crossing(), netip.MustParseAddrPort("46.0.3.1:4003")) {
		t.Error("simultaneous at another address")
	}
	for i, missing := range crossing() {
		if simultaneous(slices.Delete(crossing(), i, i+1), bobAddr) {
			t.Errorf("simultaneous without %q at %s", missing, missing.site)
		}
	}
	refused := crossing()
	refused[4].fate = natlab.Answered
	if simultaneous(refused, bobAddr) {
		t.Error("simultaneous with a SYN that was refused")
	}
	retried := crossing()
	retried[3].seq++
	if simultaneous(retried, bobAddr) {
		t.Error("simultaneous with a SYN+ACK of another SYN")
	}
}

func TestTimeline(t *testing.T) {
	begin := time.Now()
	at := func(s segment, ms int) segment {
		s.at = begin.Add(time.Duration(ms) * time.Millisecond)
		return s
	}
	rst := seen(scene.AliceName, natlab.Outbound, natlab.RST|natlab.ACK, natlab.Forwarded)
	got := timeline([]segment{
		at(seen(scene.BobName, natlab.Outbound, natlab.SYN, natlab.Forwarded), 1),
		at(seen(scene.AliceName, natlab.Inbound, natlab.SYN, natlab.Answered), 41),
		at(rst, 41), // with the SYN
		at(rst, 42), // of the host
		at(seen(scene.BobName, natlab.Inbound, natlab.RST, natlab.Forwarded), 81),
		at(seen(scene.AliceName, natlab.Outbound, natlab.SYN, natlab.Lost), 100),
		at(seen(scene.BobName, natlab.Outbound, synACK, natlab.Dropped), 120),
	}, begin)
	want := []string{
		"     1.0                           SYN out",
		"    41.0   SYN in, refused",
		"    42.0   RST out",
		"    81.0                           RST in",
		"   100.0   SYN out, lost",
		"   120.0                           SYN+ACK out, dropped",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

func TestTimelineOfLongPunch(t *testing.T) {
	var segments []segment
	for range 100 {
		segments = append(segments, seen(scene.AliceName, natlab.Outbound, natlab.SYN, natlab.Forwarded))
	}
	rows := timeline(segments, time.Time{})
	if len(rows) != firstRows+1+lastRows || rows[firstRows] != "     ...   84 more" {
		t.Errorf("%d rows: %q", len(rows), rows)
	}
}
