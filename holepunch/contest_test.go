package holepunch

import (
	"flag"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

var largeContests = flag.Bool("contests", false, "explore the large contests, too, of a million states in all")

type size int

const (
	tiny   size = iota
	medium      // not with the race detector: it would take a minute, and there is nothing that could race
	huge        // only if asked for
)

var (
	peers    = []kind{{}, {}}
	threes   = []kind{{}, {}, {}}
	allKinds = map[string]bool{"death": true, "timeout": true, "window": true, "stop": true, "grace": true}
	deaths   = map[string]bool{"death": true}
)

// TestContest tries every order in which things can happen to the connections of a punch, at both
// sides, with the contests that a punch has: connections come up, the messages of handshakes arrive, handshakes end
// and take too long, connections die, windows end, and a side is stopped or told how the other has ended, early, late
// or never. In every state no two connections are held, nothing is closed that the other side
// has chosen or that is still of use, and in the end both sides hold the same connection or none, and nothing else
// is open. Neither holds none while there is a connection that nothing has happened to, unless
// a side gave up, or what one of them had won has died.
func TestContest(t *testing.T) {
	var mu sync.Mutex
	causes := make(map[string]bool)
	t.Run("orders", func(t *testing.T) {
		for name, tc := range map[string]struct {
			model
			size // of the search
		}{
			"two, nothing happens to them":             {model{lines: peers}, tiny},
			"two, one fault":                           {model{lines: peers, faults: allKinds, most: 1}, tiny},
			"two, three faults":                        {model{lines: peers, faults: allKinds, most: 3}, medium},
			"two, everything happens":                  {model{lines: peers, faults: allKinds}, huge},
			"two, after other failures":                {model{lines: peers, failures: maxFailures - 1, faults: allKinds, most: 2}, medium},
			"three, nothing happens to them":           {model{lines: threes}, tiny},
			"three, they die":                          {model{lines: threes, faults: deaths}, medium},
			"three, one fault":                         {model{lines: threes, faults: allKinds, most: 1}, medium},
			"three, two faults":                        {model{lines: threes, faults: allKinds, most: 2}, huge},
			"two and the initiator's stranger":         {model{lines: []kind{{}, {}, {stranger: true, at: initiator}}, faults: allKinds, most: 1}, medium},
			"two and the responder's stranger":         {model{lines: []kind{{}, {}, {stranger: true, at: responder}}, faults: allKinds, most: 1}, medium},
			"one from another port, and two strangers": {model{lines: []kind{{anyPort: [2]bool{true, false}}, {stranger: true, at: initiator}, {stranger: true, at: responder}}, faults: allKinds, most: 1}, tiny},
			"two, and one from other ports":            {model{lines: []kind{{}, {}, {anyPort: [2]bool{true, true}}}, faults: deaths, most: 1}, medium},
		} {
			for _, late := range []bool{false, true} {
				if tc.size == huge && !*largeContests || tc.size > tiny && raceEnabled {
					continue
				}
				m := tc.model
				m.late, m.rules = late, theRules
				t.Run(name+map[bool]string{false: "", true: ", late muxer"}[late], func(t *testing.T) {
					t.Parallel()
					states, ends, wrong := m.explore()
					if wrong != "" {
						t.Fatal(wrong)
					}
					t.Logf("%d states, %d of them an end", states, ends)
					mu.Lock()
					defer mu.Unlock()
					maps.Copy(causes, m.causes)
				})
			}
		}
	})
	// Not at every moment both have the same, and these are the reasons. When a side has closed what the other holds, its
	// RST tells it so; when the network swallows that, too, TCP's keep-alive does, or the muxer's.
	want := []string{
		"the initiator holds one, and it has died",
		"the initiator holds one, and the handshake took too long for the responder",
		"the initiator holds one, and the last message is on its way to the responder",
		"the initiator holds one, and the responder has given up",
		"the initiator holds one, and the responder is about to",
		"the responder holds one, and it has died",
		"the responder holds one, and the handshake took too long for the initiator",
		"the responder holds one, and the initiator has given up",
		"the responder holds one, and the initiator is about to",
		"the responder holds one, and the last message is on its way to the initiator",
	}
	if got := slices.Sorted(maps.Keys(causes)); !slices.Equal(got, want) {
		t.Errorf("only one side holds a connection when\n\t%s\nand not when\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// TestContestBroken: with another rule, the same search finds what goes wrong.
func TestContestBroken(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*rules)
		faults map[string]bool
		want   [2]string // without and with a late muxer; "" if nothing goes wrong
	}{
		"whoever asks is chosen": {func(r *rules) {
			r.ask = func(k *contest, c *Conn) *Conn {
				k.chosen = c
				return c
			}
		}, nil, [2]string{"which the responder has", "which the responder has"}},
		"another is chosen while the handshake on the first goes on": {func(r *rules) {
			r.ask = func(k *contest, c *Conn) *Conn {
				k.chosen = nil
				k.asking = slices.Insert(k.asking, 0, c)
				return k.choose()
			}
		}, nil, [2]string{"which the responder has", "which the responder has"}},
		"the losers are closed when one is chosen": {func(r *rules) {
			r.settled = func(k *contest) bool { return k.chosen != nil || k.settled() }
		}, nil, [2]string{"before it has another", "before it has another"}},
		"the responder takes the first that is up, and closes the others": {func(r *rules) {
			r.settled = func(k *contest) bool { return !k.initiator && len(k.shaking) > 0 || k.settled() }
		}, nil, [2]string{"before it has another", "before it has another"}},
		"the responder closes the others when it has one": {func(r *rules) {
			r.settled = func(k *contest) bool { return k.won || k.settled() }
		}, map[string]bool{"timeout": true}, [2]string{"", "which the initiator has chosen"}},
		"what has failed stays chosen": {func(r *rules) {
			r.shaken = func(k *contest, c *Conn, secured, heard bool) (bool, *Conn) {
				chosen := k.chosen
				k.chosen = nil
				wanted, _ := k.shaken(c, secured, heard)
				k.chosen = chosen
				return wanted, nil
			}
		}, deaths, [2]string{"waits for what does not come", "waits for what does not come"}},
		"strangers are left, though the initiator has spoken": {func(r *rules) {
			r.silent = func(k *contest) []*Conn { return slices.Clone(k.strangers) }
		}, map[string]bool{"timeout": true}, [2]string{"", "which the initiator has chosen"}},
		"the first failure ends it": {func(r *rules) {
			r.settled = func(k *contest) bool { return k.failures > 0 || k.settled() }
		}, deaths, [2]string{"before it has another", "before it has another"}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, want := range tc.want {
				m := model{lines: []kind{{}, {anyPort: [2]bool{true, true}}}, late: i == 1, faults: tc.faults, rules: theRules}
				tc.change(&m.rules)
				states, _, wrong := m.explore()
				t.Logf("%d states: %s", states, wrong)
				if !strings.Contains(wrong, want) || (want == "") != (wrong == "") {
					t.Errorf("want %q", want)
				}
			}
		})
	}
}
