package pair

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/simopen/go-libp2p-simopen/examples/internal/conns"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

// transferProtocol: the sender writes and closes its side of the stream, the receiver answers with
// a receipt in JSON.
const transferProtocol protocol.ID = "/simopen/examples/transfer/1.0.0"

const (
	// SendingTime is how long data is sent at most. On a slow path, less than was asked for shows
	// the rate as well.
	SendingTime = 30 * time.Second

	// relayedSendingTime is the same over the relayed connection: long enough for its rate to
	// settle.
	relayedSendingTime = 2 * time.Second

	// transferTimeout bounds the transfer in all. What is in the buffers of both hosts and on the
	// path after SendingTime needs a while.
	transferTimeout = 2 * SendingTime

	chunk      = 64 << 10
	maxReceipt = 1 << 10
	tellEvery  = 100 * time.Millisecond // often enough for a bar that moves
)

type receipt struct {
	Bytes  int64  `json:"bytes"`
	SHA256 []byte `json:"sha256"`

	// Connected: the receiver's end of the connection is from its connect, not from its listener.
	Connected bool `json:"connected"`
}

// send sends so many bytes over the connection, or as many as it can in atMost, and returns the
// other side's receipt when that is right.
func (n *node) send(ctx context.Context, c network.Conn, total int64, atMost time.Duration) (receipt, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	s, err := conns.Open(ctx, c, transferProtocol)
	if err != nil {
		return receipt{}, 0, fmt.Errorf("send: %w", err)
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	begun := time.Now()
	sent, hash, err := n.write(s, total, begun.Add(atMost))
	if err != nil {
		return receipt{}, 0, fmt.Errorf("send: %w", err)
	}
	var got receipt
	if err := json.NewDecoder(io.LimitReader(s, maxReceipt)).Decode(&got); err != nil {
		return receipt{}, 0, fmt.Errorf("the other side did not confirm what it got: %w", err)
	}
	if got.Bytes != sent || !bytes.Equal(got.SHA256, hash) {
		return receipt{}, 0, fmt.Errorf("the other side got %d bytes of %d, or others", got.Bytes, sent)
	}
	return got, time.Since(begun), nil
}

func (n *node) write(s network.Stream, total int64, end time.Time) (sent int64, hash []byte, err error) {
	h := sha256.New()
	data := rand.NewChaCha8([32]byte{})
	buf := make([]byte, chunk)
	if _, err := s.Write(nil); err != nil { // names the protocol, if no data will
		return 0, nil, err
	}
	quiet, nextTell := conns.IsRelayed(s.Conn()), time.Now()
	for sent < total && time.Now().Before(end) {
		if !quiet && !time.Now().Before(nextTell) {
			n.tell(Event{Kind: Sending, Peer: s.Conn().RemotePeer(), Bytes: sent})
			nextTell = time.Now().Add(tellEvery)
		}
		b := buf[:min(chunk, total-sent)]
		data.Read(b)
		h.Write(b)
		if _, err := s.Write(b); err != nil {
			return 0, nil, err
		}
		sent += int64(len(b))
	}
	return sent, h.Sum(nil), s.CloseWrite()
}

// explainCut returns why no more data came, or "" if all of it did.
func explainCut(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, network.ErrReset):
		return "the other side ended it, or the connection broke"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "it took too long"
	}
	return console.OneLine(err)
}

// receive is the other side of send.
func (n *node) receive(s network.Stream) {
	defer s.Close()
	if err := n.serveTransfer(s); err != nil {
		s.Reset()
	}
}

func (n *node) serveTransfer(s network.Stream) error {
	p, remote := s.Conn().RemotePeer(), s.Conn().RemoteMultiaddr()
	if s.Conn().Stat().Limited {
		return errors.New("not over a relay with limits")
	}
	if err := s.SetDeadline(time.Now().Add(transferTimeout)); err != nil {
		return err
	}
	begun := time.Now()
	h := sha256.New()
	count, err := io.Copy(h, s)
	if !conns.IsRelayed(s.Conn()) {
		n.tell(Event{Kind: Received, Peer: p, Bytes: count, Took: time.Since(begun), Err: explainCut(err)})
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(s).Encode(receipt{
		Bytes:     count,
		SHA256:    h.Sum(nil),
		Connected: n.attempts.connected(p, remote),
	})
}
