package punch

import (
	"flag"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var largeModels = flag.Bool("models", false, "explore the large models of a choice, too, of two million states")

// A modelSize says when a model is explored.
type modelSize int

const (
	small  modelSize = iota
	medium           // not with the race detector: it would take a minute, and nothing could race
	large            // only if asked for
)

// TestChoiceModel tries every order in which things can happen to the connections of a stream, at
// both sides, with the choices that streams have: connections come up, at both sides or one; the
// applications write; tokens, frames and the marker are sent and arrive; a side admits, refuses,
// runs out of time or is stopped; connections are reset, and lose all that one side or both send
// from some moment on; strangers say what could be taken for the peer's. In every state the sides
// have chosen the same connection, if both have chosen, and the peer's; and what each application
// has read is what the other has written, from the beginning. No side drops a connection of the
// peer's before the choice. In the end, both have the same connection and have read everything, or
// both have an error, and nothing else is open. There is no error if nothing has happened to a
// connection, and no side waits while there is one to which nothing has happened.
func TestChoiceModel(t *testing.T) {
	processors := make(chan struct{}, runtime.GOMAXPROCS(0))
	for name, tc := range map[string]struct {
		model
		size modelSize
	}{
		"one, three faults":                      {model{kinds: []copyKind{crossed}, writes: [2]int{2, 2}, faults: 3}, small},
		"two":                                    {model{kinds: []copyKind{crossed, crossed}, writes: [2]int{2, 2}}, small},
		"two, one fault":                         {model{kinds: []copyKind{crossed, crossed}, writes: [2]int{1, 1}, faults: 1}, medium},
		"two, two faults":                        {model{kinds: []copyKind{crossed, crossed}, writes: [2]int{1, 1}, faults: 2}, large},
		"two, accepted, one fault":               {model{kinds: []copyKind{initiatorAccepts, responderAccepts}, writes: [2]int{1, 1}, faults: 1}, medium},
		"one, a stranger, one fault":             {model{kinds: []copyKind{crossed, strangerForInitiator}, writes: [2]int{1, 1}, faults: 1}, medium},
		"one, a responder's stranger, one fault": {model{kinds: []copyKind{crossed, strangerForResponder}, writes: [2]int{1, 1}, faults: 1}, medium},
		"one, two strangers":                     {model{kinds: []copyKind{crossed, strangerForInitiator, strangerForResponder}, writes: [2]int{1, 1}}, medium},
		"one, two strangers, one fault":          {model{kinds: []copyKind{crossed, strangerForInitiator, strangerForResponder}, writes: [2]int{1, 1}, faults: 1}, large},
		"two, a stranger":                        {model{kinds: []copyKind{crossed, crossed, strangerForInitiator}, writes: [2]int{1, 0}}, medium},
		"two, a responder's stranger":            {model{kinds: []copyKind{crossed, crossed, strangerForResponder}, writes: [2]int{1, 0}}, medium},
		"three":                                  {model{kinds: []copyKind{crossed, crossed, crossed}, writes: [2]int{1, 0}}, small},
		"three, both write":                      {model{kinds: []copyKind{crossed, crossed, crossed}, writes: [2]int{1, 1}}, medium},
		"three, one fault":                       {model{kinds: []copyKind{crossed, crossed, crossed}, writes: [2]int{1, 0}, faults: 1}, large},
		"three, accepted, one fault":             {model{kinds: []copyKind{initiatorAccepts, initiatorAccepts, responderAccepts}, writes: [2]int{1, 0}, faults: 1}, medium},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.size == large && !*largeModels || tc.size == medium && (raceEnabled || testing.Short()) {
				t.SkipNow()
			}
			t.Parallel()
			processors <- struct{}{} // not all in memory at once
			defer func() { <-processors }()
			tc.rules = theRules
			states, ends, wrong := tc.explore()
			if wrong != "" {
				t.Fatal(wrong)
			}
			t.Logf("%d states, %d of them an end", states, ends)
		})
	}
}

