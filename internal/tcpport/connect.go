package tcpport

import (
	"context"
	"errors"
	"fmt"
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

// Connect opens a connection from the port to remote. It returns when the connection is
// established, when the attempt fails by itself, or when ctx ends; the socket of an attempt that
// ctx ended is closed. The error is the kernel's, as a [*net.OpError], and matches [ErrTupleTaken]
// or [ErrShort] if that is its meaning.
func (p *Port) Connect(ctx context.Context, remote netip.AddrPort) (*net.TCPConn, error) {
	c, err := p.DialContext(ctx, "tcp", remote.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// DialContext is [Port.Connect] in the form of [net.Dialer], for names as well as addresses.
// Network is "tcp", "tcp4" or "tcp6".
func (p *Port) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	// With a wildcard of its own family as local address, the kernel chooses the source address
	// by its routes, unless ConnectingFrom has. Go refuses to pair a family with the other, so a literal address decides,
	// and a name is tried as IPv4 first: that is where the NATs are.
	networks := []string{network}
	if network == "tcp" {
		networks = []string{"tcp4", "tcp6"}
		if ip, err := netip.ParseAddr(host); err == nil {
			networks = networks[:1]
			if ip.Is6() && !ip.Is4In6() {
				networks[0] = "tcp6"
			}
		}
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

func (p *Port) dial(ctx context.Context, network, address string) (*net.TCPConn, error) {
	local := &net.TCPAddr{IP: net.IPv4zero, Port: int(p.number)}
	if network == "tcp6" {
		local.IP = net.IPv6unspecified
		if p.ipv6.IsValid() {
			local.IP = p.ipv6.AsSlice()
		}
	}
	d := net.Dialer{LocalAddr: local, Control: p.control}
	d.SetMultipathTCP(false)
	connecting.Add(1)
	defer connecting.Add(-1)
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		switch {
		case isTupleTaken(err) && !isFromBind(err):
			err = fmt.Errorf("%w: %w", ErrTupleTaken, err)
		case isShort(err):
			err = fmt.Errorf("%w: %w", ErrShort, err)
		}
		return nil, err
	}
	return c.(*net.TCPConn), nil
}
