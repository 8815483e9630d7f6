package transport

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
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
	Stock   bool          // go-libp2p's limits of connections for an address, and of how many a second
	PerIP   int           // with Stock: another limit of connections for an address
	Key     []byte        // the identity; none: a new one
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
	opts := []libp2p.Option{
		libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/%s/tcp/%d", cfg.Addrs[0], relayTCPPort)),
		libp2p.DisableMetrics(),
	}
	if len(cfg.PSK) > 0 {
		opts = append(opts, privateNetwork(cfg.PSK)...)
	}
	if len(cfg.Key) > 0 {
		key, err := crypto.UnmarshalPrivateKey(cfg.Key)
		if err != nil {
			return err
		}
		opts = append(opts, libp2p.Identity(key))
	}
	switch {
	case !cfg.Stock:
		opts = append(opts, libp2p.ResourceManager(&network.NullResourceManager{}))
	case cfg.PerIP > 0:
		perIP := rcmgr.WithLimitPerSubnet([]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: cfg.PerIP}}, nil)
		m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.DefaultLimits.AutoScale()), perIP)
		if err != nil {
			return err
		}
		opts = append(opts, libp2p.ResourceManager(m))
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return err
	}
	defer h.Close()
	var limits []relay.Option
	if !cfg.Limited {
		limits = append(limits, relay.WithInfiniteLimits())
	}
	r, err := relay.New(h, limits...)
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
	count := countConns(h)
	if err := c.Emit(info(h)); err != nil {
		return err
	}
	for {
		var word string
		switch err := c.Receive(&word); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		if err := c.Emit(count.take()); err != nil {
			return err
		}
	}
}

// relayConns is what a relay has had of connections since it was last asked.
type relayConns struct {
	Now, Most int // at one time
	Made      int
}

// A connCounter counts a host's connections.
type connCounter struct {
	mu sync.Mutex
	relayConns
}

func countConns(h host.Host) *connCounter {
	n := new(connCounter)
	h.Network().Notify(&network.NotifyBundle{
		ConnectedF: func(network.Network, network.Conn) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.Now, n.Made = n.Now+1, n.Made+1
			n.Most = max(n.Most, n.Now)
		},
		DisconnectedF: func(network.Network, network.Conn) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.Now--
		},
	})
	return n
}

func (n *connCounter) take() relayConns {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.relayConns
	n.relayConns = relayConns{Now: n.Now, Most: n.Now}
	return was
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
