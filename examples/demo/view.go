package main

import (
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
	"github.com/simopen/go-libp2p-simopen/examples/internal/show"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A view prints what happens.
type view struct {
	out     *console.Console
	network *network
	peers   show.Dialler
	begin   time.Time // the relayed connection was up
}

// newView returns a view, and prints the network.
func newView(out *console.Console, opts options, n *network) *view {
	v := &view{
		out:     out,
		network: n,
		peers:   show.Dialler{Out: out, Self: scene.AliceName, Other: scene.BobName, Bytes: opts.bytes},
	}
	if n.Scene != nil {
		n.Describe(out)
	}
	return v
}

// event prints one of alice's events.
func (v *view) event(e pair.Event) {
	if e.Kind == pair.Direct {
		bob := addrPort(e.Addr.String())
		v.timeline("the pair of ports that won", func(s segment) bool { return s.src == bob || s.dst == bob })
	}
	v.peers.Event(e)
	switch {
	case e.Kind == pair.Relayed:
		v.begin = e.Time
	case e.Kind == pair.Punched && e.Err != "":
		v.timeline("all pairs of ports", func(segment) bool { return true })
	}
}

// timeline prints the selected SYNs, as the taps at both NATs saw them.
func (v *view) timeline(of string, shown func(segment) bool) {
	if v.network.segments == nil {
		return
	}
	segments := slices.DeleteFunc(v.network.segments.all(), func(s segment) bool { return !shown(s) })
	v.out.Line("", "SYNs and RSTs of %s; ms since the relayed connection was up:", of)
	v.out.Line("", "%8s   %-*s%s", "ms", columnWidth, place(v.network.Alice), place(v.network.Bob))
	for _, row := range timeline(segments, v.begin) {
		v.out.Line("", "%s", row)
	}
}

func place(h *natlab.Host) string {
	if h.Site().NAT().Mapping == natlab.Public {
		return h.Name()
	}
	return h.Name() + "'s NAT"
}

// end prints the result. What opened the connection was captured, or not.
func (v *view) end(r pair.Report, captured bool) {
	v.peers.Clear()
	switch {
	case r.Simultaneous:
		v.out.Line("open", "simultaneous: SYNs crossed, and both ends answered with SYN+ACK")
	case r.Direct && captured:
		v.out.Line("open", "one-sided: one end's SYN got in, the other's did not")
	case r.Direct:
		v.out.Line("open", "one-sided: one end accepted the other's SYN")
	}
}
