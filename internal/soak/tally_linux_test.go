package soak

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// A tally is all that was reported. Rounds are attributed to faults at the end.
type tally struct {
	mu      sync.Mutex
	rounds  []told
	faults  []fault
	punches map[bool]map[string]int // by whether the initiator reported it, and by reason
	changed chan struct{}           // closed at the next round
}

// told is a reported round, with the names of the stations.
type told struct {
	*round
	from, to, relay string
}

func newTally() *tally {
	return &tally{
		punches: map[bool]map[string]int{false: {}, true: {}},
		changed: make(chan struct{}),
	}
}

func (c *tally) punch(p *punch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.punches[p.Initiator][words(p.Err == "", p.Reason, p.Err)]++
}

func (c *tally) round(from, to, relay string, r *round) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Ended = time.Now()
	r.Began = r.Ended.Add(-r.Took)
	c.rounds = append(c.rounds, told{r, from, to, relay})
	close(c.changed)
	c.changed = make(chan struct{})
}

// begin takes note of a fault, and end of its end.
func (c *tally) begin(f fault) (end func() time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := len(c.faults)
	c.faults = append(c.faults, f)
	return func() time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.faults[i].over = time.Now()
		return c.faults[i].over
	}
}

// reports returns the rounds so far, and what is closed at the next.
func (c *tally) reports() ([]told, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.rounds), c.changed
}

// concerning returns the faults that may have affected the outcome of a round.
func (c *tally) concerning(r told) (fs []fault) {
	for _, f := range c.faults {
		struck := f.on == r.from || f.on == r.to || f.on == r.relay || f.on == "stun server"
		if struck && f.began.Before(r.Ended) && f.over.Add(f.aftermath).After(r.Began) {
			fs = append(fs, f)
		}
	}
	return fs
}

// wrong are results that nothing explains: data that came otherwise than it was sent, and
// connections that ended where no fault that cuts any had struck.
func (c *tally) wrong() (texts []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	say := func(format string, args ...any) { texts = append(texts, fmt.Sprintf(format, args...)) }
	for _, r := range c.rounds {
		excused := slices.ContainsFunc(c.concerning(r), func(f fault) bool { return f.cuts })
		at := fmt.Sprintf("%s, %s to %s through %s", r.Began.Format("15:04:05.000"), r.from, r.to, r.relay)
		for _, t := range r.Transfers {
			if t.Corrupt != "" {
				say("%s: data over the %s connection is not what was sent: %s", at, t.Over, t.Corrupt)
			}
			if t.Cut != "" && !excused && !(t.Over == "direct" && forgetful(r)) {
				say("%s: the %s connection was cut, and no fault explains it: %s", at, t.Over, t.Cut)
			}
		}
		if r.RelayedErr != "" && !excused {
			last := r.Tries[len(r.Tries)-1]
			say("%s: the relayed connection was lost by a punch (%s): %s", at, words(last.Direct, last.Reason, last.Err), r.RelayedErr)
		}
		for _, t := range r.Tries {
			if !t.Direct && t.Reason == "" {
				say("%s: no direct connection, and no reason: %s", at, t.Err)
			}
		}
	}
	for _, side := range c.punches {
		for reason, n := range side {
			if strings.HasPrefix(reason, noReason) {
				say("%d × an attempt that ended without a reason: %s", n, reason)
			}
		}
	}
	return texts
}

// forgetful reports whether a round goes through a NAT that forgets a port with all its connections
// when a RST passes. A punch of the host with another peer resets what it does not need, from the
// same port, and until the host's end sends something, 15 s later at most, nothing gets in: yamux,
// which waits 10 s for a write, may give the connection up.
func forgetful(r told) bool { return strings.Contains(r.from+r.to, "rstkills") }

// unexplained are the punches that failed where none should, which happens: a port is predicted
// wrongly where others punch at the same time.
func (c *tally) unexplained(possible func(from, to string) bool) (texts []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.rounds {
		if len(c.concerning(r)) > 0 || !possible(r.from, r.to) {
			continue
		}
		for _, t := range r.Tries {
			if !t.Direct {
				texts = append(texts, fmt.Sprintf("%s, %s to %s: no fault, and after %v %s", r.Began.Format("15:04:05.000"), r.from, r.to, t.Took, t.Err))
			}
		}
		if r.Unrelayed != "" {
			texts = append(texts, fmt.Sprintf("%s, %s to %s through %s: no fault, and no relayed connection after %v: %s",
				r.Began.Format("15:04:05.000"), r.from, r.to, r.relay, r.Ended.Sub(r.Began), r.Unrelayed))
		}
	}
	return texts
}

