package tcpport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// The error of [ConnectFrom] and [SilentPort.Connect] matches one of these if the connect was
// refused. Only Linux distinguishes ICMP from a RST: elsewhere both look like ErrReset.
var (
	ErrReset = errors.New("refused by a RST")
	ErrICMP  = errors.New("ended by an ICMP error")
)

// ConnectFrom connects from an address of this host, and a port that the kernel chooses, to
// remote. Its error is the kernel's, as with [Port.Connect]. On Linux no SYN leaves after the
// deadline of ctx, not even on a busy machine.
func ConnectFrom(ctx context.Context, local netip.Addr, remote netip.AddrPort) (*net.TCPConn, error) {
	return connectFrom(ctx, netip.AddrPortFrom(local, 0), remote)
}

// connectFrom is ConnectFrom with a local port and more options for the socket.
func connectFrom(ctx context.Context, local, remote netip.AddrPort, options ...Control) (*net.TCPConn, error) {
	var icmp errorQueue
	defer icmp.close()
	if deadline, ok := ctx.Deadline(); ok {
		options = append(options, by(deadline))
	}
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(local),
		Control:   all(append(options, icmp.watch)...),
	}
	d.SetMultipathTCP(false)
	c, err := d.DialContext(ctx, "tcp", remote.String())
	if err != nil {
		switch {
		case icmp.has():
			err = fmt.Errorf("%w: %w", ErrICMP, err)
		case IsRefused(err):
			err = fmt.Errorf("%w: %w", ErrReset, err)
		}
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// A SilentPort does not answer a SYN, neither with a SYN+ACK nor with a RST, but can connect. A
// client that has sent it a SYN can thus find out whether its NAT lets in the bare SYN of an
// endpoint to which the client has sent one.
type SilentPort struct {
	l    net.Listener
	addr netip.AddrPort
}

// ListenSilent binds a port at an address of this host. The error matches [errors.ErrUnsupported]
// on systems other than Linux.
func ListenSilent(addr netip.Addr) (*SilentPort, error) {
	// The kernel answers for a port without a listener, so there must be one.
	lc := net.ListenConfig{Control: all(share, deafen)}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		return nil, fmt.Errorf("tcpport: bind a silent port: %w", err)
	}
	return &SilentPort{l, l.Addr().(*net.TCPAddr).AddrPort()}, nil
}

// Number returns the port's number.
func (s *SilentPort) Number() uint16 { return s.addr.Port() }

// Connect is [ConnectFrom] with the silent port as the local one. A SYN that remote sends
// meanwhile is ignored as well, so that only the answer to ours counts.
func (s *SilentPort) Connect(ctx context.Context, remote netip.AddrPort) (*net.TCPConn, error) {
	return connectFrom(ctx, s.addr, remote, share, deafen)
}

// Close ends the port.
func (s *SilentPort) Close() error { return s.l.Close() }
