package natlab

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// A flow is what a mapping is for: an internal endpoint, and the part of the remote one that the
// mapping behaviour distinguishes.
type flow struct {
	proto    uint8
	internal netip.AddrPort
	remote   netip.AddrPort
}

// A port is an external port with its address. A firewall has the addresses of all hosts.
type port struct {
	proto    uint8
	endpoint netip.AddrPort
}

// A tuple identifies a session on the inside.
type tuple struct {
	proto            uint8
	internal, remote netip.AddrPort
}

// An ownSession is one of the NAT itself, over TCP.
type ownSession struct{ local, remote netip.AddrPort }

// A mapping binds an external port to a flow. It lasts as long as one of its sessions, or for good
// if it is static.
type mapping struct {
	flow     flow
	port     port
	static   bool
	sessions map[netip.AddrPort]*session // by remote endpoint
}

func (n *NAT) flowOf(proto uint8, internal, remote netip.AddrPort) flow {
	f := flow{proto: proto, internal: internal}
	switch n.behaviour.Mapping {
	case ADM:
		f.remote = netip.AddrPortFrom(remote.Addr(), 0)
	case APDM:
		f.remote = remote
	}
	return f
}

// lookup returns the mapping for a packet from inside, or nil. It is the mapping of the packet's
// session, or else that of its flow. The session may belong to a mapping for another flow, whose
// filter has admitted the remote endpoint.
func (n *NAT) lookup(now time.Time, t tuple) *mapping {
	if m := n.byTuple[t]; m.session(now, t.remote) != nil {
		return m
	}
	m := n.byFlow[n.flowOf(t.proto, t.internal, t.remote)]
	if m != nil && !m.live(now) {
		n.remove(m)
		return nil
	}
	return m
}

// mappings returns the mappings with an external port, the oldest first.
func (n *NAT) mappings(now time.Time, p port) []*mapping {
	for _, m := range slices.Clone(n.byPort[p]) {
		if !m.live(now) {
			n.remove(m)
		}
	}
	return n.byPort[p]
}

func (n *NAT) addMapping(f flow, external netip.AddrPort) *mapping {
	m := &mapping{flow: f, port: port{f.proto, external}, sessions: make(map[netip.AddrPort]*session)}
	n.index(m)
	return m
}

func (n *NAT) index(m *mapping) {
	n.byFlow[m.flow] = m
	n.byPort[m.port] = append(n.byPort[m.port], m)
}

// remove removes a mapping. Of a static one it removes only the sessions.
func (n *NAT) remove(m *mapping) {
	if n.byFlow[m.flow] != m {
		return // already
	}
	for remote := range m.sessions {
		n.removeSession(m, remote)
	}
	if m.static {
		return
	}
	delete(n.byFlow, m.flow)
	n.byPort[m.port] = slices.DeleteFunc(n.byPort[m.port], func(other *mapping) bool { return other == m })
	if len(n.byPort[m.port]) == 0 {
		delete(n.byPort, m.port)
	}
}

// addSession adds a session. It ends a session of another mapping between the same two endpoints,
// since their packets leave by one mapping.
func (n *NAT) addSession(m *mapping, remote netip.AddrPort) *session {
	t := tuple{m.flow.proto, m.flow.internal, remote}
	if other := n.byTuple[t]; other != nil {
		delete(other.sessions, remote)
	}
	n.byTuple[t] = m
	s := &session{}
	m.sessions[remote] = s
	return s
}

func (n *NAT) removeSession(m *mapping, remote netip.AddrPort) {
	delete(m.sessions, remote)
	delete(n.byTuple, tuple{m.flow.proto, m.flow.internal, remote})
}

// reserveSession reports whether there is room for one more session. From time to time it removes
// expired ones.
func (n *NAT) reserveSession(now time.Time) bool {
	if full := len(n.byTuple) >= maxSessions; full || now.After(n.sweepAt) {
		n.sweep(now)
		n.sweepAt = now.Add(sweepInterval)
	}
	return len(n.byTuple) < maxSessions
}

func (n *NAT) sweep(now time.Time) {
	for _, m := range n.byFlow {
		for remote, s := range m.sessions {
			if !s.live(now) {
				n.removeSession(m, remote)
			}
		}
		if len(m.sessions) == 0 {
			n.remove(m)
		}
	}
	maps.DeleteFunc(n.own, func(_ ownSession, end time.Time) bool { return !now.Before(end) })
}

// session returns the live session with a remote endpoint. It returns nil if there is none, or m is
// nil.
func (m *mapping) session(now time.Time, remote netip.AddrPort) *session {
	if m == nil {
		return nil
	}
	s := m.sessions[remote]
	if s == nil || !s.live(now) {
		return nil
	}
	return s
}

func (m *mapping) live(now time.Time) bool {
	if m.static {
		return true
	}
	for _, s := range m.sessions {
		if s.live(now) {
			return true
		}
	}
	return false
}

// lets reports whether the filter admits a remote address from an endpoint without a session.
func (m *mapping) lets(now time.Time, remote netip.Addr, f Filtering) bool {
	switch {
	case m.static || f == EIF:
		return true
	case f == ADF:
		for known, s := range m.sessions {
			if known.Addr() == remote && s.live(now) {
				return true
			}
		}
	}
	return false
}
