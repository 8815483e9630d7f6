package stun_test

import (
	"cmp"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() { roles["faulty"] = faultyRole }

// A faultyServer is a server that knows nothing but Binding, as most do, or misbehaves.
type faultyServer struct {
	At  netip.AddrPort
	Lie netip.AddrPort // what it claims to see; the zero AddrPort, or port 0, for the truth
	How string         // "": over TCP; "udp": over UDP only; "echo": it is no STUN server; "late": in 2 s;
	// "slow": a byte a second; "endless": an answer and more without end; "resets": in the middle
	// of one

	Other  netip.AddrPort // its OTHER-ADDRESS, if valid
	Silent uint16         // its CONNECT-BACK has this silent port, if it is not 0, and says connected
}

func faultyRole(c *labtest.Child) error {
	var all []faultyServer
	if err := c.Config(&all); err != nil {
		return err
	}
	for _, s := range all {
		if s.How == "udp" {
			pc, err := net.ListenPacket("udp", s.At.String())
			if err != nil {
				return err
			}
			go func() { _ = stun.NewServer(nil).ServePacket(pc) }()
			continue
		}
		l, err := net.Listen("tcp", s.At.String())
		if err != nil {
			return err
		}
		go func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				go s.serve(nc)
			}
		}()
	}
	if err := c.Emit("serving"); err != nil {
		return err
	}
	_ = c.Receive(new(bool)) // until the end
	return nil
}

