package stun

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// egressTries is how often a round trip and a refusal are measured. The shortest round trip
	// counts, for a busy host notices some answers late. Of the refusals the median counts: a filter
	// on the way refuses each at once, and a busy host may notice one of three late.
	egressTries = 3

	// egressTimeout bounds a connect: a lost SYN is repeated after 1 s.
	egressTimeout = 1500 * time.Millisecond

	// minEgressRTT is the round trip below which a refusal by the host's own router, which takes up
	// to 2 ms over a radio link, cannot be told from one by the destination.
	minEgressRTT = 4 * time.Millisecond

	// minDynamic is the lowest port at which hardly any service listens (RFC 6335, section 6), and
	// in the middle of those that NATs give out.
	minDynamic = 49152
)

// Egress finds out whether the network in front of this host lets TCP connections out to any port,
// and not only to a few such as 443. It takes an endpoint that accepts connections: a STUN server's,
// or a relay's.
//
// Egress connects there, to measure the round trip, and to three high ports of the same address. An
// answer after a round trip is a Yes. If two of three refusals come within a quarter of a round trip,
// they were made on the way, unless the endpoint lies: Egress returns No, and an error that describes
// them. The result is Unknown, with an error that says why, if the other host is too near or cannot
// be reached. It is Unknown as well if there is no answer, since that host may drop SYNs itself. The
// error then matches [os.ErrDeadlineExceeded].
func (d Discoverer) Egress(ctx context.Context, open netip.AddrPort) (Fact, error) {
	port, err := tcpport.Open(nil, d.Control)
	if err != nil {
		return Unknown, err
	}
	defer port.Close()
	rtt, err := connectOnce(ctx, port, open)
	if err != nil {
		return Unknown, err
	}
	var late [egressTries]time.Duration
	var refusal error
	for i := range late {
		to := netip.AddrPortFrom(open.Addr(), uint16(minDynamic+rand.IntN(1<<16-minDynamic)))
		begun := time.Now()
		_, err := connectOnce(ctx, port, to)
		late[i], refusal = time.Since(begun), err
		var netErr net.Error
		switch {
		case err == nil:
			return Yes, nil
		case errors.Is(err, tcpport.ErrShort), ctx.Err() != nil:
			return Unknown, err
		case errors.As(err, &netErr) && netErr.Timeout():
			return Unknown, fmt.Errorf("no answer from %s: %w", to, os.ErrDeadlineExceeded)
		}
	}
	slices.Sort(late[:])
	took := late[egressTries/2]
	for range egressTries - 1 {
		if egressOf(rtt, took) != No {
			break
		}
		again, err := connectOnce(ctx, port, open)
		if err != nil {
			return Unknown, err
		}
		rtt = min(rtt, again)
	}
	switch fact := egressOf(rtt, took); fact {
	case Unknown:
		return fact, fmt.Errorf("%s is too near to tell who refuses a connection", open.Addr())
	case No:
		if op := (*net.OpError)(nil); errors.As(refusal, &op) {
			refusal = op.Err // the addresses say nothing
		}
		return fact, fmt.Errorf("connects to %s fail within %v, and it is %v away: %w",
			open.Addr(), took.Round(10*time.Microsecond), rtt.Round(100*time.Microsecond), refusal)
	default:
		return fact, nil
	}
}

// egressOf judges by the shortest round trip to a host, and by how late a connect to it was refused.
// On a busy path or host the round trips may be longer than the refusals' by chance, hence a quarter:
// a wrong Yes does less harm than a wrong No.
func egressOf(rtt, refusal time.Duration) Fact {
	if rtt < minEgressRTT {
		return Unknown
	}
	return Known(refusal >= rtt/4)
}

// connectOnce connects, and returns the round trip.
func connectOnce(ctx context.Context, port *tcpport.Port, to netip.AddrPort) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, egressTimeout)
	defer cancel()
	begun := time.Now()
	c, err := port.Connect(ctx, to)
	if err != nil {
		return 0, err
	}
	defer tcpport.Reset(c)
	if rtt := tcpport.RTT(c); rtt > 0 {
		return rtt, nil
	}
	return time.Since(begun), nil
}
