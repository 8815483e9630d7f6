package transport

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// counts is a value for each series, such as `attempts_total side="initiator"`; of a histogram, how
// many samples it has.
type counts map[string]float64

func gather(t testing.TB, reg prometheus.Gatherer) counts {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(counts)
	for _, f := range families {
		name, ours := strings.CutPrefix(f.GetName(), metricNamespace+"_")
		if !ours {
			continue
		}
		for _, m := range f.GetMetric() {
			key := name
			for _, l := range m.GetLabel() {
				key += fmt.Sprintf(" %s=%q", l.GetName(), l.GetValue())
			}
			all[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// counted is what the collectors, which are the process's, say at the moment.
func counted(t testing.TB) counts {
	reg := prometheus.NewRegistry()
	newMetrics(reg)
	return gather(t, reg)
}

// since is what has changed, but for the queries and what is in use.
func (c counts) since(before counts) counts {
	changed := make(counts)
	for key, n := range c {
		if n != before[key] && !strings.HasPrefix(key, "queries_total") && !isGauge(key) {
			changed[key] = n - before[key]
		}
	}
	return changed
}

func isGauge(key string) bool { return strings.HasSuffix(key, "_sockets") }

func wantIncrease(t *testing.T, before, want counts) {
	t.Helper()
	eventually(t, fmt.Sprintf("increase by %v", want), func() bool {
		got := counted(t).since(before)
		for key := range got {
			if _, ok := want[key]; !ok || got[key] > want[key] {
				t.Fatalf("increase by %v, want %v", got, want)
			}
		}
		return maps.Equal(got, want)
	})
}

func TestMetricsOfSuccess(t *testing.T) {
	reg := prometheus.NewRegistry()
	opts := Enable(WithSTUNServers(stuntest.New(t)), WithRegisterer(reg))
	relay := newBlindRelay(t)
	before := counted(t)
	a, b := newPeer(t, opts), newPeer(t, opts)
	connectRelayed(t, relay, a, b)
	if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
		t.Fatal(err)
	}
	wantIncrease(t, before, counts{
		`attempts_total side="initiator"`:                1,
		`attempts_total side="responder"`:                1,
		`results_total reason="direct" side="initiator"`: 1,
		`results_total reason="direct" side="responder"`: 1,
		`time_to_direct_seconds side="initiator"`:        1,
		`time_to_direct_seconds side="responder"`:        1,
	})
	const ports = 2 * defaultPorts // of two hosts, and each asks the server
	eventually(t, "each port has the server's answer and holds the connection", func() bool {
		now := gather(t, reg)
		const answers = `queries_total observer="stun" outcome="answer"`
		return now[answers] >= before[answers]+ports && now["observer_sockets"] == before["observer_sockets"]+ports
	})
	if n := gather(t, reg)["listening_sockets"]; n < before["listening_sockets"]+ports {
		t.Errorf("%v sockets listen, %v did before: want %d more at least", n, before["listening_sockets"], ports)
	}
	for _, h := range []host.Host{a, b} {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "nothing is in use any more", func() bool {
		for key, n := range gather(t, reg) {
			if isGauge(key) && n != before[key] {
				return false
			}
		}
		return true
	})
}

// What fails counts for its reason, and in the host alone that counts.
func TestMetricsOfFailure(t *testing.T) {
	servers := WithSTUNServers(stuntest.New(t))
	nobody := WithPeerFilter(func(peer.ID) bool { return false })
	counting := WithRegisterer(prometheus.NewRegistry())
	for name, c := range map[string]struct {
		listener     []libp2p.Option
		dialler      libp2p.Option
		side, reason string
	}{
		"the peer has no simopen": {
			nil, Enable(servers, WithOnRequestOnly(), counting), "initiator", "peer_unsupported",
		},
		"the peer's filter": {
			[]libp2p.Option{Enable(servers, nobody)}, Enable(servers, WithOnRequestOnly(), counting), "initiator", "declined",
		},
		"our filter": {
			[]libp2p.Option{Enable(servers, nobody, counting)}, Enable(servers, WithOnRequestOnly()), "responder", "peer_filtered",
		},
		"nobody tells our address": {
			[]libp2p.Option{Enable(servers)}, Enable(WithOnRequestOnly(), counting), "initiator", "no_address",
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := counted(t)
			a, b := newPeer(t, c.listener...), newPeer(t, c.dialler)
			connectRelayed(t, newBlindRelay(t), a, b)
			if _, err := DirectConnect(testContext(t), b, a.ID()); err == nil {
				t.Fatal("it did not fail")
			}
			want := counts{
				fmt.Sprintf("attempts_total side=%q", c.side):                    1,
				fmt.Sprintf("results_total reason=%q side=%q", c.reason, c.side): 1,
			}
			if c.side == "responder" { // which has not attempted anything
				want = counts{fmt.Sprintf("refused_total reason=%q", c.reason): 1}
			}
			wantIncrease(t, before, want)
		})
	}
}

func TestMetricsOfRelayedClosed(t *testing.T) {
	opts := Enable(WithSTUNServers(stuntest.New(t)), WithRegisterer(prometheus.NewRegistry()), WithRelayGrace(0))
	before := counted(t)
	a, b := newPeer(t, opts), newPeer(t, opts)
	connectRelayed(t, newBlindRelay(t), a, b)
	eventually(t, "the relayed connection is counted as closed", func() bool {
		return counted(t)["relayed_closed_total"] > before["relayed_closed_total"]
	})
}

// A query that fails counts, too, and libp2p peers count apart.
func TestMetricsOfQueries(t *testing.T) {
	before := counted(t)
	enable := Enable(WithSTUNServers("127.0.0.1:1"), WithRegisterer(prometheus.NewRegistry()))
	relay, a, b := newRelay(t), newPeer(t, enable), newPeer(t, enable)
	tellStrangers(t, relay, nil, a, b)
	connectRelayed(t, relay, a, b)
	wantBothDirect(t, b, a)
	now := counted(t)
	for _, key := range []string{`queries_total observer="stun" outcome="failure"`, `queries_total observer="peer" outcome="answer"`} {
		if now[key] == before[key] {
			t.Errorf("%s has not changed", key)
		}
	}
}

// Enable registers where the host registers its own, and so nowhere if that has none.
func TestMetricsFollowTheHost(t *testing.T) {
	newHost := func(t *testing.T, opts ...libp2p.Option) host.Host {
		h, err := libp2p.New(append(opts, libp2p.NoListenAddrs)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h
	}
	def := prometheus.DefaultRegisterer
	defer func() { prometheus.DefaultRegisterer = def }()
	disabled := []libp2p.Option{libp2p.DisableMetrics()}
	for name, c := range map[string]struct {
		host              []libp2p.Option
		own               bool // Enable has a registerer of its own
		def, hosts, owned bool // where the metrics are then
	}{
		"by default":         {nil, false, true, false, false},
		"the host's":         {nil, false, false, true, false},
		"Enable's":           {nil, true, false, false, true},
		"disabled":           {disabled, false, false, false, false},
		"disabled, but ours": {disabled, true, false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			byDefault, hosts, own := prometheus.NewRegistry(), prometheus.NewRegistry(), prometheus.NewRegistry()
			prometheus.DefaultRegisterer = byDefault
			opts, enable := slices.Clone(c.host), Enable()
			if c.hosts {
				opts = append(opts, libp2p.PrometheusRegisterer(hosts))
			}
			if c.own {
				enable = Enable(WithRegisterer(own))
			}
			for range 2 { // in one process
				h := newHost(t, append(opts, enable)...)
				if got, want := find(h).metrics != nil, c.def || c.hosts || c.owned; got != want {
					t.Errorf("counts: %t, want %t", got, want)
				}
			}
			for where, reg := range map[string]struct {
				*prometheus.Registry
				want bool
			}{
				"the default registry": {byDefault, c.def},
				"the host's":           {hosts, c.hosts},
				"Enable's":             {own, c.owned},
			} {
				if got := len(gather(t, reg)) > 0; got != reg.want {
					t.Errorf("registered with %s: %t, want %t", where, got, reg.want)
				}
			}
		})
	}
}

// Neither counting nor its absence is felt.
func TestMetricsDoNotAllocate(t *testing.T) {
	failed := fmt.Errorf("wrapped: %w", holepunch.ErrNoConnection)
	for name, m := range map[string]*metrics{"off": nil, "on": newMetrics(prometheus.NewRegistry())} {
		for method, f := range map[string]func(){
			"started": func() { m.started(network.DirOutbound) },
			"finished": func() {
				m.finished(network.DirOutbound, nil, "", time.Second)
				m.finished(network.DirInbound, failed, holepunch.ErrNoConnection, time.Second)
			},
			"asked": func() {
				m.asked(true, nil)
				m.asked(false, failed)
			},
			"holding":       func() { m.holding(1); m.holding(-1) },
			"relayedClosed": func() { m.relayedClosed() },
			"directClosed":  func() { m.directClosed(givenUp[directSilent]) },
		} {
			t.Run(name+"/"+method, func(t *testing.T) {
				if n := testing.AllocsPerRun(1000, f); n > 0 {
					t.Errorf("%v allocations, want none", n)
				}
			})
		}
	}
}

// Every Reason that the source has is a label of its own.
func TestReasonLabels(t *testing.T) {
	t.Parallel()
	constants := slices.Concat(reasonConstants(t, "."), reasonConstants(t, "../holepunch"))
	labels := slices.Clone(otherLabels)
	for _, r := range slices.Compact(slices.Sorted(slices.Values(constants))) {
		label := resultLabel(r, holepunch.ReasonOf(r))
		if label != string(r) || slices.Contains(labels, label) {
			t.Errorf("%q has the label %q", string(r), label)
		}
		labels = append(labels, label)
	}
	if want := len(otherLabels) + len(holepunch.Reasons()); len(labels) != want {
		t.Errorf("%d labels, want %d", len(labels), want)
	}
	for want, err := range map[string]error{
		"direct":         nil,
		"no_address":     ErrNoSTUNServer,
		"no_connection":  &Error{Op: "dial", Err: &holepunch.PunchError{Op: "open", Err: holepunch.ErrNoConnection}},
		"resource_limit": holepunch.ErrResourceLimit,
		"cancelled":      fmt.Errorf("dial: %w", context.Canceled),
		"timeout":        &Error{Op: "dial", Err: context.DeadlineExceeded},
		"other":          errors.New("no listener"),
	} {
		if got := resultLabel(err, holepunch.ReasonOf(err)); got != want {
			t.Errorf("%v: label %q, want %q", err, got, want)
		}
	}
}

// reasonConstants reads the package's source for the constants of type holepunch.Reason.
func reasonConstants(t *testing.T, dir string) (found []holepunch.Reason) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	isReason := func(typ ast.Expr) bool {
		if s, ok := typ.(*ast.SelectorExpr); ok {
			typ = s.Sel
		}
		id, ok := typ.(*ast.Ident)
		return ok && id.Name == "Reason"
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || !isReason(spec.Type) {
				return true
			}
			for _, v := range spec.Values {
				lit, ok := v.(*ast.BasicLit)
				if !ok {
					t.Fatalf("%s: %s is not a literal", name, spec.Names)
				}
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, holepunch.Reason(s))
			}
			return true
		})
	}
	return found
}

func TestMetricNames(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	newMetrics(reg)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
