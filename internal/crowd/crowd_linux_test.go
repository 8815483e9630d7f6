package crowd

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

var (
	crowdFlag = flag.Int("crowd", 40, "how many hosts come back to one in TestCrowd")
	pairsFlag = flag.Int("pairs", 6, "how many hosts connect to each other in TestPairs")
	synsFlag  = flag.Int("syns", 0, "HostSYNs of hosts that are connected to, at once and in each second; 0 for the default")
)

// bound is how long all may take. Most of it is a machine's that runs all these hosts on two
// processors: each peer takes it some 50 ms, with the relay and the lab.
func bound() time.Duration {
	pairs := *pairsFlag * (*pairsFlag - 1) / 2
	return time.Minute + time.Duration(max(*crowdFlag, pairs))*100*time.Millisecond
}

// starved is more than a host that has the processor now and then takes to answer.
const starved = 5 * time.Second

// TestCrowd: a relay restarts, and all its hosts come back to it, and through it to one that is
// behind a NAT. All become direct in time, and a connection that was there before is not starved.
func TestCrowd(t *testing.T) {
	s := newStage(t)
	hub := s.add(t, "hub", 1, true, "eim-apdf-rst")
	old := s.add(t, "bystander", 1, false, "eim-apdf")
	var peers []*station
	for left := *crowdFlag; left > 0; left -= hostsPerSite {
		peers = append(peers, s.add(t, fmt.Sprintf("site %d", len(peers)), min(left, hostsPerSite), false, ""))
	}
	join(t, append(peers, hub, old)...)
	toHub := func(peer.ID) []peer.ID { return hub.ids }
	report(t, "the bystander", meet(t, []*station{old}, toHub, func() {}), time.Now())
	old.watch(t, hub.ids[0])
	before := hub.usage(t)
	lab := use()

	var restarted time.Time
	met := meet(t, peers, toHub, func() {
		s.relay.proc.Kill()
		s.startRelay(t)
		restarted = time.Now()
	})
	took := time.Since(restarted)
	spent := hub.usage(t).less(before)
	worst := old.watch(t, hub.ids[0])
	report(t, fmt.Sprintf("%d peers", *crowdFlag), met, restarted)
	t.Logf("the hub's own reasons for punches that failed:%s", reasons(hub.failures(t)))
	n := *crowdFlag
	t.Logf("the hub took %v of CPU for a peer, %d KiB of memory, at its peak %d KiB of the kernel's, %.1f goroutines and %.1f files",
		(spent.CPU / time.Duration(n)).Round(time.Microsecond), spent.Memory/n>>10, spent.Most/n>>10,
		float64(spent.Goroutines)/float64(n), float64(spent.Files)/float64(n))
	t.Logf("the relay has taken %v of CPU, the lab %v, in %v", s.relay.usage(t).CPU.Round(time.Millisecond), use().less(lab).CPU.Round(time.Millisecond), took.Round(time.Millisecond))
	t.Logf("the slowest echo of the bystander took %v", worst.Round(time.Millisecond))
	if worst > starved {
		t.Errorf("the bystander was starved: an echo took %v", worst)
	}
}

// TestPairs: hosts connect to each other, all pairs at once, and all become direct.
func TestPairs(t *testing.T) {
	s := newStage(t)
	var hosts []*station
	var ids []peer.ID
	for i := range *pairsFlag {
		hosts = append(hosts, s.add(t, fmt.Sprintf("host %d", i), 1, true, ""))
	}
	join(t, hosts...)
	for _, h := range hosts {
		ids = append(ids, h.ids...)
	}
	begin := time.Now()
	// Of each pair one dials, and each host dials half of the others.
	met := meet(t, hosts, func(self peer.ID) (others []peer.ID) {
		i := slices.Index(ids, self)
		for j, id := range ids {
			if i != j && (i < j) == ((i+j)%2 == 0) {
				others = append(others, id)
			}
		}
		return others
	}, func() {})
	report(t, fmt.Sprintf("%d pairs of %d hosts", len(met), len(ids)), met, begin)
	if want := len(ids) * (len(ids) - 1) / 2; len(met) != want {
		t.Errorf("%d pairs have met, want %d", len(met), want)
	}
}

// report logs how the meetings went, and fails the test if a pair has no direct connection.
func report(t *testing.T, who string, met []meeting, begin time.Time) {
	t.Helper()
	var after, punch []time.Duration
	tries, failed := 0, make(map[holepunch.Reason]int)
	for _, m := range met {
		tries += m.Tries
		for reason, n := range m.Failed {
			failed[reason] += n
		}
		if m.Direct.IsZero() {
			t.Errorf("%s: one has no direct connection: %+v", who, m)
			continue
		}
		after = append(after, m.Direct.Sub(begin))
		if !m.Relayed.IsZero() {
			punch = append(punch, m.Direct.Sub(m.Relayed))
		}
	}
	t.Logf("%s: %d of %d are direct, after %s; from the relayed connection on it took %s", who, len(after), len(met), spread(after), spread(punch))
	t.Logf("%s: %d tries to connect through the relay; punches that failed:%s", who, tries, reasons(failed))
}

// spread returns the median, the 90th percentile and the most of some times.
func spread(ds []time.Duration) string {
	if len(ds) == 0 {
		return "no time"
	}
	slices.Sort(ds)
	at := func(q float64) time.Duration { return ds[int(q*float64(len(ds)-1))].Round(time.Millisecond) }
	return fmt.Sprintf("%v, %v, %v (median, 90 %%, most)", at(0.5), at(0.9), at(1))
}

func reasons(failed map[holepunch.Reason]int) (text string) {
	for _, r := range slices.Sorted(maps.Keys(failed)) {
		text += fmt.Sprintf(" %d × %s;", failed[r], string(r))
	}
	if text == "" {
		return " none"
	}
	return text
}
