package stun_test

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

var (
	loopback      = netip.MustParseAddr("127.0.0.1")
	otherLoopback = netip.MustParseAddr("127.0.0.2") // on Linux, without further ado
)

// askBack connects to a server from a port that accepts, asks it to connect back, and returns what
// it says, and the address from which the connection came, if one did.
func askBack(t *testing.T, server netip.AddrPort, from stun.From) (stun.Outcome, netip.Addr) {
	t.Helper()
	accepted := make(chan *net.TCPConn, 1)
	port, err := tcpport.Open(func(c *net.TCPConn) { accepted <- c }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	c, err := stun.Dial(t.Context(), port, server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	outcome, err := c.AskBack(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	if outcome != stun.Connected {
		return outcome, netip.Addr{}
	}
	select {
	case back := <-accepted:
		defer back.Close()
		return outcome, back.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
	case <-time.After(stun.DefaultTimeout):
		t.Error("the server says connected, but no connection came")
		return outcome, netip.Addr{}
	}
}

func TestConnectBack(t *testing.T) {
	plain := serve(t, nil)
	if outcome, from := askBack(t, plain, stun.FromOwn); outcome != stun.Connected || from != loopback {
		t.Errorf("own address: outcome %d from %v", outcome, from)
	}
	if outcome, _ := askBack(t, plain, stun.FromOther); outcome != stun.NotDone {
		t.Errorf("other address, where there is none: outcome %d", outcome)
	}
	if outcome, _ := askBack(t, plain, 77); outcome != stun.NotDone {
		t.Errorf("no known place: outcome %d", outcome)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	two := serveListener(t, &stun.ServerConfig{Addresses: [2]netip.AddrPort{at, netip.AddrPortFrom(otherLoopback, 9)}}, l)
	outcome, from := askBack(t, two, stun.FromOther)
	switch {
	case outcome == stun.NotDone:
		t.Logf("the host has no %v", otherLoopback)
	case outcome != stun.Connected || from != otherLoopback:
		t.Errorf("other address: outcome %d from %v", outcome, from)
	}
}

// TestConnectBackRefused asks from a port without a listener.
func TestConnectBackRefused(t *testing.T) {
	c, err := stun.Dial(t.Context(), &net.Dialer{}, serve(t, nil).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The kernel takes a SYN to a connected port for one to a closed one, from any endpoint but the
	// server's.
	if outcome, err := c.AskBack(t.Context(), stun.FromOwn); err != nil || outcome != stun.Refused {
		t.Errorf("outcome %d, %v, want refused", outcome, err)
	}
	if _, err := c.Binding(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestConnectBackBounded asks until the bound of a client is reached.
func TestConnectBackBounded(t *testing.T) {
	c, err := stun.Dial(t.Context(), &net.Dialer{}, serve(t, &stun.ServerConfig{MaxRequestRate: 1000}).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	done := 0
	for range stun.MaxPerClient + 10 {
		outcome, err := c.AskBack(t.Context(), stun.FromOwn)
		if err != nil {
			t.Fatal(err)
		}
		if outcome != stun.NotDone {
			done++
		}
	}
	if done != stun.MaxPerClient {
		t.Errorf("%d connects, want %d", done, stun.MaxPerClient)
	}
}

// TestConnectBackImpossible asks for what the server cannot do. Nothing is bound to an address that
// was not meant.
func TestConnectBackImpossible(t *testing.T) {
	b := stun.NewConnectBacks()
	defer b.Close()
	v4, v6 := netip.AddrPortFrom(loopback, 4001), netip.AddrPortFrom(netip.IPv6Loopback(), 4001)
	for _, tt := range []struct {
		from         stun.From
		local, other netip.Addr
		client       netip.AddrPort
	}{
		{stun.FromNowhere, v4.Addr(), otherLoopback, v4},
		{77, v4.Addr(), otherLoopback, v4},
		{stun.FromOther, v4.Addr(), netip.Addr{}, v4},
		{stun.FromOther, v6.Addr(), netip.Addr{}, v6},
		{stun.FromOther, v6.Addr(), otherLoopback, v6},
		{stun.FromOther, v4.Addr(), v6.Addr(), v4},
		{stun.FromOwn, netip.Addr{}, otherLoopback, v4},
		{stun.FromOwn, netip.Addr{}, otherLoopback, v6},
		{stun.FromOther, v4.Addr(), netip.MustParseAddr("192.0.2.1"), v4}, // no address of this host
	} {
		if outcome, conn := b.Call(tt.from, tt.local, tt.other, tt.client); outcome != stun.NotDone || conn != nil {
			t.Errorf("%+v: outcome %d, connection %v", tt, outcome, conn)
		}
	}
}

// TestConnectBackQuota counts clients, and time.
func TestConnectBackQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := stun.NewConnectBacks()
		ask := func(client netip.Addr, n int) (allowed int) {
			for range n {
				if b.Begin(client, time.Now()) {
					allowed++
					b.End()
				}
			}
			return allowed
		}
		client := netip.MustParseAddr("46.0.2.1")
		v6 := netip.MustParseAddr("2001:db8:0:1::1")
		if got := ask(client, 100); got != stun.MaxPerClient {
			t.Errorf("%d of one client, want %d", got, stun.MaxPerClient)
		}
		if got := ask(v6, 20) + ask(v6.Next(), 20); got != stun.MaxPerClient {
			t.Errorf("%d of one /64, want %d", got, stun.MaxPerClient)
		}
		site := 0
		for i := range byte(100) { // of another /48
			site += ask(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, i, 15: 1}), stun.MaxPerClient)
		}
		if site != stun.MaxPerNetwork {
			t.Errorf("%d of one /48, want %d", site, stun.MaxPerNetwork)
		}
		time.Sleep(stun.ConnectBackWindow)
		if got := ask(client, 100); got != stun.MaxPerClient {
			t.Errorf("%d a window later, want %d", got, stun.MaxPerClient)
		}
		network := stun.MaxPerClient
		for range 100 {
			client = client.Next()
			network += ask(client, stun.MaxPerClient)
		}
		if network != stun.MaxPerNetwork {
			t.Errorf("%d of one /24, want %d", network, stun.MaxPerNetwork)
		}
		// far away is the nth client in a network of its own.
		far := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{47, byte(n >> 8), byte(n), 1}) }
		total := network
		for i := range 1000 {
			total += ask(far(i), stun.MaxPerClient)
		}
		if total != stun.MaxPerWindow {
			t.Errorf("%d of all clients, want %d", total, stun.MaxPerWindow)
		}
		time.Sleep(stun.ConnectBackWindow)
		underWay := 0
		for i := range stun.MaxConnectBacks + 10 {
			if b.Begin(far(i), time.Now()) {
				underWay++
			}
		}
		if underWay != stun.MaxConnectBacks {
			t.Errorf("%d at once, want %d", underWay, stun.MaxConnectBacks)
		}
		b.End()
		b.Close()
		if b.Begin(client, time.Now()) {
			t.Error("one more after the end")
		}
	})
}

// TestServePacketIgnoresConnectBack asks over UDP, where the server connects back to no client.
func TestServePacketIgnoresConnectBack(t *testing.T) {
	s := stun.NewServer(nil)
	pc := servePacket(t, s)
	for _, m := range exchangePacket(t, pc, stun.ConnectBackRequest()) {
		if m.Contains(stun.AttrConnectBack) {
			t.Error("it has connected back, or says so")
		}
	}
}

// TestCloseConnectBack closes a server while it connects to a client that does not answer.
func TestCloseConnectBack(t *testing.T) {
	b := stun.NewConnectBacks()
	silent, err := tcpport.ListenSilent(loopback)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err) // not on Linux
	}
	defer silent.Close()
	ended := make(chan stun.Outcome)
	go func() {
		outcome, _ := b.Call(stun.FromOwn, loopback, netip.Addr{}, netip.AddrPortFrom(loopback, silent.Number()))
		ended <- outcome
	}()
	b.Close()
	select {
	case outcome := <-ended:
		if outcome != stun.NotDone {
			t.Errorf("outcome %d", outcome)
		}
	case <-time.After(stun.DefaultTimeout):
		t.Error("it does not end")
	}
}
