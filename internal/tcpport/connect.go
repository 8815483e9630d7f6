package tcpport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
)

// connecting counts the connects under way of all Ports of the process.
var connecting atomic.Int64

// Connecting returns how many connects of this process from a Port are under way.
func Connecting() int { return int(connecting.Load()) }

// ErrTupleTaken is returned by [Port.Connect] when the 4-tuple belongs to a connection that exists
// already, or to another connect. During a punch the former is good news: the peer's SYN was let
// in first, and the listener has the connection.
var ErrTupleTaken = errors.New("a connection between the same two ports exists already")

// ErrUnsent is returned by [Port.Connect] when no SYN could leave: the host has no route to remote,
// as to IPv6 addresses where it has none itself, or it has lost the address that connects leave
// from.
var ErrUnsent = errors.New("no SYN could leave")

// Connect opens a connection from the port to remote. It returns when the connection is
// established, when the attempt fails by itself, or when ctx ends; the socket of an attempt that
// ctx ended is closed. The error is the kernel's, as a [*net.OpError], and matches [ErrTupleTaken],
// [ErrShort] or [ErrUnsent] if that is its meaning.
func (p *Port) Connect(ctx context.Context, remote netip.AddrPort) (*net.TCPConn, error) {
	network := "tcp6"
	if remote.Addr().Unmap().Is4() {
		network = "tcp4"
	}
	if err := ctx.Err(); err != nil {
		return nil, err // DialTCP sends a SYN all the same
	}
	d := p.dialer()
	connecting.Add(1)
	defer connecting.Add(-1)
	c, err := d.DialTCP(ctx, network, p.local(network), remote)
	if err != nil {
		if err = explain(err); ctx.Err() == nil && p.unsent(err, remote) {
			err = &connectError{ErrUnsent, err}
		}
		return nil, err
	}
	return c, nil
}

// unsent reports whether a connect failed before its SYN has left. Linux has the same error numbers
// for what routers answer to a SYN, so the host's routes are asked.
func (p *Port) unsent(err error, remote netip.AddrPort) bool {
	switch {
	case errors.Is(err, ErrTupleTaken), errors.Is(err, ErrShort), IsRefused(err):
		return false
	case isFromBind(err):
		return true
	}
	_, err = SourceAddr(remote, p.route)
	return err != nil && !errors.Is(err, ErrShort)
}

// DialContext is [Port.Connect] in the form of [net.Dialer], for names as well as addresses.
// Network is "tcp", "tcp4" or "tcp6". A name is tried as IPv4 first: that is where the NATs are.
func (p *Port) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	networks := []string{network}
	if network == "tcp" {
		if remote, err := netip.ParseAddrPort(address); err == nil {
			c, err := p.Connect(ctx, remote)
			if err != nil {
				return nil, err
			}
			return c, nil
		}
		networks = []string{"tcp4", "tcp6"}
	}
	var errs []error
	for _, n := range networks {
		c, err := p.dial(ctx, n, address)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// dial connects to a name's addresses of one family, one after another.
func (p *Port) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := p.dialer()
	d.LocalAddr = net.TCPAddrFromAddrPort(p.local(network))
	connecting.Add(1)
	defer connecting.Add(-1)
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, explain(err)
	}
	return c, nil
}

func (p *Port) dialer() net.Dialer {
	d := net.Dialer{Control: p.control}
	d.SetMultipathTCP(false)
	return d
}

// local returns the local address of the port's connects. With a wildcard of the remote's family,
// the kernel chooses the address by its routes; Go refuses to pair a family with the other.
func (p *Port) local(network string) netip.AddrPort {
	addr := netip.IPv4Unspecified()
	if network == "tcp6" {
		if addr = p.ipv6; !addr.IsValid() {
			addr = netip.IPv6Unspecified()
		}
	}
	return netip.AddrPortFrom(addr, p.number)
}

// explain adds what the error of a connect means.
func explain(err error) error {
	switch {
	case isTupleTaken(err) && !isFromBind(err):
		return &connectError{ErrTupleTaken, err}
	case isShort(err):
		return &connectError{ErrShort, err}
	}
	return err
}

// A connectError is the kernel's error with its meaning. A punch has many, and formats few.
type connectError struct{ meaning, err error }

func (e *connectError) Error() string   { return e.meaning.Error() + ": " + e.err.Error() }
func (e *connectError) Unwrap() []error { return []error{e.meaning, e.err} }
