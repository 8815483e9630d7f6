package natlab

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoNftables: a kernel without nftables is no lab, and whatever else goes wrong is an error.
func TestNoNftables(t *testing.T) {
	for err, unavailable := range map[error]bool{
		fmt.Errorf("socket: %w", unix.EPROTONOSUPPORT): true,
		fmt.Errorf("receive: %w", unix.ENOENT):         true,
		fmt.Errorf("receive: %w", unix.EOPNOTSUPP):     true,
		fmt.Errorf("receive: %w", unix.EINVAL):         false,
	} {
		got := noNftables(err)
		if errors.Is(got, ErrUnavailable) != unavailable || !errors.Is(got, errors.Unwrap(err)) {
			t.Errorf("%v: got %v", err, got)
		}
	}
}
