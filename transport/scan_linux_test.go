package transport

import (
	"context"
	"flag"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

var scanFor = flag.Duration("scan", 0, "measure for this long in TestScan what a host with the default limits can be made to send")

func init() { roles["scanner"] = scannerRole }

// A scannerConfig is of a peer that has many identities, and would have another one send SYNs
// to whom it pleases.
type scannerConfig struct {
	Relay      peer.AddrInfo
	Victim     peer.ID
	Identities int
	Offers     int           // of each identity; with
	For        time.Duration // as many as it can
	Targets    []string      // address and port, to be named as candidates
	Site       string        // the one of them that is at the victim's public address
}

// scanned is what the scanner was answered.
type scanned struct {
	Err      string
	Took     time.Duration
	Offers   int
	Statuses map[string]int
	Private  []string // addresses that it got although it did not claim to be at the same site
}

// scannerRole emits the outcome.
func scannerRole(c *labtest.Child) error {
	var cfg scannerConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	got := scanned{Statuses: make(map[string]int)}
	var hosts []host.Host
	for range cfg.Identities {
		h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), libp2p.DisableMetrics(), libp2p.ResourceManager(&network.NullResourceManager{}))
		if err != nil {
			return err
		}
		defer h.Close()
		circuit := cfg.Relay.Addrs[0].Encapsulate(ma.StringCast("/p2p/" + cfg.Relay.ID.String() + "/p2p-circuit"))
		if err := h.Connect(context.Background(), peer.AddrInfo{ID: cfg.Victim, Addrs: []ma.Multiaddr{circuit}}); err != nil {
			got.Err = err.Error()
			return c.Emit(got)
		}
		hosts = append(hosts, h)
	}
	begun := time.Now()
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, h := range hosts {
		all.Go(func() {
			for n := 0; n < cfg.Offers || time.Since(begun) < cfg.For; n++ {
				named, answer, err := offerTargets(h, cfg.Victim, cfg.Targets)
				mu.Lock()
				got.Offers++
				if err == nil {
					got.Statuses[answer.Status.String()]++
				}
				if !slices.Contains(named, cfg.Site) {
					got.Private = append(got.Private, privateAddrs(answer)...)
				}
				mu.Unlock()
				time.Sleep(5 * time.Millisecond) // there are others on this machine
			}
		})
	}
	over := make(chan struct{})
	go func() {
		all.Wait()
		close(over)
	}()
	for {
		select {
		case <-time.After(20 * time.Second): // a waiting caller would have given up
			if err := c.Emit(scanned{}); err != nil {
				return err
			}
		case <-over:
			got.Took = time.Since(begun)
			return c.Emit(got)
		}
	}
}

// TestScan: peers with many identities send OFFERs all the time, and name any addresses. What the
// host sends is bounded, to each address and in all, and some addresses get nothing at all. With
// -scan it prints the figures with the default limits.
func TestScan(t *testing.T) {
	t.Parallel()
	limits := holepunch.Limits{
		PeerSYNs:   holepunch.Rate{Burst: 24, PerSecond: 4},
		AddrSYNs:   holepunch.Rate{Burst: 16, PerSecond: 2},
		HostSYNs:   holepunch.Rate{Burst: 64, PerSecond: 8},
		PeerOffers: holepunch.Rate{Burst: 4, PerSecond: 1},
	}
	cfg := scannerConfig{Identities: 6, Offers: 100}
	if *scanFor > 0 {
		limits = holepunch.Limits{}
		cfg.Identities, cfg.Offers, cfg.For = 16, 0, *scanFor // a relay carries 16 to one peer
	}
	l := newHostLab(t, relayConfig{})
	home := l.site(t, "home", "eim-apdf")
	street := l.site(t, "street", "public")
	// One bystander is there, and refuses what comes in; the others are not.
	refusing := addHost(t, street, "refusing").Addr()
	silent := refusing.Next().Next()
	silent2 := silent.Next()
	victim := l.startPeer(t, addHost(t, home, "victim"), peerConfig{NoLimits: true, Limits: limits})
	ready(t, victim)
	victim.reserve(t)
	relay := l.relay.Addrs[0]
	relayAddr, _ := fromMultiaddr(relay)
	own := home.External()

	forbidden := make(map[netip.AddrPort]bool)
	target := func(a netip.Addr, ports ...uint16) {
		for _, p := range ports {
			cfg.Targets = append(cfg.Targets, netip.AddrPortFrom(a, p).String())
		}
	}
	never := func(a string, ports ...uint16) {
		addr := netip.MustParseAddr(a)
		target(addr, ports...)
		for _, p := range ports {
			forbidden[netip.AddrPortFrom(addr, p)] = true
		}
	}
	for _, a := range []netip.Addr{refusing, silent, relayAddr.Addr()} {
		never(a.String(), 22, 80, 443)
	}
	for _, a := range []string{"10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", victim.host.Addr().String()} {
		never(a, 4001)
	}
	target(refusing, 4001, 5001, 6001, 7001, 8001, 9001)
	target(silent, 4001, 5001, 6001)
	target(silent2, 4001)
	target(own, 4001)
	cfg.Site = netip.AddrPortFrom(own, 4001).String()
	target(relayAddr.Addr(), 4001)

	cfg.Relay, cfg.Victim = l.relay, victim.id
	syns := labtest.CountSYNs(home)
	var got scanned
	scanner := labtest.Start(t, addHost(t, street, "scanner"), "scanner", cfg)
	for got.Took == 0 && got.Err == "" {
		scanner.Next(t, &got)
	}
	if got.Err != "" {
		t.Fatal(got.Err)
	}
	servers := func(a netip.AddrPort) bool { return a.Addr() == relayAddr.Addr() && a.Port() != relayAddr.Port() }
	toRefusing := syns.Sum(func(a netip.AddrPort) bool { return a.Addr() == refusing })
	toSilent := syns.Sum(func(a netip.AddrPort) bool { return a.Addr() == silent })
	all := syns.Sum(func(a netip.AddrPort) bool { return !servers(a) })
	t.Logf("%d OFFERs of %d identities within %v, answered %v", got.Offers, cfg.Identities, got.Took.Round(time.Millisecond), got.Statuses)
	t.Logf("SYNs: %d in all, %d to a third party that refuses them, %d to one that is silent, %d to the host's own address, %d to the relay",
		all, toRefusing, toSilent, syns.Sum(func(a netip.AddrPort) bool { return a.Addr() == own }), syns.Sum(func(a netip.AddrPort) bool { return a == relayAddr }))
	if n := syns.Sum(func(a netip.AddrPort) bool { return forbidden[a] }); n > 0 {
		t.Errorf("%d SYNs to low ports, or to addresses that are nobody's or private: %v", n, syns.To())
	}
	if len(got.Private) > 0 {
		t.Errorf("told strangers of %v", got.Private)
	}
	if *scanFor > 0 {
		return
	}
	if got.Statuses["BUSY"] == 0 || toRefusing == 0 || toSilent == 0 {
		t.Errorf("the scanner was hardly one: %+v", got)
	}
	// What a refusing address gets is counted as it leaves.
	within := func(r holepunch.Rate) int { return r.Burst + int(r.PerSecond*(got.Took.Seconds()+1)) }
	if most := within(limits.AddrSYNs); toRefusing > most {
		t.Errorf("%d SYNs to one address, want %d at most", toRefusing, most)
	}
	// Silence is paid for afterwards: a connect that waits for 10 s has its SYN repeated six times.
	if most := 7 * within(limits.HostSYNs); all > most {
		t.Errorf("%d SYNs in all, want %d at most", all, most)
	}
}
