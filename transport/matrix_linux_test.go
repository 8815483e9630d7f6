package transport

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/stun"
)

var (
	matrixFlag  = flag.Bool("matrix", false, "TestMatrix: try every pair of NATs, not a sample")
	matrixTable = flag.String("matrix-table", "", "TestMatrix: write the outcomes to `file`, as a Markdown table")
)

// pairsAtOnce is how many pairs of the matrix are tried side by side. Those that fail do
// little but wait.
const pairsAtOnce = 10

// matrixKinds are the NATs of the matrix.
var matrixKinds = []string{
	"public",
	"eim-eif", "eim-eif-rst", "eim-eif-icmp",
	"eim-adf", "eim-adf-rst", "eim-adf-icmp",
	"eim-apdf", "eim-apdf-rst", "eim-apdf-icmp",
	"eim-apdf-rst-rstkills",
	"eim-apdf-rst-synlimit",
	"eim-apdf-noudp",
	"eim-apdf-nosyn", "eim-eif-nosyn",
	"apdm-apdf-overload", // Linux masquerade
	"apdm-apdf-rst-overload-clash",
	"adm-apdf", "adm-apdf-sequential", "adm-apdf-sequential2", "adm-apdf-random",
	"apdm-apdf", "apdm-apdf-sequential", "apdm-apdf-sequential2", "apdm-apdf-descending2", "apdm-apdf-random",
	"apdm-eif-random",
	"apdm-adf-sequential", "apdm-adf-random",
	// Real kernels.
	"kernel-drop", "kernel-rst-invalid", "kernel-accept", "kernel-random", "kernel-blocks16",
	"kernel-drop-firewall", "kernel-rst-firewall", "kernel-nosyn-firewall", "kernel-accept-nosyn-firewall",
}

// matrixSample are the pairs, dialler first, that are tried always: some of each way, and
// of each reason why there is none. Those that take their time have no peer in common.
var matrixSample = [][2]string{
	// There is no way.
	{"apdm-apdf-random", "apdm-apdf-random"},
	{"adm-apdf-random", "eim-apdf"},
	{"eim-apdf-nosyn", "eim-apdf-nosyn"},
	{"eim-eif-nosyn", "adm-apdf-random"},
	// A port is predicted.
	{"eim-apdf", "apdm-apdf-sequential"},
	{"adm-apdf-sequential", "apdm-apdf-sequential2"},
	{"apdm-apdf", "eim-apdf-rst"},
	{"apdm-adf-sequential", "apdm-apdf-random"},
	{"apdm-apdf-overload", "apdm-apdf-overload"},
	{"apdm-apdf-rst-overload-clash", "apdm-apdf"},
	{"apdm-apdf-descending2", "eim-apdf-rst-synlimit"},
	// One side listens.
	{"apdm-apdf-random", "eim-eif"},
	{"eim-adf-rst", "apdm-apdf-random"},
	{"apdm-apdf-random", "apdm-eif-random"},
	{"public", "apdm-apdf-random"},
	// The SYNs cross.
	{"eim-apdf", "eim-apdf-rst"},
	{"eim-apdf-rst-rstkills", "eim-apdf-icmp"},
	{"eim-apdf-noudp", "eim-apdf-noudp"},
	{"eim-apdf", "eim-apdf-nosyn"},
	// Real kernels.
	{"kernel-rst-invalid", "kernel-accept"},
	{"kernel-drop-firewall", "kernel-rst-firewall"},
	{"kernel-nosyn-firewall", "kernel-accept-nosyn-firewall"},
	{"kernel-accept-nosyn-firewall", "kernel-accept-nosyn-firewall"},
	{"kernel-blocks16", "kernel-drop"},
	{"kernel-random", "eim-eif"},
}

