package console

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

// Parse parses a program's arguments, and checks them if they could be parsed. It
// does not return if they are wrong, or ask for help: it says so and ends the
// program, with status 2 or 0.
func Parse(flags *flag.FlagSet, args []string, check func() error) {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		os.Exit(2) // flags has said it
	}
	if err := check(); err != nil {
		fmt.Fprintf(flags.Output(), "%s: %v\nRun with -help for all flags.\n", flags.Name(), err)
		os.Exit(2)
	}
}

// NoArgs is what check says of arguments that are no flags.
func NoArgs(flags *flag.FlagSet) error {
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}
