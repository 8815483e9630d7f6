package stun

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	pion "github.com/pion/stun/v3"
)

// defaultTimeout bounds Dial and Binding when the context has no deadline. RFC
// 8489 section 6.2.2 waits 39.5 s, for servers out of reach to be told from
// slow ones; a hole punch is over by then. In 5 s a SYN or a request is sent
// three times or more on a lossy path.
const defaultTimeout = 5 * time.Second

// maxUnanswered bounds the requests of a connection that have no answer, also those
// that nobody waits for any more. A peer sends one each 25 s, and gives up after the first.
const maxUnanswered = 64

// errInterrupted is the fate of a connection whose request may have been sent
// in part only.
var errInterrupted = fmt.Errorf("interrupted while sending: %w", net.ErrClosed)

// Dialer makes TCP connections. *net.Dialer is one; a dialer that binds all
// its sockets to one local port makes the answers tell about that port.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Conn is a connection to a STUN server. Its methods may be called from
// several goroutines.
type Conn struct {
	nc     net.Conn
	server string

	done      chan struct{} // closed by the reader when it ends
	abortOnce sync.Once
	err       error // why the connection ended; set by abort
	closeErr  error

	mu      sync.Mutex
	waiting map[transactionID]chan<- reply
}

type transactionID = [pion.TransactionIDSize]byte

type reply struct {
	answer answer
	err    error
}

// Dial connects to server, given as ParseServer takes it, through d. Without a
// deadline on ctx it takes 5 s at most. The caller closes the Conn.
//
// Dial returns an *Error that wraps ParseServer's or the dialer's error.
func Dial(ctx context.Context, d Dialer, server string) (*Conn, error) {
	address, err := ParseServer(server)
	if err != nil {
		return nil, err
	}
	ctx, cancel := withTimeout(ctx, defaultTimeout)
	defer cancel()
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, &Error{Op: "dial", Server: address, Err: err}
	}
	return newConn(nc, address), nil
}

func newConn(nc net.Conn, server string) *Conn {
	c := &Conn{
		nc:      nc,
		server:  server,
		done:    make(chan struct{}),
		waiting: make(map[transactionID]chan<- reply),
	}
	go c.read()
	return c
}

// Binding asks the server for the address and port from which it sees this
// connection: the reflexive address of the local port, never an IPv4-mapped
// IPv6 address. TCP retransmits, so the request is sent once; without a
// deadline on ctx the answer may take 5 s.
//
// Binding may be called again, to learn that server and mapping are still
// there. After 64 requests without an answer the server is taken for gone. After an error of ctx or a *ResponseError the connection is still
// open (unless ctx ended while the request was being sent, which takes a full
// send buffer); after any other error it is closed.
//
// The error is an *Error. errors.Is finds ErrMalformed, ErrTooLong,
// ErrTransaction, ErrNoMappedAddress, ErrDisconnected, net.ErrClosed after
// Close, or the error of the context; errors.As a *ResponseError.
func (c *Conn) Binding(ctx context.Context) (netip.AddrPort, error) {
	ctx, cancel := withTimeout(ctx, defaultTimeout)
	defer cancel()
	a, err := c.ask(ctx)
	if err != nil {
		return netip.AddrPort{}, &Error{Op: "binding", Server: c.server, Err: err}
	}
	return a.mapped, nil
}

