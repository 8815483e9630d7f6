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

// defaultTimeout bounds Dial and Binding when the context has no deadline. RFC 8489 section 6.2.2
// waits 39.5 s, to distinguish unreachable servers from slow ones; a hole punch is over by then. In
// 5 s a SYN or a request is sent three times or more on a lossy path.
const defaultTimeout = 5 * time.Second

// maxUnanswered bounds the requests of a connection without a response, abandoned ones included. A
// peer sends one every 25 s, and gives up after the first.
const maxUnanswered = 64

// errInterrupted ends a connection on which only part of a request may have been sent.
var errInterrupted = fmt.Errorf("interrupted while sending: %w", net.ErrClosed)

// A Dialer makes TCP connections. *net.Dialer is one. The responses describe the local port that
// the dialer binds its sockets to.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// A Conn is a connection to a STUN server. Its methods may be called from several goroutines.
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
	response response
	err      error
}

// Dial connects to server, in a form that ParseServer accepts, through d. Without a deadline on ctx
// it takes 5 s at most. The caller closes the Conn.
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

// Binding asks the server for the address and port from which it sees this connection: the
// reflexive address of the local port, never an IPv4-mapped IPv6 address. TCP retransmits, so the
// request is sent once. Without a deadline on ctx, Binding waits 5 s for the response.
//
// Binding may be called again, to check that server and mapping are still there. After 64 requests
// without a response the server is taken to be gone. After an error of ctx or a *ResponseError the
// connection is still open, unless ctx ended while the request was being sent, which takes a full
// send buffer. After any other error it is closed.
//
// The error is an *Error. errors.Is finds ErrMalformed, ErrTooLong, ErrTransaction,
// ErrNoMappedAddress, ErrDisconnected, net.ErrClosed after Close, or the error of the context.
// errors.As finds a *ResponseError.
func (c *Conn) Binding(ctx context.Context) (netip.AddrPort, error) {
	ctx, cancel := withTimeout(ctx, defaultTimeout)
	defer cancel()
	r, err := c.roundTrip(ctx)
	if err != nil {
		return netip.AddrPort{}, &Error{Op: "binding", Server: c.server, Err: err}
	}
	return r.mapped, nil
}

// roundTrip is Binding with further attributes in the request, and returns all of the response.
func (c *Conn) roundTrip(ctx context.Context, attributes ...pion.Setter) (response, error) {
	if err := ctx.Err(); err != nil {
		return response{}, err
	}
	// No SOFTWARE, although RFC 8489 section 6.1 recommends it: the server need not learn what
	// asks.
	setters := append([]pion.Setter{pion.TransactionID, pion.BindingRequest}, attributes...)
	req, err := pion.Build(append(setters, pion.Fingerprint)...)
	if err != nil {
		return response{}, err
	}
	replies := make(chan reply, 1) // so that the reader never waits
	c.mu.Lock()
	unanswered := len(c.waiting)
	if unanswered < maxUnanswered {
		c.waiting[req.TransactionID] = replies
	}
	c.mu.Unlock()
	if unanswered >= maxUnanswered {
		c.abort(fmt.Errorf("%w: %d requests were not answered", ErrDisconnected, maxUnanswered))
		<-c.done
		return response{}, c.err
	}

	stop := context.AfterFunc(ctx, func() { c.abort(errInterrupted) })
	_, err = c.nc.Write(req.Raw)
	if !stop() {
		return response{}, ctx.Err()
	}
	if err != nil {
		c.abort(disconnectedError(err))
	}

	select {
	case r := <-replies:
		return r.response, r.err
	case <-ctx.Done():
		// The transaction stays in waiting, so that a late response is not taken for a stray one.
		return response{}, ctx.Err()
	case <-c.done:
		select {
		case r := <-replies: // it arrived just before the end
			return r.response, r.err
		default:
			return response{}, c.err
		}
	}
}

// Done returns a channel that is closed when the connection has ended: by Close, by the server, or
// by the server's breach of the protocol. Err returns which.
//
// A server should leave the closing to the client (RFC 8489 section 6.2.2). coturn 4.6 resets a
// connection 60 s after it was made, or 3 s with --stun-only, however often it is asked.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns nil until Done is closed, and then an *Error that wraps the reason: net.ErrClosed
// after Close, ErrDisconnected if the server closed the connection, or else what Binding would
// return.
func (c *Conn) Err() error {
	select {
	case <-c.done:
		return &Error{Op: "read", Server: c.server, Err: c.err}
	default:
		return nil
	}
}

// Close closes the connection and waits for its goroutine. The mapping that the connection made can
// no longer be relied on.
func (c *Conn) Close() error {
	c.abort(net.ErrClosed)
	<-c.done
	return c.closeErr
}

// LocalAddr returns the local address of the connection, or the zero AddrPort if the dialer's
// connections are not TCP.
func (c *Conn) LocalAddr() netip.AddrPort { return addrPort(c.nc.LocalAddr()) }

// RemoteAddr returns the server's address, or the zero AddrPort if the dialer's connections are not
// TCP.
func (c *Conn) RemoteAddr() netip.AddrPort { return addrPort(c.nc.RemoteAddr()) }

// read delivers responses until the connection ends. It always reads, and so notices at once that
// the server closes the connection.
func (c *Conn) read() {
	defer close(c.done)
	r := bufio.NewReaderSize(c.nc, maxMessage)
	m := new(pion.Message)
	for {
		err := readMessage(r, m)
		if err == nil {
			err = c.deliver(m)
		} else if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLong) {
			err = disconnectedError(err)
		}
		if err != nil {
			c.abort(err)
			return
		}
	}
}

// deliver passes a response to the roundTrip that waits for it. An error ends the connection.
func (c *Conn) deliver(m *pion.Message) error {
	r, err := decodeResponse(m)
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
	replies <- reply{r, err}
	return nil
}

// abort closes the connection, so that the reader ends. The first call's err is the reason.
func (c *Conn) abort(err error) {
	c.abortOnce.Do(func() {
		c.err = err
		c.closeErr = c.nc.Close()
	})
}

// disconnectedError wraps an error of the socket, such as io.EOF or ECONNRESET, in ErrDisconnected.
func disconnectedError(err error) error { return fmt.Errorf("%w: %w", ErrDisconnected, err) }

// withTimeout gives ctx a deadline if it has none.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// addrPort returns the address of a TCP or UDP socket, an IPv4-mapped IPv6 address as IPv4. It
// returns the zero AddrPort for other sockets.
func addrPort(a net.Addr) netip.AddrPort {
	socket, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	ap := socket.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