// behaviourOf is what is to be known of a lab's NAT.
func behaviourOf(n natlab.Behaviour) stun.Behaviour {
	if n == (natlab.Behaviour{}) {
		return stun.Behaviour{
			Mapping: stun.EIM, Filtering: stun.EIF, Ports: stun.Preserved, Unsolicited: stun.RST, // by the host itself
			BareSYN: stun.Yes, Hairpin: stun.Yes, Persistent: stun.Yes,
		}
	}
	if n.Ports == natlab.PortOverload || n.Mapping == natlab.Public {
		n.Mapping = natlab.EIM // so it looks, while no neighbour uses the same port
	}
	b := stun.Behaviour{
		Mapping:     map[natlab.Mapping]stun.Mapping{natlab.EIM: stun.EIM, natlab.ADM: stun.ADM, natlab.APDM: stun.APDM}[n.Mapping],
		Filtering:   map[natlab.Filtering]stun.Filtering{natlab.EIF: stun.EIF, natlab.ADF: stun.ADF, natlab.APDF: stun.APDF}[n.Filtering],
		Unsolicited: map[natlab.Unsolicited]stun.Unsolicited{natlab.UnsolicitedDrop: stun.Drop, natlab.UnsolicitedRST: stun.RST, natlab.UnsolicitedICMP: stun.ICMP}[n.Unsolicited],
		BareSYN:     stun.Known(!n.NoSYN),
		Hairpin:     stun.Known(n.Hairpin),
	}
	if n.NoSYN && !n.Kernel.Accept {
		b.Filtering = stun.APDF // for no SYN comes in that could show a looser one
	}
	switch n.Ports {
	case natlab.PortPreserve, natlab.PortOverload:
		b.Ports = stun.Preserved
	case natlab.PortSequential:
		b.Ports, b.Step = stun.Sequential, 1
	case natlab.PortSequential2:
		b.Ports, b.Step = stun.Sequential, 2
	case natlab.PortDescending2:
		b.Ports, b.Step = stun.Sequential, -2
	case natlab.PortRandom:
		b.Ports = stun.Random
	}
	if n.Blocks16 {
		b.Ports = stun.Block
	}
	// A NAT without the mapping makes another, which has the same port again if ports
	// are preserved.
	b.Persistent = stun.Known(!n.RSTKills || b.Ports == stun.Preserved)
	return b
}

// agrees reports whether what was found out is right, as far as Predict needs it. Whether a bare
// SYN comes in cannot be found out for a NAT that gives every destination another port.
func agrees(got, want stun.Behaviour) bool {
	return got.Mapping == want.Mapping && got.Filtering == want.Filtering && got.Ports == want.Ports &&
		got.Step == want.Step && (got.BareSYN == want.BareSYN || got.BareSYN == stun.Unknown)
}

// A matrixSide is the peer behind one kind of NAT, as dialler or as listener.
type matrixSide struct {
	sync.Mutex // held while it is in a pair
	*labPeer
	knows stun.Behaviour
}

// clashDelay is how far NATs with clash are from the core. Between two of them SYNs have to leave
// within half a direct round trip, and a busy machine may stand still for the 10 ms of other sites.
const clashDelay = 50 * time.Millisecond

func startMatrixSides(t *testing.T, l *hostLab, role string, kinds []string) map[string]*matrixSide {
	t.Helper()
	sides := make(map[string]*matrixSide)
	for _, kind := range kinds {
		name := role + " " + kind
		cfg := natlab.SiteConfig{Name: name}
		if strings.Contains(kind, "clash") {
			cfg.Delay = clashDelay
		}
		site := l.add(t, kind, cfg)
		sides[kind] = &matrixSide{
			labPeer: l.startPeer(t, addHost(t, site, name), peerConfig{NoLimits: true}),
			knows:   behaviourOf(site.NAT()),
		}
	}
	return sides
}