func (s faultyServer) serve(nc net.Conn) {
	defer nc.Close()
	if s.How == "echo" {
		_, _ = io.Copy(nc, nc)
		return
	}
	mapped := nc.RemoteAddr().(*net.TCPAddr).AddrPort()
	if s.Lie.IsValid() {
		mapped = netip.AddrPortFrom(s.Lie.Addr(), cmp.Or(s.Lie.Port(), mapped.Port()))
	}
	header := make([]byte, 20)
	for {
		if _, err := io.ReadFull(nc, header); err != nil {
			return
		}
		req := &pion.Message{Raw: append([]byte(nil), header...)}
		req.Raw = append(req.Raw, make([]byte, int(header[2])<<8|int(header[3]))...)
		if _, err := io.ReadFull(nc, req.Raw[20:]); err != nil || req.Decode() != nil {
			return
		}
		setters := []pion.Setter{req, pion.BindingSuccess,
			&pion.XORMappedAddress{IP: mapped.Addr().Unmap().AsSlice(), Port: int(mapped.Port())}}
		if s.How == "late" {
			time.Sleep(2 * time.Second)
			s.Other = netip.MustParseAddrPort("46.0.88.1:3479")
		}
		if s.Other.IsValid() {
			setters = append(setters, &pion.OtherAddress{IP: s.Other.Addr().AsSlice(), Port: int(s.Other.Port())})
		}
		if asked, err := req.Get(stun.AttrConnectBack); err == nil && s.Silent > 0 {
			back := binary.BigEndian.AppendUint16([]byte{asked[0], byte(stun.Connected)}, s.Silent)
			setters = append(setters, pion.RawAttribute{Type: stun.AttrConnectBack, Value: back})
		}
		resp, err := pion.Build(setters...)
		if err != nil {
			return
		}
		switch s.How {
		case "slow":
			for _, b := range resp.Raw {
				if _, err := nc.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		case "resets":
			_, _ = nc.Write(resp.Raw[:30])
			_ = nc.(*net.TCPConn).SetLinger(0)
			return
		case "endless":
			for err == nil {
				_, err = nc.Write(resp.Raw)
			}
			return
		}
		if _, err := nc.Write(resp.Raw); err != nil {
			return
		}
	}
}

// TestDiscoverFaultyServers asks servers that know little, or lie.
func TestDiscoverFaultyServers(t *testing.T) {
	t.Parallel()
	const (
		nat  = "apdm-apdf-rst-sequential"
		apdm = "{Mapping:APDM Filtering:unknown Ports:sequential Step:1 Unsolicited:unknown BareSYN:unknown Hairpin:unknown Persistent:yes Egress:unknown}"
		none = "{Mapping:unknown Filtering:unknown Ports:unknown Step:0 Unsolicited:unknown BareSYN:unknown Hairpin:unknown Persistent:unknown Egress:unknown}"
	)
	lie := func(s string) faultyServer { return faultyServer{Lie: netip.MustParseAddrPort(s)} }
	truth := faultyServer{}
	for name, tt := range map[string]struct {
		servers []faultyServer
		want    string
		errs    []string // a part of each, in order of the servers
		addrs   int
		udp     bool
	}{
		"two plain ones":       {[]faultyServer{truth, truth}, apdm, nil, 1, false},
		"one plain one":        {[]faultyServer{truth}, strings.Replace(apdm, "APDM", "unknown", 1), nil, 1, false},
		"one liar among three": {[]faultyServer{truth, lie("46.0.77.7:7"), truth}, apdm, []string{"most say 46.0.2.1"}, 1, false},
		"two disagree":         {[]faultyServer{truth, lie("46.0.77.7:0")}, strings.Replace(apdm, "APDM", "unknown", 1), []string{"others say otherwise", "others say otherwise"}, 2, false},
		"a private address":    {[]faultyServer{truth, lie("192.168.1.1:7"), truth}, apdm, []string{"private address"}, 1, false},
		"the other family":     {[]faultyServer{lie("[2a00::1]:7"), truth, truth}, apdm, []string{"other family"}, 1, false},
		"none but liars":       {[]faultyServer{lie("10.0.0.1:7"), lie("[2a00::1]:7")}, none, []string{"private address", "other family"}, 0, false},
		"no TCP":               {[]faultyServer{{How: "udp"}, truth, truth}, apdm, []string{"over UDP, but not over TCP"}, 1, true},
		"nothing but UDP":      {[]faultyServer{{How: "udp"}}, none, []string{"over UDP, but not over TCP"}, 0, true},
		"a late one":           {[]faultyServer{truth, truth, {How: "late"}}, apdm, nil, 1, false},
		"a late liar":          {[]faultyServer{truth, truth, {How: "late", Lie: netip.MustParseAddrPort("10.0.0.1:7")}}, apdm, []string{"private address"}, 1, false},
		"a slow one":           {[]faultyServer{truth, truth, {How: "slow"}}, apdm, []string{"deadline exceeded"}, 1, false},
		"an endless one":       {[]faultyServer{truth, truth, {How: "endless"}}, apdm, nil, 1, false},
		"one that resets":      {[]faultyServer{truth, truth, {How: "resets"}}, apdm, []string{"connection lost"}, 1, false},
		"no STUN server":       {[]faultyServer{{How: "echo"}, truth, truth}, apdm, []string{"malformed STUN message"}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, server := newHome(t, nat)
			servers := make([]string, len(tt.servers))
			faulty := slices.Clone(tt.servers)
			for i := range faulty {
				addr := server.Addr()
				if i > 0 {
					var err error
					if addr, err = server.AddAddr(); err != nil {
						t.Fatal(err)
					}
				}
				faulty[i].At = netip.AddrPortFrom(addr, 3478)
				servers[i] = faulty[i].At.String()
			}
			labtest.Start(t, server, "faulty", faulty).Next(t, new(string))
			d := l.discover(t, servers...)
			if d.Behaviour != tt.want {
				t.Errorf("got  %s\nwant %s", d.Behaviour, tt.want)
			}
			if len(d.Addrs) != tt.addrs || d.UDP != tt.udp || (d.Err != "") != (tt.addrs == 0) {
				t.Errorf("addresses %v, UDP %v, error %q", d.Addrs, d.UDP, d.Err)
			}
			ok := len(d.Errs) == len(tt.errs)
			for i := range min(len(d.Errs), len(tt.errs)) {
				ok = ok && strings.Contains(d.Errs[i], tt.errs[i])
			}
			if !ok {
				t.Errorf("got  %q\nwant %q", d.Errs, tt.errs)
			}
		})
	}
}

// TestDiscoverNobody asks where nothing answers at all, and gives up in time.
func TestDiscoverNobody(t *testing.T) {
	t.Parallel()
	l, server := newHome(t, "eim-apdf")
	nobody := netip.AddrPortFrom(server.Addr(), 3478).String() // has no listener: refused
	server.Site().SetDown(true)                                // and now is silent
	d := l.discover(t, nobody)
	if d.Err == "" || d.UDP || d.Took > 20*time.Second {
		t.Errorf("%+v", d)
	}
}
