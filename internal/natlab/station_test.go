package natlab

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// station is a host without a namespace: it keeps what it gets. It is read when the bubble of the
// test is at rest.
type station struct {
	site  *Site
	addr  netip.Addr
	addr6 netip.Addr
	got   []arrival
}

type arrival struct {
	after time.Duration // since the bubble's start
	pkt   Packet
}

func (s *station) fromLAN(now time.Time, pkt []byte) {
	s.got = append(s.got, arrival{now.Sub(bubbleStart), mustParse(pkt)})
}

// bubbleStart is the time at which every synctest bubble starts.
var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (s *station) send(to netip.AddrPort) {
	s.site.fromHost(udpPacket(netip.AddrPortFrom(s.addr, 4001), to, ""))
}

// external is where the station can be reached from the core.
func (s *station) external() netip.AddrPort {
	if s.site.public() {
		return netip.AddrPortFrom(s.addr, 4001)
	}
	return netip.AddrPortFrom(s.site.External(), 4001)
}

func addStation(t *testing.T, l *Lab, nat string, cfg SiteConfig) *station {
	t.Helper()
	cfg.Name = nat
	var err error
	if cfg.NAT, err = ParseBehaviour(nat); err != nil {
		t.Fatal(err)
	}
	site, err := l.AddSite(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return joinStation(t, site)
}

func joinStation(t *testing.T, site *Site) *station {
	t.Helper()
	addr, err := site.nextAddr()
	if err != nil {
		t.Fatal(err)
	}
	s := &station{site: site, addr: addr, addr6: site.addr6(addr)}
	site.attach(addr, s)
	if s.addr6.IsValid() {
		site.attach(s.addr6, s)
	}
	return s
}

// inLab runs a test in a bubble with a lab without hosts.
func inLab(t *testing.T, f func(t *testing.T, l *Lab)) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(Config{})
		defer l.Close()
		f(t, l)
	})
}

const ms = time.Millisecond

// rest lets time pass, and what is due then happen.
func rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
