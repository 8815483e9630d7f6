package crowd

import (
	"context"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

const echoProtocol = "/crowd/echo"

func echo(s network.Stream) {
	io.Copy(s, s)
	s.Close()
}

// echoEvery is how often a watch asks for an echo: often enough to be there when the crowd comes.
const echoEvery = 20 * time.Millisecond

// A watch is a stream on a connection that was there before, and sees how the crowd slows it down.
type watch struct {
	stream network.Stream
	worst  chan time.Duration
	ended  chan struct{}
	err    error // how it ended, once ended is closed
}

// next returns how long the slowest echo took since the last call. The first call begins.
func (w *watch) next(m *member, p peer.ID) (time.Duration, error) {
	if w.stream == nil {
		s, err := m.NewStream(network.WithNoDial(context.Background(), "watch"), p, echoProtocol)
		if err != nil {
			return 0, err
		}
		w.stream, w.worst, w.ended = s, make(chan time.Duration, 1), make(chan struct{})
		w.worst <- 0
		go func() {
			defer close(w.ended)
			w.err = w.run()
		}()
		return 0, nil
	}
	select {
	case <-w.ended:
		return 0, w.err
	case worst := <-w.worst:
		w.worst <- 0
		return worst, nil
	}
}

func (w *watch) run() error {
	for b := make([]byte, 1); ; time.Sleep(echoEvery) {
		begin := time.Now()
		if _, err := w.stream.Write(b); err != nil {
			return err
		}
		if _, err := io.ReadFull(w.stream, b); err != nil {
			return err
		}
		w.worst <- max(<-w.worst, time.Since(begin))
	}
}

func (w *watch) stop() {
	if w.stream != nil {
		w.stream.Reset()
		<-w.ended
	}
}
