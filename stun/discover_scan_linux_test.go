package stun_test

import (
	"io"
	"net"
	"sync/atomic"
	"testing"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// TestDiscoverDoesNotScan: a server reports the right address at first, and then somebody else's.
// The host does not connect there.
func TestDiscoverDoesNotScan(t *testing.T) {
	t.Parallel()
	victim, err := net.Listen("tcp4", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	var hits atomic.Int32
	go func() {
		for {
			c, err := victim.Accept()
			if err != nil {
				return
			}
			hits.Add(1)
			c.Close()
		}
	}()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			sees := c.RemoteAddr().(*net.TCPAddr)
			if n > 0 {
				sees = victim.Addr().(*net.TCPAddr)
			}
			go func() {
				defer c.Close()
				for {
					header := make([]byte, 20)
					if _, err := io.ReadFull(c, header); err != nil {
						return
					}
					m := &pion.Message{Raw: append(header, make([]byte, int(header[2])<<8|int(header[3]))...)}
					if _, err := io.ReadFull(c, m.Raw[20:]); err != nil || m.Decode() != nil {
						return
					}
					c.Write(pion.MustBuild(m, pion.BindingSuccess, &pion.XORMappedAddress{IP: sees.IP, Port: sees.Port}).Raw)
				}
			}()
		}
	}()
	r, err := stun.Discover(t.Context(), []string{l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if n := hits.Load(); n > 0 {
		t.Errorf("connected %d times to an address that the server named; it says %s", n, r.Behaviour)
	}
	if r.Hairpin != stun.Unknown || r.Ports != stun.PortsUnknown {
		t.Errorf("got %s, want nothing that rests on the lie", r.Behaviour)
	}
}
