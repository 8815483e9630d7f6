package stun_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	pion "github.com/pion/stun/v3"
	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() {
	roles["instigate"] = instigateRole
	roles["without files"] = withoutFilesRole
}

// An instigation is an attempt to make a server connect to another host.
type instigation struct {
	Servers []netip.AddrPort
	Victim  netip.AddrPort
	Ports   int // of the attacker
}

// An instigated server has had so many requests to connect, from these endpoints, and says that it
// did so often.
type instigated struct {
	From         []netip.AddrPort
	Asked, Tried int
}

// instigateRole asks for connects back from ports that answer no SYN, and with all the attributes
// that name an address.
func instigateRole(c *labtest.Child) error {
	var i instigation
	if err := c.Config(&i); err != nil {
		return err
	}
	victim := func(a pion.AttrType) pion.Setter {
		m := pion.MustBuild(pion.BindingRequest)
		_ = (&pion.MappedAddress{IP: i.Victim.Addr().AsSlice(), Port: int(i.Victim.Port())}).AddToAs(m, a)
		value, _ := m.Get(a)
		return pion.RawAttribute{Type: a, Value: value}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	var own netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			own = p.Addr()
		}
	}
	var mu sync.Mutex
	var result instigated
	var asking sync.WaitGroup
	for n := range i.Ports {
		port, err := tcpport.ListenSilent(own)
		if err != nil {
			return err
		}
		defer port.Close()
		nc, err := port.Connect(context.Background(), i.Servers[n%len(i.Servers)])
		if err != nil {
			return err
		}
		defer nc.Close()
		result.From = append(result.From, nc.LocalAddr().(*net.TCPAddr).AddrPort())
		asking.Go(func() {
			for _, from := range []stun.From{stun.FromOwn, stun.FromOther} {
				req := pion.MustBuild(pion.TransactionID, pion.BindingRequest,
					victim(pion.AttrMappedAddress), victim(pion.AttrXORMappedAddress), victim(pion.AttrOtherAddress),
					victim(pion.AttrResponseOrigin), victim(pion.AttrAlternateServer),
					pion.RawAttribute{Type: stun.AttrConnectBack, Value: []byte{byte(from), 0, byte(i.Victim.Port() >> 8), byte(i.Victim.Port())}})
				resp := new(pion.Message)
				_ = nc.SetDeadline(time.Now().Add(time.Minute))
				if _, err = nc.Write(req.Raw); err != nil {
					return
				}
				b := make([]byte, 1024)
				k, err := nc.Read(b)
				if err != nil || pion.Decode(b[:k], resp) != nil {
					return
				}
				mu.Lock()
				result.Asked++
				if back, err := resp.Get(stun.AttrConnectBack); err == nil && stun.Outcome(back[1]) != stun.NotDone {
					result.Tried++
				}
				mu.Unlock()
			}
		})
	}
	asking.Wait()
	return c.Emit(result)
}

// TestConnectBackGoesNowhereElse asks a server to connect to another host, and reads on the wire
// where it connects.
func TestConnectBackGoesNowhereElse(t *testing.T) {
	t.Parallel()
	l := newDiscoverLab(t, "public")
	_, victim := l.add(t, "victim", "public")
	var mu sync.Mutex
	to := make(map[netip.AddrPort]int)
	l.lab.Tap(func(e natlab.Event) {
		p, err := natlab.Parse(e.Packet)
		if err == nil && p.TCP() && e.Site.Name() == "server" && e.Direction == natlab.Outbound && e.Place == natlab.Inside &&
			p.Flags()&(natlab.SYN|natlab.ACK) == natlab.SYN {
			mu.Lock()
			defer mu.Unlock()
			to[p.Dst()]++
		}
	})
	const ports = 24 // each asks twice
	p := labtest.Start(t, l.host, "instigate", instigation{
		Servers: l.server[:], Victim: netip.AddrPortFrom(victim.Addr(), 8080), Ports: ports,
	})
	var got instigated
	p.Next(t, &got)
	mu.Lock()
	defer mu.Unlock()
	total := 0
	for _, from := range got.From {
		if to[from] > 4 { // two connects
			t.Errorf("%d SYNs to %s", to[from], from)
		}
		total += to[from]
		delete(to, from)
	}
	if len(to) > 0 {
		t.Errorf("SYNs to %v, where nobody asked from", to)
	}
	t.Logf("%d requests, %d connects, %d SYNs", got.Asked, got.Tried, total)
	if got.Asked != 2*ports || got.Tried != stun.MaxPerClient || total > 2*stun.MaxPerClient {
		t.Errorf("%d requests answered, want %d; %d connects, want %d; %d SYNs", got.Asked, 2*ports, got.Tried, stun.MaxPerClient, total)
	}
}

// withoutFilesRole makes a silent port while it can open no file, and when it can again.
func withoutFilesRole(c *labtest.Child) error {
	if err := c.Config(new(bool)); err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	b := stun.NewConnectBacks()
	defer b.Close()
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		return err
	}
	first := b.SilentPort(loopback)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if second := b.SilentPort(loopback); first || !second {
		return fmt.Errorf("without files: %v, with them: %v", first, second)
	}
	return c.Emit(os.Getpid())
}

// TestSilentPortAfterAttack has a server run out of files when it is asked for the silent port: it
// has one when it has files again.
func TestSilentPortAfterAttack(t *testing.T) {
	labtest.StartOutside(t, "without files", true).Next(t, new(int))
}
