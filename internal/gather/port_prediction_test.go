package gather

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestNextPorts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		last string
		step int
		want []string
	}{
		"one apart":    {"46.0.1.1:40000", 1, []string{"46.0.1.1:40001", "46.0.1.1:40002", "46.0.1.1:40003", "46.0.1.1:40004", "46.0.1.1:40005"}},
		"two apart":    {"46.0.1.1:40000", 2, []string{"46.0.1.1:40002", "46.0.1.1:40004", "46.0.1.1:40006", "46.0.1.1:40008", "46.0.1.1:40010"}},
		"down":         {"46.0.1.1:40000", -1, []string{"46.0.1.1:39999", "46.0.1.1:39998", "46.0.1.1:39997", "46.0.1.1:39996", "46.0.1.1:39995"}},
		"over the end": {"46.0.1.1:65534", 1, []string{"46.0.1.1:65535", "46.0.1.1:1024", "46.0.1.1:1025", "46.0.1.1:1026", "46.0.1.1:1027"}},
		"under it":     {"46.0.1.1:1025", -2, []string{"46.0.1.1:65535", "46.0.1.1:65533", "46.0.1.1:65531", "46.0.1.1:65529", "46.0.1.1:65527"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := nextPorts(netip.MustParseAddrPort(tc.last), tc.step); !slices.Equal(got, addrPorts(tc.want...)) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// newPredictingGatherer returns one that is behind a NAT with sequential ports. It counts the ports
// that were opened.
func newPredictingGatherer(t *testing.T, ports *atomic.Int32, servers ...*fakeObserver) *Gatherer {
	t.Helper()
	n := &fakeNetwork{report: &stun.Report{
		Behaviour: stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: 2},
		Complete:  true,
	}}
	g := newFakeGatherer(t, n, observers(servers...), Config{Ports: 1})
	g.openPort = func() (*tcpport.Port, error) {
		ports.Add(1)
		return new(tcpport.Port), nil
	}
	g.SetWarm(true)
	synctest.Wait()
	return g
}

// TestPredict: a description is known at once, and where the port will be after another answer of
// a STUN server.
func TestPredict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
		var ports atomic.Int32
		g := newPredictingGatherer(t, &ports, server)
		server.delay = 30 * time.Millisecond
		server.setAnswer("46.0.0.1:4007")
		spent := 0
		listener := netip.MustParseAddrPort("46.0.0.1:5000")
		d, err := g.Gather(t.Context(), Options{
			Listeners: []netip.AddrPort{listener},
			Spend:     func(context.Context) error { spent++; return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Release()
		until := []punch.Candidate{{Kind: punch.Reflexive, Addr: netip.MustParseAddrPort("46.0.0.1:4000")}, {Kind: punch.Listener, Addr: listener}}
		if !d.Following || !slices.Equal(d.Candidates, until) {
			t.Errorf("following %v, with %v", d.Following, d.Candidates)
		}
		begin := time.Now()
		p, err := d.Predict(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != server.delay || spent != 1 || ports.Load() != 3 {
			t.Errorf("it took %v, %d SYNs and %d ports, want the warm, the fresh and the asking one", took, spent, ports.Load())
		}
		var want []punch.Candidate
		for _, a := range addrPorts("46.0.0.1:4009", "46.0.0.1:4011", "46.0.0.1:4013", "46.0.0.1:4015", "46.0.0.1:4017") {
			want = append(want, punch.Candidate{Kind: punch.Predicted, Addr: a})
		}
		if want = append(want, until[1]); p.Following || !slices.Equal(p.Candidates, want) || p.Ports[0] != d.Ports[0] {
			t.Errorf("got  %v\nwant %v", p.Candidates, want)
		}
		if !slices.Equal(d.Candidates, until) {
			t.Error("the description has changed")
		}
		if again, err := p.Predict(t.Context()); again != p || err != nil {
			t.Errorf("Predict of what is predicted: %v", err)
		}
		p.Release()
	})
}

// TestNotPredicted: a description that is not predicted costs no SYN.
func TestNotPredicted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
		g := newPredictingGatherer(t, new(atomic.Int32), server)
		before, _ := server.state()
		d, err := g.Gather(t.Context(), Options{Spend: func(context.Context) error {
			t.Error("a SYN is spent")
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		d.Release()
		if after, _ := server.state(); !d.Following || after != before {
			t.Errorf("following %v, and the server was asked %d times", d.Following, after-before)
		}
	})
}

// TestPredictedAddressIsOurs: a server that reports the next mapping at another address than the
// other servers report cannot make the peer connect to another host.
func TestPredictedAddressIsOurs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		liar, honest := newFake("46.0.1.1:3478", "46.0.0.1:4000"), newFake("46.0.1.2:3478", "46.0.0.1:4001")
		g := newPredictingGatherer(t, new(atomic.Int32), liar, honest)
		liar.setAnswer("46.0.0.9:7000")
		d, _ := mustGather(t, g)
		defer d.Release()
		p, err := d.Predict(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := netip.MustParseAddrPort("46.0.0.1:4003"); p.Candidates[0].Addr != want {
			t.Errorf("got %v, want the port after the one that the honest server sees", p.Candidates)
		}
	})
}

// TestPredictInPool: a NAT with several addresses may show another one of them to the port that
// finds out which number comes next.
func TestPredictInPool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
		g := newFakeGatherer(t, &fakeNetwork{report: &stun.Report{
			Behaviour: stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: 1},
			Addrs:     []netip.Addr{netip.MustParseAddr("46.0.0.1"), netip.MustParseAddr("46.0.0.2")},
			Complete:  true,
		}}, observers(server), Config{Ports: 1})
		g.SetWarm(true)
		synctest.Wait()
		server.setAnswer("46.0.0.2:5000")
		d, _ := mustGather(t, g)
		defer d.Release()
		p, err := d.Predict(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := netip.MustParseAddrPort("46.0.0.2:5001"); p.Candidates[0].Addr != want {
			t.Errorf("got %v, want %v first", p.Candidates, want)
		}
	})
}

