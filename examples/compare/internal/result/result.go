// Package result is what a comparison came to: its runs, and the figures drawn from them.
package result

// An Impl is what made a connection direct, or tried to.
type Impl string

const (
	Simopen   Impl = "simopen"
	DCUtR     Impl = "dcutr"
	DCUtRQUIC Impl = "dcutr-quic"
)

// A Run is one attempt of one implementation. It is a line of the comparison's JSON.
type Run struct {
	Scenario string  `json:"scenario"`         // "matrix", or the name of one
	A        string  `json:"a"`                // the dialler's NAT, as natlab.ParseBehaviour reads it
	B        string  `json:"b"`                // the listener's
	Impl     Impl    `json:"impl"`             //
	Run      int     `json:"run"`              // counted from 1, for each implementation and pair
	OK       bool    `json:"ok"`               // the connection became direct
	Millis   float64 `json:"ms"`               // from the relayed connection to the direct one at the dialler, or until it was given up
	Reason   string  `json:"reason,omitempty"` // why it did not become direct

	// ListenerMillis is from the same relayed connection to the direct one at the listener; 0 if
	// that was not seen.
	ListenerMillis float64 `json:"listener_ms,omitempty"`
}

// A Summary is the last line of the comparison's JSON. Ratios are simopen over another
// implementation. A ratio is nil if it was not measured, if there are too few runs for it, or if
// there is none because half of them never became direct.
type Summary struct {
	Verdict string `json:"verdict"` // in one sentence, against DCUtR over TCP

	CleanRatio     *float64   `json:"clean_ratio"`      // of medians: the scenario "clean", DCUtR over TCP
	QUICCleanRatio *float64   `json:"quic_clean_ratio"` // the same, DCUtR over QUIC
	RSTAsymRatio   *float64   `json:"rst_asym_ratio"`   // of medians: RST NATs and an asymmetric relay path
	Loss5P50Ratio  *float64   `json:"loss5_p50_ratio"`  // 5 % loss a site
	Loss5P90Ratio  *float64   `json:"loss5_p90_ratio"`  //
	Runs           Runs       `json:"runs"`             // behind each of these
	Success        Success    `json:"success"`          // of the matrix
	Population     Population `json:"population"`       // the same, weighted by how often each NAT is met
}

// Runs are how many runs of each of the two implementations a ratio is drawn from.
type Runs struct {
	Clean     int `json:"clean"`
	QUICClean int `json:"quic_clean"`
	RSTAsym   int `json:"rst_asym"`
	Loss5     int `json:"loss5"`
}

// Success counts the pairs of the matrix that became direct in every run, of those that can work at
// all.
type Success struct {
	Punchable int `json:"punchable"` // pairs that can work, and were run
	Simopen   int `json:"simopen"`
	DCUtR     int `json:"dcutr"`
	Runs      int `json:"runs"` // of each pair and implementation; the fewest
}

// Population is the share of pairs, 0 to 1, that become direct. It is nil unless the whole matrix
// was run, for a few pairs are no sample of the NATs that peers meet.
type Population struct {
	Simopen *float64 `json:"simopen"`
	DCUtR   *float64 `json:"dcutr"`
}
