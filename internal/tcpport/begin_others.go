//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package tcpport

import (
	"errors"
	"io"
	"net/netip"
)

// Begin is unsupported here: it needs the sockets of Unix.
func (p *Port) Begin(netip.AddrPort) (io.Closer, error) { return nil, errors.ErrUnsupported }