// A row sums rounds up.
type row struct {
	faults    int
	unrelayed int
	tries     int
	direct    []time.Duration
	failed    map[string]int
	data      map[string]*[3]int64 // by connection: bytes sent and arrived intact, connections cut
}

func newRow() *row {
	return &row{failed: map[string]int{}, data: map[string]*[3]int64{"direct": {}, "relayed": {}}}
}

func (w *row) add(r told) {
	if r.Unrelayed != "" {
		w.unrelayed++
	}
	for _, t := range r.Tries {
		w.tries++
		if t.Direct {
			w.direct = append(w.direct, t.Took)
		} else {
			w.failed[words(false, t.Reason, t.Err)]++
		}
	}
	for _, t := range r.Transfers {
		d := w.data[t.Over]
		d[0] += t.Sent
		d[1] += t.Intact
		if t.Cut != "" {
			d[2]++
		}
	}
}

// rows are those of each kind of fault, before them that of all rounds and that of rounds without a
// fault, by the heading. A round that several faults concern counts in the row of each.
func (c *tally) rows() (headings []string, rows map[string]*row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	const all, none = "all", "no fault"
	rows = map[string]*row{all: newRow(), none: newRow()}
	headings = []string{all, none}
	for _, k := range kinds {
		headings = append(headings, k.name)
		rows[k.name] = newRow()
	}
	for _, f := range c.faults {
		rows[all].faults++
		rows[f.name].faults++
	}
	for _, r := range c.rounds {
		rows[all].add(r)
		in := map[string]bool{}
		for _, f := range c.concerning(r) {
			in[f.name] = true
		}
		if len(in) == 0 {
			in[none] = true
		}
		for name := range in {
			rows[name].add(r)
		}
	}
	return headings, rows
}

// table is Markdown.
func (c *tally) table() string {
	var b strings.Builder
	headings, rows := c.rows()
	b.WriteString("| fault | struck | not relayed | punches | direct | median | failed, and why |\n|---|--:|--:|--:|--:|--:|---|\n")
	for _, h := range headings {
		w := rows[h]
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s | %s |\n", h, w.faults, w.unrelayed, w.tries, len(w.direct), median(w.direct), counts(w.failed))
	}
	b.WriteString("\n| data over | sent | came back intact | connections cut |\n|---|--:|--:|--:|\n")
	for _, over := range []string{"direct", "relayed"} {
		d := rows[headings[0]].data[over]
		fmt.Fprintf(&b, "| %s connections | %d | %d | %d |\n", over, d[0], d[1], d[2])
	}
	b.WriteString("\n| EvtPunchFinished | at the initiator | at the responder |\n|---|--:|--:|\n")
	c.mu.Lock()
	defer c.mu.Unlock()
	var reasons []string
	for _, side := range c.punches {
		for r := range side {
			if !slices.Contains(reasons, r) {
				reasons = append(reasons, r)
			}
		}
	}
	slices.Sort(reasons)
	for _, r := range reasons {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", r, c.punches[true][r], c.punches[false][r])
	}
	return b.String()
}

func median(ds []time.Duration) string {
	if len(ds) == 0 {
		return ""
	}
	ds = slices.Sorted(slices.Values(ds))
	return fmt.Sprintf("%d ms", ds[len(ds)/2].Milliseconds())
}

func counts(of map[string]int) string {
	var texts []string
	for reason := range of {
		texts = append(texts, reason)
	}
	slices.SortFunc(texts, func(a, b string) int { return cmp.Or(of[b]-of[a], strings.Compare(a, b)) })
	for i, t := range texts {
		texts[i] = fmt.Sprintf("%d × %s", of[t], t)
	}
	return strings.Join(texts, "; ")
}

var particulars = regexp.MustCompile(`12D3KooW\w+|\[?\d+\.\d+\.\d+\.\d+(:\d+)?\]?|\d+ connects|port \d+|/ip4\S+`)

const noReason = "no reason: "

// words is a failure without the names and numbers of the one case.
func words(direct bool, reason holepunch.Reason, err string) string {
	switch {
	case direct:
		return "direct"
	case reason == holepunch.ErrPortFiltered:
		return "impossible" // in more words
	case reason != "":
		return reason.Error()
	}
	return noReason + particulars.ReplaceAllString(err, "…")
}