// ask is Binding with more attributes in the request, and all of the answer.
func (c *Conn) ask(ctx context.Context, attributes ...pion.Setter) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	// No SOFTWARE, although RFC 8489 section 6.1 would like it: the server
	// need not learn what asks.
	setters := append([]pion.Setter{pion.TransactionID, pion.BindingRequest}, attributes...)
	req, err := pion.Build(append(setters, pion.Fingerprint)...)
	if err != nil {
		return answer{}, err
	}
	replies := make(chan reply, 1) // The reader never waits for us.
	c.mu.Lock()
	mute := len(c.waiting) >= maxUnanswered
	if !mute {
		c.waiting[req.TransactionID] = replies
	}
	c.mu.Unlock()
	if mute {
		c.abort(fmt.Errorf("%w: %d requests were not answered", ErrDisconnected, maxUnanswered))
		<-c.done
		return answer{}, c.err
	}

	stop := context.AfterFunc(ctx, func() { c.abort(errInterrupted) })
	_, err = c.nc.Write(req.Raw)
	if !stop() {
		return answer{}, ctx.Err()
	}
	if err != nil {
		c.abort(lost(err))
	}

	select {
	case r := <-replies:
		return r.answer, r.err
	case <-ctx.Done():
		// The transaction keeps its place, so that a late answer is not
		// taken for a stray one.
		return answer{}, ctx.Err()
	case <-c.done:
		select {
		case r := <-replies: // It came just before the end.
			return r.answer, r.err
		default:
			return answer{}, c.err
		}
	}
}

// Done returns a channel that is closed when the connection has ended: because
// of Close, because the server closed it, or because the server broke the
// protocol. Err tells which.
//
// A server should leave the closing to the client (RFC 8489 section 6.2.2), but
// coturn 4.6 resets a connection 60 s after it was made, or 3 s with
// --stun-only, no matter how often it is asked.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns nil until Done is closed, and then an *Error that wraps the
// reason: net.ErrClosed after Close, ErrDisconnected if the server closed the
// connection, or else what Binding would return.
func (c *Conn) Err() error {
	select {
	case <-c.done:
		return &Error{Op: "read", Server: c.server, Err: c.err}
	default:
		return nil
	}
}

// Close closes the connection and waits for its goroutine. The mapping that
// the connection made is then no longer to be relied on.
func (c *Conn) Close() error {
	c.abort(net.ErrClosed)
	<-c.done
	return c.closeErr
}

// LocalAddr returns the local address of the connection, or the zero AddrPort
// if the dialer's connections are not TCP.
func (c *Conn) LocalAddr() netip.AddrPort { return addrPort(c.nc.LocalAddr()) }

// RemoteAddr returns the server's address, or the zero AddrPort if the
// dialer's connections are not TCP.
func (c *Conn) RemoteAddr() netip.AddrPort { return addrPort(c.nc.RemoteAddr()) }

// read hands answers over until the connection ends. Since it always reads,
// it learns at once when the server closes the connection.
func (c *Conn) read() {
	defer close(c.done)
	r := bufio.NewReaderSize(c.nc, maxMessage)
	m := new(pion.Message)
	for {
		err := readMessage(r, m)
		if err == nil {
			err = c.deliver(m)
		} else if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLong) {
			err = lost(err)
		}
		if err != nil {
			c.abort(err)
			return
		}
	}
}

// deliver gives the answer to the Binding that waits for it. An error ends the
// connection.
func (c *Conn) deliver(m *pion.Message) error {
	a, err := decodeAnswer(m)
	if refused := (*ResponseError)(nil); err != nil && !errors.As(err, &refused) {
		return err
	}
	c.mu.Lock()
	replies, ok := c.waiting[m.TransactionID]
	delete(c.waiting, m.TransactionID)
	c.mu.Unlock()
	if !ok {
		return ErrTransaction
	}
	replies <- reply{a, err}
	return nil
}

// abort closes the connection, for the reason err if it is the first call. The
// reader then ends.
func (c *Conn) abort(err error) {
	c.abortOnce.Do(func() {
		c.err = err
		c.closeErr = c.nc.Close()
	})
}

// lost wraps an error of the socket, such as io.EOF or ECONNRESET.
func lost(err error) error { return fmt.Errorf("%w: %w", ErrDisconnected, err) }

// withTimeout gives ctx a deadline if it has none.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// addrPort returns the address of a TCP socket, an IPv4-mapped IPv6 address as
// IPv4, and else the zero AddrPort.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
