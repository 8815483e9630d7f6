package natlab_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestBridgeTap: taps see on a bridge what they see on the core.
func TestBridgeTap(t *testing.T) {
	onCoreAndBridge(t, func(t *testing.T, lab *natlab.Lab) {
		seen := make(map[string]bool)
		var mu sync.Mutex
		complete := make(chan struct{})
		want := []string{
			"home inside outbound forwarded TCP 10.1.0.1:4001 > 46.0.2.1:80 SYN",
			"home outside outbound forwarded TCP 46.0.1.1:4001 > 46.0.2.1:80 SYN",
			"server outside inbound forwarded TCP 46.0.1.1:4001 > 46.0.2.1:80 SYN",
			"server inside inbound forwarded TCP 46.0.1.1:4001 > 46.0.2.1:80 SYN",
			"server inside outbound forwarded TCP 46.0.2.1:80 > 46.0.1.1:4001 SYN+ACK",
			"server outside outbound forwarded TCP 46.0.2.1:80 > 46.0.1.1:4001 SYN+ACK",
			"home outside inbound forwarded TCP 46.0.2.1:80 > 46.0.1.1:4001 SYN+ACK",
			"home inside inbound forwarded TCP 46.0.2.1:80 > 10.1.0.1:4001 SYN+ACK",
		}
		tap := func(e natlab.Event) {
			if since := time.Since(e.Time); since < 0 || since > soon {
				t.Errorf("an event of %v ago", since)
			}
			_, s, _ := strings.Cut(e.String(), " ")
			mu.Lock()
			defer mu.Unlock()
			if seen[s] {
				return // sent again
			}
			seen[s] = true
			if !slices.ContainsFunc(want, func(w string) bool { return !seen[w] }) {
				close(complete)
				want = []string{""} // once
			}
		}
		home := addHost(t, lab, natlab.SiteConfig{Name: "home", NAT: behaviour(t, "kernel")})
		home.Site().Tap(tap)
		server := labtest.AddSite(t, lab, natlab.SiteConfig{Name: "server"})
		server.Tap(tap) // and then a host
		host, err := server.AddHost("server")
		if err != nil {
			t.Fatal(err)
		}
		listen(t, host, 80)
		conn, err := connect(home, 4001, netip.AddrPortFrom(host.Addr(), 80), soon)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		select {
		case <-complete:
		case <-time.After(soon):
			t.Errorf("seen: %v", seen)
		}
	})
}

func TestBridgeDown(t *testing.T) {
	onCoreAndBridge(t, func(t *testing.T, lab *natlab.Lab) {
		server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
		home := addHost(t, lab, natlab.SiteConfig{Name: "home", NAT: behaviour(t, "kernel")})
		listen(t, server, 80)
		at := netip.AddrPortFrom(server.Addr(), 80)
		for _, site := range []*natlab.Site{server.Site(), home.Site()} {
			site.SetDown(true)
			if conn, err := connect(home, 0, at, 100*time.Millisecond); err == nil {
				conn.Close()
				t.Errorf("connected while the link of %s is down", site.Name())
			}
			site.SetDown(false)
			conn, err := connect(home, 0, at, soon)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}
	})
}

// TestBridgeRefuses: what a bridge does not have is an error.
func TestBridgeRefuses(t *testing.T) {
	labtest.Require(t)
	lab, err := natlab.New(natlab.Config{Bridge: true})
	if err != nil {
		t.Fatal(err)
	}
	site, err := lab.AddSite(natlab.SiteConfig{Name: "public"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []natlab.SiteConfig{
		{NAT: behaviour(t, "eim-apdf")},
		{Delay: time.Millisecond},
		{Loss: 0.5},
		{IPv6: true},
	} {
		if _, err := lab.AddSite(cfg); err == nil {
			t.Errorf("a bridge has a site %+v", cfg)
		}
	}
	for what, set := range map[string]func(){
		"loss":  func() { site.SetLoss(0.5) },
		"MTU":   func() { site.SetMTU(1280) },
		"delay": func() { lab.SetExtraDelay(site, site, time.Millisecond) },
	} {
		set()
		defer func() {
			if !strings.Contains(err.Error(), what) {
				t.Errorf("Close does not say that a bridge has no %s: %v", what, err)
			}
		}()
	}
	if err = lab.Close(); err == nil {
		err = errors.New("nothing")
	}
}