// TestPredictFails: the error has what each server says, or is the context's.
func TestPredictFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		liar, late := newFake("46.0.1.1:3478", "46.0.0.1:4000"), newFake("46.0.1.2:3478", "46.0.0.1:4001")
		g := newPredictingGatherer(t, new(atomic.Int32), liar, late)
		liar.setAnswer("46.0.0.9:7000")
		late.delay = time.Hour
		d, _ := mustGather(t, g)
		begin := time.Now()
		_, err := d.Predict(t.Context())
		if took := time.Since(begin); took != askTimeout/2 || !errors.Is(err, ErrNoAddress) || !errors.Is(err, stun.ErrDissent) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v after %v", err, took)
		}
		d.Release()

		d, _ = mustGather(t, g)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.Predict(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNoAddress) {
			t.Errorf("got %v, want ctx's error", err)
		}
		d.Release()
		synctest.Wait()
		if _, active := late.state(); active != 1 {
			t.Errorf("%d connections to the server, want the warm port's", active)
		}

		busy := errors.New("busy")
		d, err = g.Gather(t.Context(), Options{Spend: func(context.Context) error { return busy }})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Release()
		if _, err := d.Predict(t.Context()); err != busy {
			t.Errorf("got %v, want %v", err, busy)
		}
	})
}

// TestFreshPortIsShort: without a fresh port there is no description.
func TestFreshPortIsShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
		g := newPredictingGatherer(t, new(atomic.Int32), server)
		g.openPort = func() (*tcpport.Port, error) { return nil, tcpport.ErrShort }
		if _, err := g.Gather(t.Context(), Options{}); !errors.Is(err, tcpport.ErrShort) {
			t.Errorf("got %v, want %v", err, tcpport.ErrShort)
		}
	})
}
