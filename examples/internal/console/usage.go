package console

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// A Usage is what -help prints of a program, or of one of its commands, beside the flags.
type Usage struct {
	Does     string   // in a sentence or two
	Synopsis []string // a line each
	Notes    string   // at the end, as they are; may be empty
}

// Describe sets the text that -help prints: what the program does, its synopsis, its flags, notes.
func Describe(flags *flag.FlagSet, u Usage) {
	flags.Usage = func() {
		out := New(flags.Output())
		out.Paragraph("", u.Does)
		out.Print("", "Usage:")
		for _, s := range u.Synopsis {
			out.Print("  " + s)
		}
		out.Print("", "Flags:")
		printFlags(flags)
		if u.Notes != "" {
			out.Print("", u.Notes)
		}
	}
}

// printFlags prints the flags as [flag.FlagSet.PrintDefaults] does, in lines that fit.
func printFlags(flags *flag.FlagSet) {
	out := flags.Output()
	defer flags.SetOutput(out)
	var text bytes.Buffer
	flags.SetOutput(&text)
	flags.PrintDefaults()
	const width = columns - 8 // what PrintDefaults sets in by a tab
	for l := range strings.Lines(text.String()) {
		head, description, ok := strings.Cut(strings.TrimSuffix(l, "\n"), "\t")
		if !ok || len(description) <= width {
			fmt.Fprint(out, l)
			continue
		}
		for _, part := range wrap(description, width) {
			fmt.Fprintf(out, "%s\t%s\n", head, part)
			head = "    "
		}
	}
}

// Parse parses the arguments of a program that has called [Describe], and checks them if they could
// be parsed. It does not return if they are wrong, or ask for help: it prints what is wrong, or the
// help, and ends the program, with status 2 or 0.
func Parse(flags *flag.FlagSet, args []string, check func() error) {
	parse(flags, func() error { return flags.Parse(args) }, check)
}

// ParseMixed is Parse for commands whose flags may also follow the arguments, as in "dial PEER
// -local ADDR".
func ParseMixed(flags *flag.FlagSet, args []string, check func() error) {
	parse(flags, func() error {
		var arguments []string
		for {
			if err := flags.Parse(args); err != nil {
				return err
			}
			if flags.NArg() == 0 {
				return flags.Parse(append([]string{"--"}, arguments...))
			}
			arguments = append(arguments, flags.Arg(0))
			args = flags.Args()[1:]
		}
	}, check)
}

func parse(flags *flag.FlagSet, parse, check func() error) {
	// By itself a FlagSet prints all of its help after any error, which is lost above it.
	usage := flags.Usage
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	err := parse()
	flags.SetOutput(nil)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(os.Stdout) // it was asked for
		usage()
		os.Exit(0)
	case err == nil:
		err = check()
	}
	if err != nil {
		wrong(flags.Name(), err)
	}
}

// wrong ends a program whose arguments are wrong.
func wrong(program string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\nRun with -help for more.\n", program, err)
	os.Exit(2)
}

// NoArgs returns an error if there are arguments that are no flags.
func NoArgs(flags *flag.FlagSet) error {
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}
