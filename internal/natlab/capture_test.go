package natlab

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

func TestCapture(t *testing.T) {
	var file bytes.Buffer
	inLab(t, func(t *testing.T, l *Lab) {
		a := addStation(t, l, "eim-apdf", SiteConfig{Delay: 20 * ms})
		b := addStation(t, l, "public", SiteConfig{})
		if err := a.site.Capture(&file); err != nil {
			t.Fatal(err)
		}
		b.send(a.external()) // filtered
		rest(20*ms + 123)
		a.send(b.external())
		rest(time.Second)
		a.site.SetDown(true)
		a.send(b.external())
		b.send(a.external())
		rest(time.Second)
	})

	r, err := pcapgo.NewNgReader(&file, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		side    string
		after   time.Duration
		packet  string
		comment string
	}{
		{"eim-apdf-wan", 20 * ms, "UDP 46.0.2.1:4001 > 46.0.1.1:4001", "dropped: no mapping"},
		{"eim-apdf-lan", 20*ms + 123, "UDP 10.1.0.1:4001 > 46.0.2.1:4001", ""},
		{"eim-apdf-wan", 20*ms + 123, "UDP 46.0.1.1:4001 > 46.0.2.1:4001", ""},
		{"eim-apdf-lan", 1020*ms + 123, "UDP 10.1.0.1:4001 > 46.0.2.1:4001", ""},
		{"eim-apdf-wan", 1020*ms + 123, "UDP 46.0.1.1:4001 > 46.0.2.1:4001", "lost: link down"},
	} {
		data, info, opts, err := r.ReadPacketDataWithOptions()
		if err != nil {
			t.Fatal(err)
		}
		side, err := r.Interface(info.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		if side.Name != want.side || side.LinkType != layers.LinkTypeIPv4 {
			t.Errorf("got a packet of %s, link type %v, want %s and IPv4", side.Name, side.LinkType, want.side)
		}
		if after := info.Timestamp.Sub(bubbleStart); after != want.after {
			t.Errorf("%s: got a packet after %v, want %v", want.side, after, want.after)
		}
		if got := mustParse(data).String(); got != want.packet {
			t.Errorf("%s: got %s, want %s", want.side, got, want.packet)
		}
		if got := strings.Join(opts.Comments, ","); got != want.comment {
			t.Errorf("%s: got the comment %q, want %q", want.packet, got, want.comment)
		}
	}
	if _, _, err := r.ReadPacketData(); err == nil {
		t.Error("there are more packets")
	}
}

// fullDisk takes some bytes, and no more.
type fullDisk struct{ room int }

var errFull = errors.New("disk full")

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.room -= len(b); d.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestCaptureToFullDisk(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		a := addStation(t, l, "eim-apdf", SiteConfig{})
		if err := a.site.Capture(&fullDisk{}); !errors.Is(err, errFull) {
			t.Errorf("Capture: %v", err)
		}
		if err := a.site.Capture(&fullDisk{room: 500}); err != nil {
			t.Errorf("Capture: %v", err)
		}
		for range 100 {
			a.send(remote1)
		}
		if err := l.Close(); !errors.Is(err, errFull) {
			t.Errorf("Close: %v", err)
		}
	})
}
