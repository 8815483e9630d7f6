package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// Is a punched connection as fast as one that go-libp2p's TCP transport dialled, between
// the same two processes? They are asked in turn.

func init() {
	roles["speed server"] = speedServer
	roles["speed client"] = speedClient
}

type speedConfig struct {
	Relay  peer.AddrInfo
	STUN   []string
	Listen string // of the server: at a TCP address

	// Congestion control of the process's network namespace, unless that is the
	// machine's.
	Congestion string

	// Of the client.
	Server *peer.AddrInfo // with its TCP address
	Bytes  int            // to send in a round
	Pings  int            // in a round
}

const (
	speedRounds = 61 // many and short: the machine may have other work

	sinkProtocol   protocol.ID = "/simopen-test/sink"
	sourceProtocol protocol.ID = "/simopen-test/source"
	echoProtocol   protocol.ID = "/simopen-test/echo"
)

// A speed is that of one connection in one round.
type speed struct {
	Up, Down time.Duration // Bytes to the server and from it, until all have arrived
	Ping     time.Duration // median
}

// speeds of both connections, by round.
type speeds struct {
	Punched, Plain []speed
	Opening        holepunch.EventKind // how the punched one came up
}

func speedServer(c *labtest.Child) error {
	var cfg speedConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	if err := setCongestion(cfg.Congestion); err != nil {
		return err
	}
	h, err := libp2p.New(libp2p.ListenAddrStrings(cfg.Listen), libp2p.EnableRelay(), libp2p.DisableMetrics(),
		libp2p.ForceReachabilityPrivate(), Enable(WithSTUNServers(cfg.STUN...)))
	if err != nil {
		return err
	}
	defer h.Close()
	h.SetStreamHandler(sinkProtocol, func(s network.Stream) {
		defer s.Close()
		if drain(s, cfg.Bytes) == nil {
			_ = pour(s, 1)
		}
	})
	h.SetStreamHandler(sourceProtocol, func(s network.Stream) {
		defer s.Close()
		if drain(s, 1) == nil {
			_ = pour(s, cfg.Bytes)
		}
	})
	h.SetStreamHandler(echoProtocol, func(s network.Stream) {
		defer s.Close()
		_, _ = io.Copy(s, s) // until the client closes it
	})
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := h.Connect(ctx, cfg.Relay); err != nil {
		return err
	}
	if _, err := client.Reserve(ctx, h, cfg.Relay); err != nil {
		return err
	}
	if err := c.Emit(peer.AddrInfo{ID: h.ID(), Addrs: h.Network().ListenAddresses()}); err != nil {
		return err
	}
	_ = c.Receive(new(bool)) // until the end
	return nil
}

func speedClient(c *labtest.Child) error {
	var cfg speedConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	if err := setCongestion(cfg.Congestion); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	var result speeds
	opened := make(chan holepunch.EventKind, 64)
	punched, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), libp2p.DisableMetrics(),
		Enable(WithSTUNServers(cfg.STUN...), WithTracer(func(e Event) {
			if e.Kind == holepunch.Connected || e.Kind == holepunch.Accepted {
				opened <- e.Kind
			}
		})))
	if err != nil {
		return err
	}
	defer punched.Close()
	plain, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
	if err != nil {
		return err
	}
	defer plain.Close()

	if err := plain.Connect(ctx, *cfg.Server); err != nil {
		return err
	}
	if err := punched.Connect(ctx, cfg.Relay); err != nil {
		return err
	}
	circuit := cfg.Relay.Addrs[0].Encapsulate(ma.StringCast("/p2p/" + cfg.Relay.ID.String() + "/p2p-circuit"))
	if err := punched.Connect(ctx, peer.AddrInfo{ID: cfg.Server.ID, Addrs: []ma.Multiaddr{circuit}}); err != nil {
		return err
	}
	if _, err := DirectConnect(ctx, punched, cfg.Server.ID); err != nil {
		return err
	}
	result.Opening = <-opened // the first, as there is one as a rule

	for range 1 + speedRounds {
		for h, speeds := range map[host.Host]*[]speed{punched: &result.Punched, plain: &result.Plain} { // in either order
			s, err := measureSpeed(ctx, h, cfg)
			if err != nil {
				return err
			}
			*speeds = append(*speeds, s)
		}
	}
	// The first round is that of windows that are still small.
	result.Punched, result.Plain = result.Punched[1:], result.Plain[1:]
	return c.Emit(result)
}

func setCongestion(name string) error {
	if name == "" {
		return nil
	}
	return os.WriteFile("/proc/sys/net/ipv4/tcp_congestion_control", []byte(name), 0)
}

// measureSpeed does one round with the server over h's direct connection to it.
func measureSpeed(ctx context.Context, h host.Host, cfg speedConfig) (s speed, err error) {
	up := func(s network.Stream) error {
		if err := pour(s, cfg.Bytes); err != nil {
			return err
		}
		return drain(s, 1)
	}
	down := func(s network.Stream) error {
		if err := pour(s, 1); err != nil {
			return err
		}
		return drain(s, cfg.Bytes)
	}
	echo := func(s network.Stream) error {
		if err := pour(s, 32); err != nil {
			return err
		}
		return drain(s, 32)
	}
	if s.Up, err = timed(ctx, h, cfg.Server.ID, sinkProtocol, 1, up); err != nil {
		return s, err
	}
	if s.Down, err = timed(ctx, h, cfg.Server.ID, sourceProtocol, 1, down); err != nil {
		return s, err
	}
	s.Ping, err = timed(ctx, h, cfg.Server.ID, echoProtocol, cfg.Pings, echo)
	return s, err
}

