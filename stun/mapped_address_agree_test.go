package stun_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestAgree(t *testing.T) {
	for name, tc := range map[string]struct {
		seen    []stun.Observed
		want    []string
		dissent []string // observers
	}{
		"nobody":            {nil, nil, nil},
		"one":               {seen("a", "46.0.2.1:40000"), []string{"46.0.2.1:40000"}, nil},
		"two agree":         {seen("a", "46.0.2.1:40000", "b", "46.0.2.1:40000"), []string{"46.0.2.1:40000"}, nil},
		"two, other ports":  {seen("a", "46.0.2.1:40001", "b", "46.0.2.1:40000"), []string{"46.0.2.1:40000", "46.0.2.1:40001"}, nil},
		"two disagree":      {seen("a", "46.0.2.1:40000", "b", "46.0.9.9:40000"), []string{"46.0.2.1:40000", "46.0.9.9:40000"}, []string{"a", "b"}},
		"a liar of three":   {seen("a", "46.0.2.1:40000", "b", "46.0.9.9:40000", "c", "46.0.2.1:40000"), []string{"46.0.2.1:40000"}, []string{"b"}},
		"three, each alone": {seen("a", "46.0.2.1:1", "b", "46.0.3.1:1", "c", "46.0.1.1:1"), []string{"46.0.1.1:1", "46.0.2.1:1", "46.0.3.1:1"}, []string{"c", "a", "b"}},
		"ports do not make a majority": {
			seen("a", "46.0.2.1:1", "b", "46.0.2.1:2", "c", "46.0.9.9:3", "d", "46.0.2.1:4"),
			[]string{"46.0.2.1:1", "46.0.2.1:2", "46.0.2.1:4"}, []string{"c"},
		},
		"half is no majority": {
			seen("a", "46.0.2.1:1", "b", "46.0.2.1:1", "c", "46.0.9.9:1", "d", "46.0.9.8:1"),
			[]string{"46.0.2.1:1", "46.0.9.8:1", "46.0.9.9:1"}, []string{"a", "b", "d", "c"},
		},
		"who says it twice has one vote": {
			seen("liar", "46.0.9.9:1", "liar", "46.0.9.9:1", "liar", "46.0.9.9:2", "a", "46.0.2.1:1", "b", "46.0.2.1:1"),
			[]string{"46.0.2.1:1"}, []string{"liar", "liar"},
		},
		"families apart": {
			seen("a", "46.0.2.1:1", "a", "[2a00::1]:1", "b", "[2a00::1]:1", "c", "[2a00::9]:1"),
			[]string{"46.0.2.1:1", "[2a00::1]:1"}, []string{"c"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 { // in any order
				rand.Shuffle(len(tc.seen), func(i, j int) { tc.seen[i], tc.seen[j] = tc.seen[j], tc.seen[i] })
				agreed, dissent := stun.Agree(tc.seen)
				var got []string
				for _, a := range agreed {
					got = append(got, a.String())
				}
				if !slices.Equal(got, tc.want) {
					t.Errorf("agreed on %v, want %v", got, tc.want)
				}
				var who []string
				for _, err := range dissent {
					var d *stun.DissentError
					if !errors.As(err, &d) || !errors.Is(err, stun.ErrDissent) {
						t.Fatalf("%v is no dissent", err)
					}
					who = append(who, d.Observer)
				}
				if !slices.Equal(who, tc.dissent) {
					t.Errorf("%v dissent, want %v", who, tc.dissent)
				}
			}
		})
	}
}

// The error names the server, its address, and the address that the others report.
func TestDissentError(t *testing.T) {
	_, dissent := stun.Agree(seen("a", "46.0.2.1:1", "b", "46.0.2.1:1", "relay c", "46.0.9.9:1"))
	if len(dissent) != 1 {
		t.Fatal(dissent)
	}
	want := "observers disagree about the address: relay c says 46.0.9.9:1, most say 46.0.2.1"
	if got := dissent[0].Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// seen takes an observer and what it says in turns.
func seen(s ...string) (os []stun.Observed) {
	for p := range slices.Chunk(s, 2) {
		os = append(os, stun.Observed{Observer: p[0], Mapped: netip.MustParseAddrPort(p[1])})
	}
	return os
}
