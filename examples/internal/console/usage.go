package console

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// Parse parses a program's arguments, and checks them if they could be parsed. It does not return
// if they are wrong, or ask for help: it says so and ends the program, with status 2 or 0.
func Parse(flags *flag.FlagSet, args []string, check func() error) {
	// By itself a FlagSet prints all of its help after any error, which is lost above it.
	out, usage := flags.Output(), flags.Usage
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	err := flags.Parse(args)
	flags.SetOutput(out)
	switch {
	case errors.Is(err, flag.ErrHelp) && usage != nil:
		usage()
		os.Exit(0)
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, "Usage of %s:\n", flags.Name())
		flags.PrintDefaults()
		os.Exit(0)
	case err == nil:
		err = check()
	}
	if err != nil {
		fmt.Fprintf(out, "%s: %v\nRun with -help for all flags.\n", flags.Name(), err)
		os.Exit(2)
	}
}

// NoArgs returns an error if there are arguments that are no flags.
func NoArgs(flags *flag.FlagSet) error {
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}
