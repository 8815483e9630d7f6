package transport

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() {
	roles["relay"] = relayRole
	roles["socket"] = socketRole
	roles["traffic"] = trafficRole
}

type relayConfig struct {
	Addrs   [2]netip.Addr // of the host
	NoSTUN  bool          // no STUN server
	Limited bool          // circuit v2's usual limits of time and data
	PSK     []byte        // of the private network; none: a public one
}

// stunAddresses are what our STUN server has for OTHER-ADDRESS.
func (cfg *relayConfig) stunAddresses() (a [2]netip.AddrPort) {
	for i := range a {
		a[i] = netip.AddrPortFrom(cfg.Addrs[i], stunPort+uint16(i))
	}
	return a
}

// relayRole is a stock go-libp2p host that relays, at the first address, and our STUN
// server beside it, at both. It emits the relay's address.
func relayRole(c *labtest.Child) error {
	var cfg relayConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	var private []libp2p.Option
	if len(cfg.PSK) > 0 {
		private = privateNetwork(cfg.PSK)
	}
	h, err := libp2p.New(append(private,
		libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/%s/tcp/%d", cfg.Addrs[0], relayTCPPort)),
		libp2p.DisableMetrics(),
		// The usual one bounds how many connections a second come from an address.
		libp2p.ResourceManager(&network.NullResourceManager{}),
	)...)
	if err != nil {
		return err
	}
	defer h.Close()
	var opts []relay.Option
	if !cfg.Limited {
		opts = append(opts, relay.WithInfiniteLimits())
	}
	r, err := relay.New(h, opts...)
	if err != nil {
		return err
	}
	defer r.Close()
	if !cfg.NoSTUN {
		addrs := cfg.stunAddresses()
		server := stun.NewServer(&stun.ServerConfig{Addresses: addrs})
		defer server.Close()
		for _, a := range addrs {
			l, err := net.Listen("tcp4", fmt.Sprintf(":%d", a.Port()))
			if err != nil {
				return err
			}
			go server.Serve(l)
		}
	}
	if err := c.Emit(info(h)); err != nil {
		return err
	}
	return c.UntilEnd()
}

type socketConfig struct {
	Port   uint16 // local
	Remote string // host:port
}

// socketRole is another program's connection. It emits its local port, and holds the
// connection until the end.
func socketRole(c *labtest.Child) error {
	var cfg socketConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{Port: int(cfg.Port)}, Timeout: testTimeout / 2}
	conn, err := d.Dial("tcp4", cfg.Remote)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := c.Emit(conn.LocalAddr().(*net.TCPAddr).Port); err != nil {
		return err
	}
	return c.UntilEnd()
}

type trafficConfig struct {
	Remote string        // host:port
	Pause  time.Duration // between two connections
}

// trafficRole is other programs' traffic: one connection after another, each from a port
// of its own. It emits something when the first is there.
func trafficRole(c *labtest.Child) error {
	var cfg trafficConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	for n := 0; ; n++ {
		conn, err := net.DialTimeout("tcp4", cfg.Remote, testTimeout/2)
		if err != nil {
			return err
		}
		// A STUN server bounds what it holds for one address.
		time.AfterFunc(time.Second, func() { conn.Close() })
		if n == 0 {
			if err := c.Emit(true); err != nil {
				return err
			}
		}
		time.Sleep(cfg.Pause)
	}
}
