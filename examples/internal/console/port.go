package console

import (
	"errors"
	"fmt"
	"strconv"

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

// ExplainPort says in one line why a port could not be opened, and what to do.
func ExplainPort(number uint16, err error) string {
	if errors.Is(err, tcpport.ErrPortInUse) {
		return fmt.Sprintf("another program listens on port %d: end that one, or take another -port", number)
	}
	return OneLine(err)
}
