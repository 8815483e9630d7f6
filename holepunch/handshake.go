package holepunch

import (
	"errors"
	"fmt"
	"net"
)

// check returns what is wrong with h, or nil.
func (h *Handshake) check() error {
	switch {
	case h.Run == nil:
		return errors.New("handshake without Run")
	case len(h.Protocols) == 0 || len(h.Protocols) > maxProtocols:
		return fmt.Errorf("handshake has %d protocols, want 1 to %d", len(h.Protocols), maxProtocols)
	}
	for _, p := range h.Protocols {
		if len(p) == 0 || len(p) > maxProtocol {
			return fmt.Errorf("handshake protocol %q has %d bytes, want 1 to %d", p, len(p), maxProtocol)
		}
	}
	return nil
}

// A handshake is a call of Handshake.Run.
type handshake struct {
	conn *flightConn
	over chan struct{} // closed when Run has returned
}

func (at *attempt) startHandshake(protocol string, flight []byte) {
	at.runHandshake(protocol, flight, false)
}

func (at *attempt) continueHandshake(flight []byte) { at.handshake.conn.open(flight) }

// errOtherProtocol ends a handshake that the responder does not do.
var errOtherProtocol = errors.New("the responder has chosen another handshake")

func (at *attempt) restartHandshake(protocol string) { at.runHandshake(protocol, nil, true) }

// runHandshake calls Run, when that of another protocol has returned, if there is one. With
// streamAlone, no flight travels in the signalling.
func (at *attempt) runHandshake(protocol string, flight []byte, streamAlone bool) {
	before := at.handshake
	if before != nil {
		before.conn.fail(errOtherProtocol)
	}
	var conn net.Conn = at.stream
	var err error
	if wrap := at.opts.Handshake.Wrap; wrap != nil {
		conn, err = wrap(conn)
	}
	h := &handshake{over: make(chan struct{})}
	event := func(f func()) {
		at.post(func() {
			if at.handshake == h {
				f()
			}
		})
	}
	h.conn = newFlightConn(conn, flight, func(own []byte) { event(func() { at.session.onFlight(own) }) })
	at.handshake = h
	if streamAlone {
		h.conn.open(nil) // before Run writes
	}
	at.helpers.Go(func() {
		if before != nil {
			<-before.over
		}
		if err == nil {
			err = at.opts.Handshake.Run(at.ctx, h.conn, protocol, at.session.initiator)
		}
		// Run may close the connection before it returns why, and may not return why it was closed.
		if ended := at.stream.Err(); ended != nil && (err == nil || !errors.Is(ended, net.ErrClosed)) {
			err = ended
		}
		if err == nil {
			h.conn.endFlight()
		}
		close(h.over)
		event(func() { at.session.onSecured(err) })
	})
}
