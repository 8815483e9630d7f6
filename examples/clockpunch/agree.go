package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// What follows the hellos, a byte each.
const (
	chosen = 'C' // the leader's: let it be this connection
	agreed = 'A' // the other's: it may be
	sealed = 'S' // the leader's: no other one will be chosen
)

const (
	// answerTime is how long the leader waits for the other's agreement
	// before it tries another connection: a SYN+ACK's and a segment's
	// retransmission on a path that loses a packet or two.
	answerTime = 2 * time.Second

	// sealTime is how long the other waits for the seal after it has agreed:
	// longer than the leader can take, so that it does not turn away from a
	// connection that the leader takes for good.
	sealTime = 2 * answerTime

	// partingTime is how long the leader waits for the other to hang up.
	partingTime = 5 * time.Second
)

var errNotChosen = errors.New("the peers agreed on another connection")

// An agreement is how two peers without roles settle on one connection, although several may come
// up, and one may be up at one end only. Each end says hello on all of them. The peer with the
// higher nonce leads: it chooses the first on which it reads a hello, and if that dies the next.
//
//	leader                    the other
//	  | hello ------><------ hello |    on each connection
//	  | chosen ------------------> |    on one at a time
//	  | <------------------ agreed |    on the one that lives
//	  | sealed ------------------> |
//
// After the choice both sides go on although the slot may be over: the slots of two clocks end at
// different times, and one end would be left with half an agreement.
type agreement struct {
	own    hello
	turn   chan struct{} // holds one element; the connection that takes it may be chosen
	sealed chan struct{} // closed when no other connection will be chosen
}

func newAgreement(text string) *agreement {
	a := &agreement{own: hello{text: text}, turn: make(chan struct{}, 1), sealed: make(chan struct{})}
	rand.Read(a.own.nonce[:]) // it never fails
	a.turn <- struct{}{}
	return a
}

// A partner is the peer at the other end of the connection that both agreed on.
type partner struct {
	conn     *net.TCPConn
	accepted bool // by the listener, not by a connect
	hello    hello
	rtt      time.Duration
	up       time.Time // when both had agreed, by the corrected clock
	led      bool      // this side chose
}

// Close hangs up without TIME-WAIT, so that the same two ports can meet again at
// once.
func (p *partner) Close() error {
	tcpport.Reset(p.conn)
	return nil
}

// part ends the connection. The leader waits for the other to hang up, since a reset would overtake
// what the leader said last.
func (p *partner) part(ctx context.Context) {
	if p.led {
		ctx, cancel := context.WithTimeout(ctx, partingTime)
		defer cancel()
		_ = during(ctx, p.conn, func() error { return expectByte(p.conn, 0) })
	}
	p.Close()
}

// settle finds out whether both peers want a connection. It succeeds on one of all, and does not
// close the others. Ctx is the program's, and slot ends with the slot.
func (a *agreement) settle(ctx, slot context.Context, c *net.TCPConn) (*partner, error) {
	p := &partner{conn: c}
	err := during(slot, c, func() (err error) {
		if _, err = c.Write(a.own.append(nil)); err == nil {
			p.hello, err = readHello(c)
		}
		return err
	})
	switch {
	case err != nil:
	case p.hello.nonce == a.own.nonce:
		err = errSelf
	case a.own.leads(p.hello):
		p.led = true
		err = a.lead(ctx, slot, p)
	default:
		err = follow(ctx, slot, p)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// lead chooses p's connection unless another one was chosen. While another one may be, it waits.
func (a *agreement) lead(ctx, slot context.Context, p *partner) error {
	select {
	case <-a.turn:
	case <-a.sealed:
		return errNotChosen
	case <-slot.Done():
		return context.Cause(slot)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err := during(ctx, p.conn, func() error {
		begun := time.Now()
		if err := writeByte(p.conn, chosen); err != nil {
			return err
		}
		if err := expectByte(p.conn, agreed); err != nil {
			return err
		}
		p.rtt = time.Since(begun)
		return writeByte(p.conn, sealed)
	})
	if err != nil {
		a.turn <- struct{}{}
		return err
	}
	close(a.sealed)
	return nil
}

// follow waits for the leader's choice.
func follow(ctx, slot context.Context, p *partner) error {
	if err := during(slot, p.conn, func() error { return expectByte(p.conn, chosen) }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sealTime)
	defer cancel()
	return during(ctx, p.conn, func() error {
		begun := time.Now()
		if err := writeByte(p.conn, agreed); err != nil {
			return err
		}
		err := expectByte(p.conn, sealed)
		p.rtt = time.Since(begun)
		return err
	})
}

// during talks on c until ctx ends.
func during(ctx context.Context, c *net.TCPConn, talk func() error) error {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	err := talk()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

func writeByte(w io.Writer, b byte) error {
	_, err := w.Write([]byte{b})
	return err
}

func expectByte(r io.Reader, want byte) error {
	var got [1]byte
	if _, err := io.ReadFull(r, got[:]); err != nil {
		return err
	}
	if got[0] != want {
		return fmt.Errorf("%w: %q instead of %q", errStranger, got[0], want)
	}
	return nil
}
