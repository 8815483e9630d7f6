package tunnel

import (
	"cmp"
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// A recorder records what happens to connections. Its functions are called from several goroutines.
type recorder struct {
	tell    func(Event)
	metrics *Metrics
}

// carry moves bytes between a stream and a local end until both have ended, or ctx has. It records
// the beginning and the end. The event says what connection it is, and local what the local end
// leads to.
func (r recorder) carry(ctx context.Context, s network.Stream, end End, e Event, local string) error {
	defer r.metrics.opened(e.Service)()
	defer context.AfterFunc(ctx, func() {
		_ = s.Reset()
		_ = end.Reset()
	})()
	e.Kind = Opened
	r.tell(e)
	begun := time.Now()
	j := joint{stream: s, end: end, moved: r.metrics.moved}
	err := j.join()
	if err != nil {
		err = cmp.Or(context.Cause(ctx), cutBy(err, local))
		e.Err = err.Error()
	}
	e.Kind, e.Sent, e.Received, e.Seconds = Closed, j.sent.Load(), j.received.Load(), time.Since(begun).Seconds()
	r.tell(e)
	return err
}

// refuse records a connection that was not opened. Nothing is counted under a name that a stranger
// has made up.
func (r recorder) refuse(e Event, known bool, err error) {
	service := e.Service
	if !known {
		service = ""
	}
	r.metrics.refused(service)
	e.Kind, e.Err = Refused, err.Error()
	r.tell(e)
}
