package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
	msmux "github.com/multiformats/go-multistream"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

const serviceName = "simopen"

// Dial gets a direct connection to p, as initiator. There must be a relayed
// connection to p; Dial causes no other. The swarm calls it, see [DirectConnect].
// The error is an [*Error].
func (t *Transport) Dial(ctx context.Context, raddr ma.Multiaddr, p peer.ID) (tpt.CapableConn, error) {
	t.ranked.dials(ctx)
	conn, err := t.dial(ctx, raddr, p)
	if err != nil {
		return nil, &Error{Op: "dial", Peer: p, Err: err}
	}
	return conn, nil
}

func (t *Transport) dial(ctx context.Context, raddr ma.Multiaddr, p peer.ID) (conn tpt.CapableConn, err error) {
	if !isSimopen(raddr) {
		return nil, fmt.Errorf("not a simopen address: %s", raddr)
	}
	ctx, h, end, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	relayed := relayedConn(h, p)
	if relayed == nil {
		return nil, ErrNoRelayedConn
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.timeout)
	defer cancel()
	r := t.started(p, network.DirOutbound)
	defer func() {
		switch {
		case conn != nil:
			r.finished(conn.RemoteMultiaddr(), nil)
		case errors.Is(err, errConnectedOtherwise):
			r.finished(nil, nil)
		default:
			if err = t.blame(h, err); errors.Is(err, context.DeadlineExceeded) && holepunch.ReasonOf(err) == "" {
				err = fmt.Errorf("%w while %s", err, t.step(p))
			}
			r.finished(nil, err)
		}
	}()
	if !t.wants(p) {
		return nil, ErrPeerFiltered
	}
	budget, err := t.limiter.Begin(string(p))
	if err != nil {
		return nil, err
	}
	defer budget.End()
	defer t.kept.protect(h, p, true)()
	port, err := t.dialPort()
	if err != nil {
		return nil, err
	}
	t.at(p, "asking who sees our address")
	// From here on the peer's SYN may come.
	own, err := t.takeStance(ctx, h, p, port)
	if err != nil {
		return nil, err
	}
	a := &attempt{report: r, h: h, port: port, budget: budget, own: own}
	defer a.release()
	t.at(p, "signalling over the relayed connection")
	if !t.mayOffer(p) {
		own.release() // or what comes from ports that nobody named would wait for an answer to us
		return nil, t.awaitInbound(ctx, h, p)
	}
	defer t.offered(p)

	told := t.foretell(ctx, own, budget)
	begin := time.Now()
	signal, theirs, err := offer(ctx, h, relayed, own.terms, target(raddr))
	var remoteErr *holepunch.RemoteError
	if errors.As(err, &remoteErr) && remoteErr.Status == pb.Status_GLARE {
		own.release()
		return nil, t.awaitInbound(ctx, h, p)
	}
	if err != nil {
		return nil, err
	}
	a.signal, a.relayedRTT = signal.Signal, time.Since(begin)
	// In this order, backwards: the listening ends, DONE is written, the
	// stream is closed.
	defer signal.stream.Close()
	defer func() {
		if errors.Is(err, errConnectedOtherwise) {
			signal.Done(nil, "")
			return
		}
		tell(signal.Signal, err)
	}()
	defer a.hear(ctx)()
	return a.initiate(ctx, theirs, told)
}

// A signal is the signalling with the stream that carries it.
type signal struct {
	*holepunch.Signal
	stream network.Stream
}

// offer exchanges OFFER and ANSWER on a new stream of the relayed connection.
func offer(ctx context.Context, h host.Host, relayed network.Conn, own holepunch.Terms, to netip.AddrPort) (*signal, holepunch.Terms, error) {
	s, err := openStream(ctx, relayed)
	if err != nil {
		return nil, holepunch.Terms{}, err
	}
	sig, theirs, err := holepunch.Offer(ctx, s, own, to)
	if err != nil {
		s.Reset()
		return nil, holepunch.Terms{}, unsupported(ctx, h, relayed.RemotePeer(), err)
	}
	return &signal{sig, s}, theirs, nil
}

// dialPort is where dials start from: the host's own port.
func (t *Transport) dialPort() (*warmPort, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ownPort()
}

// relayedConn returns a relayed connection to p: the newest that we dialled, for
// the older ones' relays may be gone, or else the newest.
func relayedConn(h host.Host, p peer.ID) network.Conn {
	var found network.Conn
	for _, c := range h.Network().ConnsToPeer(p) { // oldest first
		if c.IsClosed() || !isRelayed(c) {
			continue
		}
		if found == nil || c.Stat().Direction == network.DirOutbound || found.Stat().Direction == network.DirInbound {
			found = c
		}
	}
	return found
}

// directConn returns a connection to p that no relay carries, if there is one.
func directConn(h host.Host, p peer.ID) network.Conn {
	for _, c := range h.Network().ConnsToPeer(p) {
		if !c.IsClosed() && !isRelayed(c) {
			return c
		}
	}
	return nil
}

// A lazyStream proposes its protocol together with the first write, which saves
// the round trip that Host.NewStream spends on it, and the wait for identify.
type lazyStream struct {
	network.Stream
	rw io.ReadWriteCloser
}

func (s *lazyStream) Read(b []byte) (int, error)  { return s.rw.Read(b) }
func (s *lazyStream) Write(b []byte) (int, error) { return s.rw.Write(b) }

func openStream(ctx context.Context, c network.Conn) (*lazyStream, error) {
	s, err := c.NewStream(network.WithAllowLimitedConn(ctx, serviceName))
	if err != nil {
		switch {
		case ctx.Err() != nil:
			err = fmt.Errorf("%w: %w", ctx.Err(), err) // the muxer has errors of its own
		case !errors.Is(err, network.ErrResourceLimitExceeded):
			err = fmt.Errorf("%w: %w", holepunch.ErrSignalLost, err)
		}
		return nil, fmt.Errorf("open stream on the relayed connection: %w", err)
	}
	err = s.SetProtocol(holepunch.Protocol)
	if err == nil {
		err = s.Scope().SetService(serviceName)
	}
	if err != nil {
		s.Reset()
		return nil, fmt.Errorf("open stream on the relayed connection: %w", err)
	}
	return &lazyStream{s, msmux.NewMSSelect[protocol.ID](s, holepunch.Protocol)}, nil
}
