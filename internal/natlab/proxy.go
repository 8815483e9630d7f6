package natlab

import "net/netip"

// A Proxy is a transparent TCP proxy between a site's hosts and its NAT, as companies and hotels
// have them. It accepts the hosts' connections itself, in place of their destinations.
type Proxy uint8

const (
	NoProxy     Proxy = iota
	ProxySilent       // accepts and says nothing
	ProxyClose        // accepts and closes at once
	ProxyNoise        // accepts and sends unrequested data
)

// proxyMinPort is the lowest destination port that a proxy accepts. In a lab, servers listen below
// it. The kernel's ephemeral ports, from which hosts punch, begin at 32768.
const proxyMinPort = 10000

// proxySequence is the first sequence number of the proxy's side of every connection. It may be
// constant because no packet is late within a site.
const proxySequence = 1 << 30

// proxyNoise is the answer of an HTTP proxy to other protocols.
const proxyNoise = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// A proxy is the state of a Proxy.
type proxy struct {
	kind  Proxy
	conns map[proxyTuple]*proxyConn
}

// A proxyTuple identifies a connection to the proxy: by the host, and the peer that it meant to
// reach.
type proxyTuple struct{ host, peer netip.AddrPort }

// A proxyConn is the proxy's side of a connection.
type proxyConn struct {
	next  uint32 // the sequence number after all that was sent
	spoke bool   // the connection is up, and all was sent that is sent unasked
	fin   bool   // sent
}

func newProxy(kind Proxy) *proxy {
	if kind == NoProxy {
		return nil
	}
	return &proxy{kind: kind, conns: make(map[proxyTuple]*proxyConn)}
}

// take handles a packet of a host if it belongs to a connection of the proxy, and returns the
// answers to it. A nil proxy handles none.
func (x *proxy) take(p Packet) (answers [][]byte, taken bool) {
	if x == nil || !p.TCP() {
		return nil, false
	}
	t := proxyTuple{p.Src(), p.Dst()}
	if p.bareSYN() && t.peer.Port() >= proxyMinPort {
		x.conns[t] = &proxyConn{next: proxySequence + 1}
		return [][]byte{segment(t.peer, t.host, SYN|ACK, proxySequence, p.nextSequence(), "")}, true
	}
	c := x.conns[t]
	if c == nil {
		return nil, false // of a connection that a peer has opened, say
	}
	if p.Flags()&RST != 0 {
		delete(x.conns, t)
		return nil, true
	}
	send := func(flags uint8, payload string) {
		answers = append(answers, segment(t.peer, t.host, flags|ACK, c.next, p.nextSequence(), payload))
		c.next += uint32(len(payload))
		if flags&FIN != 0 {
			c.next++
			c.fin = true
		}
	}
	switch closing := p.Flags()&FIN != 0; {
	case !c.fin && (closing || x.kind == ProxyClose):
		send(FIN, "")
	case !c.spoke && x.kind == ProxyNoise:
		send(PSH, proxyNoise)
	case closing || len(p.payload()) > 0:
		send(0, "")
	}
	c.spoke = true
	return answers, true
}
