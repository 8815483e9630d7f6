package stun_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// servePlain runs a server that knows nothing but Binding, until the test ends. see returns the
// address that the server reports to its nth connection, from 0; the zero AddrPort is no answer.
func servePlain(t *testing.T, see func(n int, remote netip.AddrPort) netip.AddrPort) (address string) {
	t.Helper()
	return servePlainOn(t, "127.0.0.1", see)
}

// servePlainOn is servePlain at a given IP address.
func servePlainOn(t *testing.T, ip string, see func(n int, remote netip.AddrPort) netip.AddrPort) (address string) {
	t.Helper()
	return serveConns(t, ip, func(n int, nc net.Conn) {
		answer(nc, see(n, nc.RemoteAddr().(*net.TCPAddr).AddrPort()), nil)
	})
}

// serveConns calls f with each connection, which is closed after that, until the test ends.
func serveConns(t *testing.T, ip string, f func(n int, nc net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp4", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { _ = l.Close() })
	serving.Go(func() {
		for n := 0; ; n++ {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer nc.Close()
				f(n, nc)
			})
		}
	})
	return l.Addr().String()
}

// answer answers until the client hangs up. back returns what came of connecting back; nil for a
// server that does not.
func answer(nc net.Conn, mapped netip.AddrPort, back func(stun.From) stun.Outcome) {
	for {
		req := &pion.Message{Raw: make([]byte, 20)}
		if _, err := io.ReadFull(nc, req.Raw); err != nil {
			return
		}
		req.Raw = append(req.Raw, make([]byte, int(req.Raw[2])<<8|int(req.Raw[3]))...)
		if _, err := io.ReadFull(nc, req.Raw[20:]); err != nil || req.Decode() != nil {
			return
		}
		if !mapped.IsValid() {
			continue
		}
		attributes := []pion.Setter{req, pion.BindingSuccess, &pion.XORMappedAddress{IP: mapped.Addr().AsSlice(), Port: int(mapped.Port())}}
		if asked, err := req.Get(stun.AttrConnectBack); err == nil && back != nil {
			value := []byte{asked[0], byte(back(stun.From(asked[0]))), 1024 >> 8, 0} // silent port 1024
			attributes = append(attributes, pion.RawAttribute{Type: stun.AttrConnectBack, Value: value})
		}
		resp := pion.MustBuild(attributes...)
		if _, err := nc.Write(resp.Raw); err != nil {
			return
		}
	}
}

// TestProbesDoNotScan asks a server that reports the right address once, and then somebody else's
// port: the host does not connect there.
func TestProbesDoNotScan(t *testing.T) {
	t.Parallel()
	victim, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lie := victim.Addr().(*net.TCPAddr).AddrPort()
	r, err := stun.Discover(t.Context(), []string{servePlain(t, func(n int, remote netip.AddrPort) netip.AddrPort {
		if n == 0 {
			return remote
		}
		return lie
	})})
	if err != nil {
		t.Fatal(err)
	}
	if r.Hairpin != stun.Unknown || r.Ports != stun.PortsUnknown || r.Persistent != stun.Unknown {
		t.Errorf("concluded from lies: %+v", r.Behaviour)
	}
	// Clients that have connected by now are in the queue, before this one.
	own, err := net.Dial("tcp4", lie.String())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	nc, err := victim.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = victim.Close()
	if got, want := nc.RemoteAddr().String(), own.LocalAddr().String(); got != want {
		t.Errorf("the host connected from %s to a port that the server named", got)
	}
}

// TestDiscoverOnLoopback asks an honest server.
func TestDiscoverOnLoopback(t *testing.T) {
	t.Parallel()
	r, err := stun.Discover(t.Context(), []string{servePlain(t, func(_ int, remote netip.AddrPort) netip.AddrPort { return remote })})
	if err != nil {
		t.Fatal(err)
	}
	if r.Hairpin != stun.Yes || r.Ports != stun.Preserved || r.Persistent != stun.Yes || !r.Complete {
		t.Errorf("got %+v", r)
	}
}

// TestDiscoverIncomplete: a server hangs up when it is asked to connect back, in one of the tests.
func TestDiscoverIncomplete(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]stun.From{"never": 255, "from its address": stun.FromOwn} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := serveListener(t, nil, hangUpListener{l, append(binary.BigEndian.AppendUint16(nil, uint16(stun.AttrConnectBack)), 0, 4, byte(from))})
			r, err := stun.Discover(t.Context(), []string{server.String()})
			if err != nil {
				t.Fatal(err)
			}
			if want := name == "never"; r.Complete != want || !r.Servers[0].ConnectsBack {
				t.Errorf("got %+v, want complete %v", r, want)
			}
		})
	}
}

