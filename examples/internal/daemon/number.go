package daemon

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
)

// NumberFlag adds a flag for a limit, of one at least, to a set. Its default is what n has.
func NumberFlag(flags *flag.FlagSet, n *int, name, usage string) {
	flags.Func(name, fmt.Sprintf("%s (default %d)", usage, *n), func(s string) error {
		v, err := strconv.Atoi(s)
		if err != nil || v < 1 {
			return errors.New("want a number, at least 1")
		}
		*n = v
		return nil
	})
}
