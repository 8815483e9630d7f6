package console

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// ParsePort reads a port number that a person chose.
func ParsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("want a number from 1 to 65535")
	}
	return uint16(n), nil
}

// ExplainListen adds to the error of a server that could not listen what to do; flags are those
// that choose the port.
func ExplainListen(err error, flags string) error {
	if errors.Is(err, syscall.EADDRINUSE) { // never on Windows
		return fmt.Errorf("%w: another program has this port; end that one, or choose another port with %s", err, flags)
	}
	return err
}

// ExplainPort explains in one line why a port could not be opened, and what to do.
func ExplainPort(number uint16, err error) string {
	if errors.Is(err, tcpport.ErrPortInUse) {
		return fmt.Sprintf("another program listens on port %d: end that one, or take another -port", number)
	}
	return OneLine(err)
}