// TestMatrix tries pairs of NATs. Pairs that can work do, and the others fail with the predicted
// reason.
func TestMatrix(t *testing.T) {
	t.Parallel()
	pairs := matrixSample
	if *matrixFlag || *matrixTable != "" {
		pairs = nil
		for i, d := range matrixKinds {
			for j := range matrixKinds { // so that diallers rarely wait for each other
				pairs = append(pairs, [2]string{d, matrixKinds[(i+j)%len(matrixKinds)]})
			}
		}
	}
	var kinds [2][]string
	for _, p := range pairs {
		for i := range kinds {
			if !slices.Contains(kinds[i], p[i]) {
				kinds[i] = append(kinds[i], p[i])
			}
		}
	}
	l := newHostLab(t, relayConfig{})
	diallers := startMatrixSides(t, l, "dialler", kinds[0])
	listeners := startMatrixSides(t, l, "listener", kinds[1])
	for _, sides := range []map[string]*matrixSide{diallers, listeners} {
		for _, s := range sides {
			ready(t, s.labPeer)
			s.join(t)
		}
	}
	for _, sides := range []map[string]*matrixSide{diallers, listeners} {
		for _, s := range sides {
			if got := s.learn(t); !agrees(got, s.knows) {
				t.Errorf("%s knows its NAT as %+v, want %+v", s.host.Name(), got, s.knows)
			}
		}
	}

	results := make(matrixResults)
	var mu sync.Mutex // guards results
	var running sync.WaitGroup
	turns := make(chan struct{}, pairsAtOnce)
	for _, kind := range kinds[0] {
		running.Go(func() {
			for _, pair := range pairs {
				if pair[0] != kind {
					continue
				}
				d, l := diallers[pair[0]], listeners[pair[1]]
				l.Lock()
				turns <- struct{}{}
				t.Run(pair[0]+"/"+pair[1], func(t *testing.T) {
					r := tryPair(t, d, l)
					mu.Lock()
					defer mu.Unlock()
					results[pair] = r
				})
				<-turns
				l.Unlock()
			}
		})
	}
	running.Wait()
	if *matrixTable != "" {
		if err := os.WriteFile(*matrixTable, []byte(results.table()), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// A matrixResult is a predicted and an actual outcome.
type matrixResult struct {
	predicted holepunch.Outcome
	dialler   outcome
}

func tryPair(t *testing.T, d, l *matrixSide) matrixResult {
	r := matrixResult{predicted: holepunch.Compatibility(d.knows, l.knows)}
	var listener outcome
	r.dialler, listener = punch(t, d.labPeer, l.labPeer)
	defer l.forget(t, d.labPeer)
	defer d.forget(t, l.labPeer)

	t.Logf("%s; the dialler has %v; the listener has %v", r.predicted, r.dialler, listener)
	switch {
	case r.dialler.Direct != r.predicted.Possible():
		t.Errorf("want: %s", r.predicted)
	case r.dialler.Direct && (r.dialler.Direction != "Outbound" || listener.Direction != "Inbound"):
		t.Errorf("directions %s and %s, want outbound and inbound", r.dialler.Direction, listener.Direction)
	case !r.dialler.Direct && (r.dialler.Reason != r.predicted.Reason || listener.Reason != r.predicted.Reason):
		t.Errorf("reasons %q and %q, want %q", r.dialler.Reason, listener.Reason, r.predicted.Reason)
	}
	if t.Failed() {
		logSteps(t, d.labPeer, l.labPeer)
	}
	return r
}

type matrixResults map[[2]string]matrixResult

// table is the outcomes in Markdown, a row for each dialler.
func (m matrixResults) table() string {
	var b strings.Builder
	b.WriteString("| | dialler, and listener by number |")
	for i := range matrixKinds {
		fmt.Fprintf(&b, " %d |", i+1)
	}
	b.WriteString("\n|" + strings.Repeat("---|", len(matrixKinds)+2) + "\n")
	for i, d := range matrixKinds {
		fmt.Fprintf(&b, "| %d | `%s` |", i+1, d)
		for _, l := range matrixKinds {
			r, ok := m[[2]string{d, l}]
			if !ok {
				b.WriteString(" |")
				continue
			}
			fmt.Fprintf(&b, " %s |", r.cell())
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	for _, o := range outcomeMarks {
		fmt.Fprintf(&b, "- %s: %s\n", o.mark, o.Outcome)
	}
	b.WriteString("- ?: not as foretold\n")
	return b.String()
}

// outcomeMarks are what the table has for outcomes that are as predicted.
var outcomeMarks = []struct {
	mark string
	holepunch.Outcome
}{
	{"x", holepunch.Outcome{Way: holepunch.Works}},
	{"o", holepunch.Outcome{Way: holepunch.OneSided}},
	{"p", holepunch.Outcome{Way: holepunch.ByPrediction}},
	{"R", holepunch.Outcome{Reason: holepunch.ErrUnpredictable}},
	{"F", holepunch.Outcome{Reason: holepunch.ErrPortFiltered}},
	{"S", holepunch.Outcome{Reason: holepunch.ErrNoBareSYN}},
}

// cell is the outcome in a character.
func (r matrixResult) cell() string {
	if r.dialler.Direct == r.predicted.Possible() && (r.dialler.Direct || r.dialler.Reason == r.predicted.Reason) {
		for _, o := range outcomeMarks {
			if o.Outcome == r.predicted {
				return o.mark
			}
		}
	}
	return "?"
}