// timed does something n times over a new stream, and returns the median of the times
// it took.
func timed(ctx context.Context, h host.Host, p peer.ID, id protocol.ID, n int, do func(network.Stream) error) (time.Duration, error) {
	s, err := h.NewStream(ctx, p, id)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if isRelayed(s.Conn()) {
		return 0, errors.New("the stream is on the relayed connection")
	}
	var took []time.Duration
	for range n {
		begun := time.Now()
		if err := do(s); err != nil {
			s.Reset()
			return 0, fmt.Errorf("%s: %w", id, err)
		}
		took = append(took, time.Since(begun))
	}
	return medianOf(took), nil
}

// pour writes n bytes to s, and drain reads as many.
func pour(s network.Stream, n int) error {
	b := make([]byte, min(n, 64<<10))
	for ; n > 0; n -= len(b) {
		if _, err := s.Write(b[:min(n, len(b))]); err != nil {
			return err
		}
	}
	return nil
}

func drain(s network.Stream, n int) error {
	_, err := io.CopyN(io.Discard, s, int64(n))
	return err
}

func medianOf[T float64 | time.Duration](v []T) T {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// BenchmarkPunched reports ratios, above 1 where the punched connection is ahead: the
// medians of those of neighbouring rounds.
func BenchmarkPunched(b *testing.B) {
	b.Run("loopback", func(b *testing.B) {
		cfg := speedConfig{
			Relay: info(newRelay(b)), STUN: []string{stuntest.New(b)},
			Listen: "/ip4/127.0.0.1/tcp/0", Bytes: 8 << 20, Pings: 200,
		}
		var server peer.AddrInfo
		labtest.StartOutside(b, "speed server", cfg).Next(b, &server)
		cfg.Server = &server
		benchmarkPunched(b, cfg, func(cfg speedConfig) *labtest.Proc {
			return labtest.StartOutside(b, "speed client", cfg)
		})
	})
	for _, congestion := range []string{"reno", "bbr"} {
		b.Run("lab/"+congestion, func(b *testing.B) { benchmarkPunchedInLab(b, congestion) })
	}
}

// benchmarkPunchedInLab measures through two NATs, 20 ms of RTT apart. The lab's own speed
// is the limit.
func benchmarkPunchedInLab(b *testing.B, congestion string) {
	available, err := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
	if err != nil || !slices.Contains(strings.Fields(string(available)), congestion) {
		b.Skipf("no %s here: %s", congestion, available)
	}
	lab := newHostLab(b, relayConfig{})
	home, away := lab.site(b, "home", "eim-apdf"), lab.site(b, "away", "eim-apdf")
	alice, bob := addHost(b, away, "alice"), addHost(b, home, "bob")
	if err := home.Forward(forwarded, netip.AddrPortFrom(bob.Addr(), listening)); err != nil {
		b.Fatal(err)
	}
	cfg := speedConfig{
		Relay: lab.relay, STUN: lab.stun, Congestion: congestion,
		Listen: fmt.Sprintf("/ip4/%s/tcp/%d", bob.Addr(), listening), Bytes: 1 << 20, Pings: 5,
	}
	var server peer.AddrInfo
	labtest.Start(b, bob, "speed server", cfg).Next(b, &server)
	server.Addrs = []ma.Multiaddr{ma.StringCast(fmt.Sprintf("/ip4/%s/tcp/%d", home.External(), forwarded))}
	cfg.Server = &server
	benchmarkPunched(b, cfg, func(cfg speedConfig) *labtest.Proc {
		return labtest.Start(b, alice, "speed client", cfg)
	})
}

func benchmarkPunched(b *testing.B, cfg speedConfig, startClient func(speedConfig) *labtest.Proc) {
	for b.Loop() {
		var s speeds
		startClient(cfg).Next(b, &s)
		for _, of := range []struct {
			what string
			time func(speed) time.Duration
		}{
			{"up", func(s speed) time.Duration { return s.Up }},
			{"down", func(s speed) time.Duration { return s.Down }},
			{"ping", func(s speed) time.Duration { return s.Ping }},
		} {
			var ratios []float64
			var punched, plain []time.Duration
			for i := range speedRounds {
				punched, plain = append(punched, of.time(s.Punched[i])), append(plain, of.time(s.Plain[i]))
				ratios = append(ratios, float64(plain[i])/float64(punched[i]))
			}
			b.ReportMetric(medianOf(ratios), of.what+"-ratio")
			b.Logf("%s: punched (%s) %v, TCP %v; ratios %.2f", of.what, s.Opening, medianOf(punched), medianOf(plain), ratios)
		}
	}
	b.ReportMetric(0, "ns/op") // not of interest
}
