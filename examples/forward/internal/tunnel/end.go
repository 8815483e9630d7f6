package tunnel

import (
	"errors"
	"io"
	"net"
)

// An End is a connection with a client or with a service: TCP, or a program's standard input and
// output.
type End interface {
	io.ReadWriteCloser
	CloseWrite() error // ends what is sent, while more is received
	Reset() error      // ends the connection at once, so that the other end notices
}

// A tcpEnd is a TCP connection as an End.
type tcpEnd struct{ *net.TCPConn }

// Reset closes the connection with a RST in place of a FIN.
func (c tcpEnd) Reset() error {
	return errors.Join(c.SetLinger(0), c.Close())
}
