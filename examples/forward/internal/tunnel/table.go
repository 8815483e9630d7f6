package tunnel

import (
	"context"
	"errors"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
)

// MaxConnections is how many connections there may be at a time. Each takes two buffers of 32 KiB,
// and up to 256 KiB more where its reader is slow: 700 MiB if all of them are.
const MaxConnections = 2048

// Why a connection ended that neither side closed.
var (
	errPeerLost = errors.New("the connection to the other side was lost")
	errShutdown = errors.New("this side was shut down")
)

// A table has the connections that are open, or about to be, so that each has an end.
type table struct {
	mu     sync.Mutex
	open   map[*entry]struct{}
	closed bool
	ended  sync.WaitGroup
}

// An entry is a connection in a table.
type entry struct {
	// ctx ends when the connection has to. Its cause says why.
	ctx context.Context

	end  context.CancelCauseFunc
	conn network.Conn // that the connection depends on; nil while there is none
}

// add adds a connection, unless there are too many, or the table is closed. The caller must remove
// the entry.
func (t *table) add() (e *entry, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.open) >= MaxConnections {
		return nil, false
	}
	if t.open == nil {
		t.open = make(map[*entry]struct{})
	}
	e = new(entry)
	e.ctx, e.end = context.WithCancelCause(context.Background())
	t.open[e] = struct{}{}
	t.ended.Add(1)
	return e, true
}

// remove removes a connection that has ended.
func (t *table) remove(e *entry) {
	e.end(nil)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, e)
	t.ended.Done()
}

// depends records that a connection ends with a libp2p connection. The connection's stream does not
// suffice: one that has been read to its end notices only when it is written to.
func (t *table) depends(e *entry, on network.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.conn = on
	if on.IsClosed() { // disconnected may have been called before
		e.end(errPeerLost)
	}
}

// disconnected ends the connections that depend on a libp2p connection.
func (t *table) disconnected(_ network.Network, on network.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := range t.open {
		if e.conn == on {
			e.end(errPeerLost)
		}
	}
}

// close ends all connections, and waits for them. None is added any more.
func (t *table) close() {
	t.mu.Lock()
	t.closed = true
	for e := range t.open {
		e.end(errShutdown)
	}
	t.mu.Unlock()
	t.ended.Wait()
}
