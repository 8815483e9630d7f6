package pair

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// Dial connects to a listening peer through the relay, waits for the connection to become direct,
// and sends so many bytes over it. The result is all in the Report: if its Reason is empty, nothing
// has failed.
func Dial(ctx context.Context, cfg natpeer.Config, target peer.ID, bytes int64, report func(Event)) Report {
	d := dialler{target: target, relayed: make(chan up, 1), direct: make(chan up, 1)}
	err := d.run(ctx, cfg, bytes, report)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // what it broke is no news
	}
	d.result.Reason = natpeer.Explain(err)
	return d.result
}

type dialler struct {
	*node
	target          peer.ID
	relayed, direct chan up // the first of each
	result          Report
}

func (d *dialler) run(ctx context.Context, cfg natpeer.Config, bytes int64, report func(Event)) (err error) {
	if d.target == cfg.Relay.ID {
		return errors.New("this peer ID is the relay's: take the one that the listening peer prints")
	}
	if d.node, err = newNode(cfg, report, d.came); err != nil {
		return err
	}
	defer d.Close()
	if err := natpeer.NewLink(d, cfg.Relay, false).Reach(ctx); err != nil {
		return err
	}
	// Without a STUN server the relay is asked. If that fails, so will the punch, and say so; the
	// peers can meet over the relay.
	d.ready(ctx)

	relayed, err := d.connectRelayed(ctx)
	if err != nil {
		return err
	}
	d.result.Relayed = true
	direct, err := d.connectDirect(ctx, relayed)
	// Pings during the punch would get in its way. They come now.
	d.result.RelayedRTT = d.measure(ctx, RelayedRTT, relayed)
	if err != nil {
		return err
	}
	d.result.DirectRTT = d.measure(ctx, DirectRTT, direct)
	if err := d.transfer(ctx, direct, bytes); err != nil {
		return err
	}
	if bytes > 0 && !relayed.conn.Stat().Limited {
		d.transferRelayed(ctx, relayed, bytes)
	}
	return nil
}

// came takes the notification of a connection.
func (d *dialler) came(u up) {
	first := d.direct
	if u.relayed {
		first = d.relayed
	}
	if u.conn.RemotePeer() == d.target {
		select {
		case first <- u:
		default:
		}
	}
}

func (d *dialler) connectRelayed(ctx context.Context) (up, error) {
	if err := natpeer.DialThrough(ctx, d, d.cfg.Relay, d.target); err != nil {
		return up{}, err
	}
	return await(ctx, d.relayed)
}

// connectDirect waits for what the transport does by itself, and learns why if it fails.
func (d *dialler) connectDirect(ctx context.Context, relayed up) (up, error) {
	if _, err := transport.DirectConnect(ctx, d, d.target); err != nil {
		return up{}, err
	}
	direct, err := await(ctx, d.direct)
	if err != nil {
		return up{}, err
	}
	d.result.Direct = true
	d.result.TimeToDirect = ToMillis(direct.at.Sub(relayed.at))
	d.result.RemoteAddr = direct.conn.RemoteMultiaddr().String()
	return direct, nil
}

// measure returns a connection's round trip time, or 0 if it breaks meanwhile.
func (d *dialler) measure(ctx context.Context, kind Kind, u up) Millis {
	rtt, err := roundTrip(ctx, u.conn)
	if err != nil {
		return 0
	}
	d.tell(Event{Kind: kind, Peer: d.target, Took: rtt})
	return ToMillis(rtt)
}

func (d *dialler) transfer(ctx context.Context, direct up, bytes int64) error {
	got, took, err := d.send(ctx, direct.conn, bytes, SendingTime)
	if err != nil {
		return err
	}
	r := &d.result
	r.Simultaneous = got.Connected && d.attempts.connected(d.target, direct.conn.RemoteMultiaddr())
	r.Bytes = got.Bytes
	r.BytesPerSecond = int64(float64(got.Bytes) / took.Seconds())
	d.tell(Event{Kind: Sent, Peer: d.target, Bytes: got.Bytes, Took: took})
	return nil
}

// transferRelayed measures the rate over the relayed connection. If that breaks meanwhile there is
// none.
func (d *dialler) transferRelayed(ctx context.Context, relayed up, bytes int64) {
	got, took, err := d.send(ctx, relayed.conn, bytes, relayedSendingTime)
	if err != nil {
		return
	}
	d.result.RelayedBytesPerSecond = int64(float64(got.Bytes) / took.Seconds())
	d.tell(Event{Kind: SentRelayed, Peer: d.target, Bytes: got.Bytes, Took: took})
}

func await(ctx context.Context, first <-chan up) (up, error) {
	select {
	case u := <-first:
		return u, nil
	case <-ctx.Done():
		return up{}, ctx.Err()
	}
}