// TestDiscoverBareSYN: the test is made again if nothing arrived, which may have been lost.
func TestDiscoverBareSYN(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		outcomes []stun.Outcome // of the first, and of the rest
		asked    int32
		want     stun.Fact
		complete bool
	}{
		"admitted":        {[]stun.Outcome{stun.Connected, stun.NotDone}, 1, stun.Yes, true},
		"lost":            {[]stun.Outcome{stun.NoAnswer, stun.Connected}, 2, stun.Yes, true},
		"dropped":         {[]stun.Outcome{stun.NoAnswer, stun.NoAnswer}, 2, stun.No, true},
		"refused":         {[]stun.Outcome{stun.Refused, stun.NotDone}, 1, stun.No, true},
		"not done":        {[]stun.Outcome{stun.NotDone, stun.NotDone}, 1, stun.Unknown, false},
		"lost, then none": {[]stun.Outcome{stun.NoAnswer, stun.NotDone}, 2, stun.Unknown, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			server := serveConns(t, "127.0.0.1", func(_ int, nc net.Conn) {
				answer(nc, nc.RemoteAddr().(*net.TCPAddr).AddrPort(), func(f stun.From) stun.Outcome {
					switch f {
					case stun.FromSilent:
						return tc.outcomes[min(asked.Add(1)-1, 1)]
					case stun.FromOwn:
						return stun.NoAnswer
					default:
						return stun.NotDone
					}
				})
			})
			r, err := stun.Discover(t.Context(), []string{server})
			if err != nil {
				t.Fatal(err)
			}
			if r.BareSYN != tc.want || r.Complete != tc.complete || asked.Load() != tc.asked {
				t.Errorf("asked %d times and got %+v, want %+v", asked.Load(), r, tc)
			}
		})
	}
}

// A hangUpListener's connections end when they read certain bytes.
type hangUpListener struct {
	net.Listener
	at []byte
}

func (l hangUpListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return hangUpConn{c, l.at}, err
}

type hangUpConn struct {
	net.Conn
	at []byte
}

func (c hangUpConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && bytes.Contains(b[:n], c.at) {
		return 0, io.EOF
	}
	return n, err
}

func TestCredible(t *testing.T) {
	agreed := []netip.Addr{netip.MustParseAddr("46.0.2.1"), netip.MustParseAddr("46.0.2.2"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.7")}
	for _, tt := range []struct {
		server, local, mapped string
		want                  bool
	}{
		{"46.0.1.1", "192.168.1.2:4000", "46.0.2.1:5000", true},
		{"46.0.1.1", "192.168.1.2:4000", "46.0.2.2:1024", true},
		{"46.0.1.1", "192.168.1.2:4000", "46.0.2.1:1023", false},
		{"46.0.1.1", "192.168.1.2:4000", "46.0.2.3:5000", false}, // no other server sees that
		{"46.0.1.1", "192.168.1.2:4000", "127.0.0.1:5000", false},
		{"46.0.1.1", "192.168.1.2:4000", "10.0.0.7:5000", false},
		{"10.0.0.1", "192.168.1.2:4000", "10.0.0.7:5000", true},
		{"10.0.0.1", "192.168.1.2:4000", "127.0.0.1:5000", false},
		{"46.0.1.1", "46.0.2.1:4000", "46.0.2.1:4000", true}, // no NAT
		{"46.0.1.1", "46.0.2.1:4000", "46.0.2.1:5000", false},
		{"127.0.0.1", "127.0.0.1:4000", "127.0.0.1:4000", true},
		{"127.0.0.1", "127.0.0.1:4000", "127.0.0.1:5000", false},
		{"127.0.0.1", "127.0.0.2:4000", "127.0.0.1:5000", false},
	} {
		local, mapped := netip.MustParseAddrPort(tt.local), netip.MustParseAddrPort(tt.mapped)
		if got := stun.Credible(netip.MustParseAddr(tt.server), local, mapped, agreed); got != tt.want {
			t.Errorf("%s sees %s at %s: %v, want %v", tt.server, local, mapped, got, tt.want)
		}
	}
}

// TestDiscoverCutOff ends the context as soon as the first probe asks: what is known by then is
// reported, as incomplete.
func TestDiscoverCutOff(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := stun.Discover(ctx, []string{servePlain(t, func(n int, remote netip.AddrPort) netip.AddrPort {
		if n == 0 {
			return remote
		}
		cancel()
		return netip.AddrPort{}
	})})
	if err != nil {
		t.Fatal(err)
	}
	if r.Complete || len(r.Addrs) != 1 || r.Ports != stun.PortsUnknown {
		t.Errorf("got %+v", r)
	}
}
