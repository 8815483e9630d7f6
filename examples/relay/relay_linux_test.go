package main

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// addHost adds a host at a site of its own, 10 ms from the core.
func addHost(t *testing.T, lab *natlab.Lab, name, nat string) *natlab.Host {
	t.Helper()
	b, err := natlab.ParseBehaviour(nat)
	if err != nil {
		t.Fatal(err)
	}
	s, err := lab.AddSite(natlab.SiteConfig{Name: name, NAT: b, Delay: 10 * time.Millisecond, IPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.AddHost(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// flagsWith returns the flags for peers that the relay prints with an address.
func flagsWith(p *program.Process, addr string) []string {
	return strings.Fields(p.Line("-relay " + addr))
}

// TestInLab has peers on other machines use the relay.
func TestInLab(t *testing.T) {
	peer := program.Build(t, "../peer")
	for name, test := range map[string]func(*testing.T, string){
		"both families":           bothFamilies,
		"announced address":       announcedAddress,
		"many behind one address": manyBehindOneAddress,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, peer)
		})
	}
}

// A relay without flags serves both families, at the usual ports.
func bothFamilies(t *testing.T, peer string) {
	lab := labtest.New(t, natlab.Config{Seed: 1})
	public := addHost(t, lab, "relay", "public")
	relay := program.StartIn(t, public, exec.Command(program.Self(t)))
	alice, bob := addHost(t, lab, "alice", "eim-apdf-rst"), addHost(t, lab, "bob", "eim-apdf-rst")
	over4 := flagsWith(relay, "/ip4/"+public.Addr().String()+"/tcp/4001/p2p/")
	over6 := flagsWith(relay, "/ip6/"+public.Addr6().String()+"/tcp/4001/p2p/")
	listener := program.StartIn(t, alice, exec.Command(peer, append([]string{"listen"}, over6...)...))
	id := lastField(listener.Line(" dial "))
	dialler := program.StartIn(t, bob, exec.Command(peer, append(append([]string{"dial"}, over4...), id)...))
	if r := dialler.Wait(); r.Status != 0 || !strings.Contains(r.Stdout, "\ndirect ") || strings.Contains(r.Stdout, "warning") {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
	listener.Interrupt()
	listener.Wait()
	relay.Interrupt()
	if r := relay.Wait(); r.Status != 0 || r.Stderr != "" || strings.Contains(r.Stdout, "refused") {
		t.Errorf("relay: status %d, stderr %q", r.Status, r.Stderr)
	}
}

// A machine has a private address, and its cloud's NAT leads a public one there.
func announcedAddress(t *testing.T, peer string) {
	lab := labtest.New(t, natlab.Config{Seed: 1})
	cloud := addHost(t, lab, "cloud", "eim-eif")
	for _, port := range []uint16{relayPort, stunPort} {
		if err := cloud.Site().Forward(port, netip.AddrPortFrom(cloud.Addr(), port)); err != nil {
			t.Fatal(err)
		}
	}
	alice, bob := addHost(t, lab, "alice", "eim-apdf"), addHost(t, lab, "bob", "eim-apdf")
	external := cloud.Site().External().String()
	relay := program.StartIn(t, cloud, exec.Command(program.Self(t), "-announce", external))
	flags := flagsWith(relay, "/ip4/"+external+"/tcp/4001/p2p/")
	listener := program.StartIn(t, alice, exec.Command(peer, append([]string{"listen"}, flags...)...))
	id := lastField(listener.Line(" dial "))
	dialler := program.StartIn(t, bob, exec.Command(peer, append(append([]string{"dial"}, flags...), id)...))
	if r := dialler.Wait(); r.Status != 0 || !strings.Contains(r.Stdout, "\ndirect ") || strings.Contains(r.Stdout, "warning") {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
}

// More hosts than go-libp2p's defaults allow have one address: of these the ninth is refused.
func manyBehindOneAddress(t *testing.T, peer string) {
	lab := labtest.New(t, natlab.Config{Seed: 1})
	public, home := addHost(t, lab, "relay", "public"), addHost(t, lab, "home", "eim-apdf")
	relay := program.StartIn(t, public, exec.Command(program.Self(t), "-status", "50ms"))
	flags := flagsWith(relay, "/ip4/"+public.Addr().String()+"/tcp/4001/p2p/")
	const hosts = 10
	listeners := make([]*program.Process, hosts)
	for i := range listeners {
		listeners[i] = program.StartIn(t, home, exec.Command(peer, append([]string{"listen"}, flags...)...))
	}
	for _, l := range listeners {
		l.Line(" dial ")
	}
	relay.Line(" 10 reservations, 0 circuits, 0 B relayed; STUN: ")
}

func lastField(line string) string {
	fields := strings.Fields(line)
	return fields[len(fields)-1]
}
