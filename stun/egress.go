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
	// counts, because a busy host notices some answers late. The longest refusal counts, because a
	// filter on the way refuses each at once. If one is late and another was early, they are
	// measured again.
	egressTries = 3

	// egressTimeout bounds a connect: a lost SYN is repeated after 1 s.
	egressTimeout = 1500 * time.Millisecond

	// minEgressRTT is the round trip below which a refusal by the host's own router, which takes up
	// to 2 ms over a radio link, cannot be distinguished from one by the destination.
	minEgressRTT = 4 * time.Millisecond

	// minDynamic is the lowest port at which hardly any service listens (RFC 6335, section 6), and
	// in the middle of those that NATs give out.
	minDynamic = 49152
)

// Egress finds out whether the network in front of this host lets TCP connections out to any port,
// and not only to a few such as 443. It takes an endpoint that accepts connections: a STUN
// server's, or a relay's.
//
// Egress connects there, to measure the round trip, and to three high ports of the same address. An
// answer after a round trip is a Yes. Refusals that all come within a quarter of a round trip were
// made on the way, unless the endpoint lies: Egress returns No, and an error that describes them.
// The result is Unknown, with an error that says why, if the other host is too near or cannot be
// reached. It is Unknown as well if there is no answer, since that host may drop SYNs itself. The
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
	longest, refusal, err := longestRefusal(ctx, port, open.Addr(), rtt)
	switch {
	case err == errAnswered:
		return Yes, nil
	case err != nil:
		return Unknown, err
	}
	for range egressTries - 1 {
		if egressOf(rtt, longest) != No {
			break
		}
		again, err := connectOnce(ctx, port, open)
		if err != nil {
			return Unknown, err
		}
		rtt = min(rtt, again)
	}
	switch fact := egressOf(rtt, longest); fact {
	case Unknown:
		return fact, fmt.Errorf("%s is too near to tell who refuses a connection", open.Addr())
	case No:
		if op := (*net.OpError)(nil); errors.As(refusal, &op) {
			refusal = op.Err // the addresses say nothing
		}
		return fact, fmt.Errorf("connects to %s fail within %v, and it is %v away: %w",
			open.Addr(), longest.Round(10*time.Microsecond), rtt.Round(100*time.Microsecond), refusal)
	default:
		return fact, nil
	}
}

// errAnswered is the error of a connect that was accepted.
var errAnswered = errors.New("answered")

// longestRefusal connects to high ports of a host, and returns how long the latest refusal took,
// and a refusal.
func longestRefusal(ctx context.Context, port *tcpport.Port, host netip.Addr, rtt time.Duration) (took time.Duration, refusal, err error) {
	var to [egressTries]netip.AddrPort
	var all [egressTries]time.Duration
	for i := range to {
		to[i] = netip.AddrPortFrom(host, uint16(minDynamic+rand.IntN(1<<16-minDynamic)))
		if all[i], refusal, err = refusedOnce(ctx, port, to[i]); err != nil {
			return 0, nil, err
		}
	}
	if egressOf(rtt, slices.Min(all[:])) != No {
		return slices.Max(all[:]), refusal, nil
	}
	for i := range to {
		for n := 1; n < egressTries && egressOf(rtt, all[i]) != No; n++ {
			again, _, err := refusedOnce(ctx, port, to[i])
			if err != nil {
				return 0, nil, err
			}
			all[i] = min(all[i], again)
		}
	}
	return slices.Max(all[:]), refusal, nil
}

// refusedOnce connects, and returns how long it took until the connect was refused, and the
// refusal. If it was not refused, it returns another error.
func refusedOnce(ctx context.Context, port *tcpport.Port, to netip.AddrPort) (took time.Duration, refusal, err error) {
	begun := time.Now()
	_, refusal = connectOnce(ctx, port, to)
	took = time.Since(begun)
	var netErr net.Error
	switch {
	case refusal == nil:
		return 0, nil, errAnswered
	case errors.Is(refusal, tcpport.ErrShort), ctx.Err() != nil:
		return 0, nil, refusal
	case errors.As(refusal, &netErr) && netErr.Timeout():
		return 0, nil, fmt.Errorf("no answer from %s: %w", to, os.ErrDeadlineExceeded)
	default:
		return took, refusal, nil
	}
}

// egressOf judges by the shortest round trip to a host, and by how late a connect to it was
// refused. On a busy path or host the round trips may be longer than the refusals' by chance, hence
// a quarter: a wrong Yes does less harm than a wrong No.
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
