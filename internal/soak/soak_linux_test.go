package soak

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

var (
	soakTime = flag.Duration("soak", 8*time.Second, "how long the peers punch under faults")
	seedFlag = flag.Uint64("seed", 0, "of the faults; 0 for one by chance")
	tableTo  = flag.String("table", "", "file for the tables, in Markdown")
)

const (
	// fewPeers are in a soak that is short.
	fewPeers = 4

	// quietEvery is how long the peers work between two samples, unless the soak is short.
	quietEvery = time.Minute

	// recovery is how long all pairs may take to be connected again once the faults are over: a pair
	// has its turn every few seconds, and a dead end is found out within a minute (see
	// silentAftermath).
	recovery = 4 * time.Minute

	// overhead is what comes beside the soak itself: the beginning, the last faults' end, the
	// recovery, the samples.
	overhead = recovery + 3*time.Minute
)

// What a process may have more of at its last sample than at its first.
const (
	// moreGoroutines and moreFiles: none is ours; go-libp2p and the runtime have some that come
	// and go, as a timer's or a poller's.
	moreGoroutines = 3
	moreFiles      = 2

	// moreHeap: what caches hold (peerstore, dials that failed, yamux's buffers in pools) until they
	// are full.
	moreHeap = 1 << 20
)

func TestSoak(t *testing.T) {
	if deadline, ok := t.Deadline(); ok && time.Until(deadline) < *soakTime+overhead {
		t.Fatalf("it takes up to %v: go test needs -timeout", *soakTime+overhead)
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()>>1 + 1
	}
	t.Logf("-seed %d", seed)
	with := nats
	if *soakTime < quietEvery {
		with = nats[:fewPeers]
	}
	s := newStage(t, seed, with)
	defer func() { s.show(t) }()
	for _, st := range s.all() {
		s.start(t, st)
	}
	faults := newSchedule(seed)
	quiet := min(quietEvery, *soakTime/2)
	for end := time.Now().Add(*soakTime); time.Now().Before(end); {
		each(t, s.peers, "work")
		for next := time.Now().Add(quiet); time.Now().Before(next); {
			faults.strike(t, s)
		}
		s.sample(t)
	}
	s.recover(t)
	s.sample(t)
	for _, text := range s.tally.wrong() {
		t.Error(text)
	}
}

// sample has all peers rest and measures them. The STUN server is not: it lives for a minute or
// two, and holds the connections of peers that left silently as long.
func (s *stage) sample(t *testing.T) {
	t.Helper()
	each(t, s.peers, "rest")
	for _, st := range s.peers {
		cmd := command{Do: "sample"}
		if st.first != nil {
			cmd.Base = st.first.Goroutines
		}
		st.proc.Send(t, cmd)
	}
	for _, st := range s.peers {
		now := st.answer(t).Sample
		t.Logf("%s holds %+v", st.name, *now)
		if st.first == nil {
			st.first = now
		}
		st.last = now
		if now.Left != "" {
			t.Errorf("%s: not given back: %s\n%s", st.name, now.Left, st.do(t, command{Do: "stacks"}).Text)
		}
		if grown := now.grown(st.first); grown != "" {
			t.Errorf("%s: %s since the first sample\n%s", st.name, grown, st.do(t, command{Do: "stacks"}).Text)
		}
	}
}

// grown says what there is more of than in an earlier sample.
func (s *sample) grown(since *sample) string {
	var texts []string
	more := func(what string, was, is, allowed int) {
		if is > was+allowed {
			texts = append(texts, fmt.Sprintf("%s: %d, and were %d", what, is, was))
		}
	}
	more("goroutines", since.Goroutines, s.Goroutines, moreGoroutines)
	more("file descriptors", since.Files, s.Files, moreFiles)
	more("sockets", since.Sockets, s.Sockets, moreFiles)
	more("bytes of heap", int(since.Heap), int(s.Heap), moreHeap)
	return strings.Join(texts, ", ")
}

// recover has the peers work without faults until every pair that can be connected directly was.
func (s *stage) recover(t *testing.T) {
	t.Helper()
	begin := time.Now()
	missing := map[string]bool{}
	for _, p := range s.peers {
		for _, to := range p.cfg.(peerConfig).Dials {
			if other := s.name(to); s.possible(p.name, other) {
				missing[p.name+" to "+other] = true
			}
		}
	}
	each(t, s.peers, "work")
	late := time.After(recovery)
	for {
		rounds, changed := s.tally.reports()
		for _, r := range rounds {
			for _, try := range r.Tries {
				if try.Direct && r.Began.After(begin) {
					delete(missing, r.from+" to "+r.to)
				}
			}
		}
		if len(missing) == 0 {
			t.Logf("every pair that can be was connected %v after the faults", time.Since(begin).Round(time.Second))
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Errorf("not connected in the end: %v", missing)
			return
		}
	}
}

// possible reports whether two peers can be connected directly.
func (s *stage) possible(from, to string) bool {
	nat := map[string]natlab.Behaviour{}
	for _, p := range s.peers {
		nat[p.name] = p.site.NAT()
	}
	return punchable(nat[from], nat[to])
}

// show prints the tables.
func (s *stage) show(t *testing.T) {
	for _, text := range s.tally.unexplained(s.possible) {
		t.Log(text)
	}
	var b strings.Builder
	b.WriteString(s.tally.table())
	b.WriteString("\n| process | goroutines | file descriptors | sockets | heap, KiB |\n|---|--:|--:|--:|--:|\n")
	for _, st := range s.peers {
		if f, l := st.first, st.last; f != nil {
			fmt.Fprintf(&b, "| %s | %d, %d | %d, %d | %d, %d | %d, %d |\n", st.name, f.Goroutines, l.Goroutines,
				f.Files, l.Files, f.Sockets, l.Sockets, f.Heap>>10, l.Heap>>10)
		}
	}
	t.Logf("\n%s", b.String())
	if *tableTo != "" {
		if err := os.WriteFile(*tableTo, []byte(b.String()), 0o666); err != nil {
			t.Error(err)
		}
	}
}