// TestChoiceModelBroken: with another rule, the same search finds what goes wrong.
func TestChoiceModelBroken(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*rules)
		faults uint8
		second copyKind // of the connections
		want   string
	}{
		"any token will do": {func(r *rules) {
			r.receive = func(k *choice, c *streamCopy, b []byte) bool {
				own := k.token
				defer func() { k.token = own }()
				if t, err := parsePreamble(b); err == nil {
					k.token = t
				}
				return k.receive(c, b)
			}
		}, 0, strangerForResponder, `reads "z"`},
		"the responder confirms whoever comes": {func(r *rules) {
			r.next = func(k *choice, c *streamCopy, b []byte) []byte {
				if admitted := c.admitted; !k.initiator {
					c.admitted = true
					defer func() { c.admitted = admitted }()
				}
				return k.next(c, b)
			}
		}, 0, strangerForResponder, "goes to a stranger"},
		"the responder chooses what it has confirmed": {func(r *rules) {
			r.admit = func(k *choice, c *streamCopy) {
				if k.admit(c); !k.initiator {
					k.choose(c)
				}
			}
		}, 0, crossed, "believes that a connection was chosen"},
		"the responder drops the others when it has confirmed a copy": {func(r *rules) {
			r.admit = func(k *choice, c *streamCopy) {
				k.admit(c)
				for _, other := range slices.Clone(k.copies) {
					if other != c && !k.initiator {
						k.drop(other, ErrNotChosen)
					}
				}
			}
		}, 0, crossed, "which is the peer's"},
		"the initiator chooses before the token": {func(r *rules) {
			r.add = func(k *choice, c *streamCopy, accepted bool) {
				if k.add(c, accepted); k.initiator && k.chosen == nil {
					k.choose(c)
				}
			}
		}, 0, strangerForInitiator, "is chosen, which is a stranger's"},
		"every copy that shows the token is chosen": {func(r *rules) {
			r.admit = func(k *choice, c *streamCopy) {
				if k.initiator {
					k.chosen = nil
				}
				if k.admit(c); k.initiator {
					for _, d := range k.dropped {
						d.dropped = nil
						k.copies = append(k.copies, d)
					}
					k.dropped = nil
				}
			}
		}, 0, crossed, "choose different connections"},
		"the marker goes before what the chosen copy lacks": {func(r *rules) {
			r.next = func(k *choice, c *streamCopy, b []byte) []byte {
				if c != k.chosen || !k.initiator || c.marked || !c.opened {
					return k.next(c, b)
				}
				c.marked = true
				b = append(append(b, kindMarker), k.out[c.sent:]...)
				c.sent = len(k.out)
				return b
			}
		}, 0, crossed, "which is the peer's"},
		"what two copies deliver is delivered twice": {func(r *rules) {
			r.receive = func(k *choice, c *streamCopy, b []byte) bool {
				known, data := len(k.in), c.state == atData
				shown := k.receive(c, b)
				if data && known == len(k.in) {
					k.in = append(k.in, b...)
				}
				return shown
			}
		}, 0, crossed, `reads "aa"`},
		"what is written after the choice overtakes what was kept": {func(r *rules) {
			r.flushed = func(k *choice, c *streamCopy) bool { return c == k.chosen && (c.marked || !k.initiator) }
		}, 0, crossed, "the applications have read"},
		"a late copy lacks what was written before": {func(r *rules) {
			r.add = func(k *choice, c *streamCopy, accepted bool) {
				k.add(c, accepted)
				c.sent = len(k.out)
			}
		}, 0, crossed, "reads"},
		"the responder waits for the choice forever": {func(r *rules) {
			r.timeout = func(*choice) {}
		}, 1, crossed, "waits for what does not come"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model{kinds: []copyKind{crossed, tc.second}, writes: [2]int{2, 1}, faults: tc.faults, rules: theRules}
			if tc.faults > 0 {
				m.kinds = m.kinds[:1]
			}
			tc.change(&m.rules)
			states, _, wrong := m.explore()
			t.Logf("%d states: %s", states, wrong)
			if !strings.Contains(wrong, tc.want) || wrong == "" {
				t.Errorf("want %q", tc.want)
			}
		})
	}
}

// TestTimeout: a copy that has not shown a token in time is dropped.
func TestTimeout(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		initiator bool
		state     decoderState
		want      error
	}{
		"initiator, nothing came":   {true, atPreamble, ErrSilent},
		"initiator, the token came": {true, atStream, nil},
		"responder, nothing came":   {false, atPreamble, ErrSilent},
		"responder, the token came": {false, atKind, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k := choice{initiator: tc.initiator}
			c := new(streamCopy)
			k.add(c, false)
			c.state = tc.state
			if k.timeout(c); c.dropped != tc.want || k.err != nil {
				t.Errorf("dropped for %v, want %v; the stream ends with %v", c.dropped, tc.want, k.err)
			}
		})
	}
}
