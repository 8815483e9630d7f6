package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A Command is one of several that a program has. The first argument is its name.
type Command struct {
	Name string
	Does string // in half a line, as in "waits for peers"
	Run  func(ctx context.Context, args []string) (status int)
}

// Choose returns the command that the arguments name, and the arguments after the name. It does not
// return if they name none, or ask for help: it prints the help and ends the program, with status 2
// or 0. The help is what the program does, in a sentence or two, and the commands.
func Choose(program, does string, commands []Command, args []string) (Command, []string) {
	if len(args) == 0 {
		wrong(program, errors.New("a command is missing"))
	}
	if slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0]) {
		chooseUsage(New(os.Stdout), program, does, commands)
		os.Exit(0)
	}
	for _, c := range commands {
		if c.Name == args[0] {
			return c, args[1:]
		}
	}
	wrong(program, fmt.Errorf("there is no command %q", args[0]))
	panic("unreachable")
}

func chooseUsage(out *Console, program, does string, commands []Command) {
	out.Paragraph("", does)
	out.Print("", "Commands:")
	width := 0
	for _, c := range commands {
		width = max(width, len(c.Name))
	}
	for _, c := range commands {
		out.Print(fmt.Sprintf("  %s %-*s  %s", program, width, c.Name, c.Does))
	}
	out.Print("", "Each command has -help.")
}

// ProgramName returns the name by which a person runs this program, also on another machine. For
// what "go run" has built it is that command; dir is the package's directory.
func ProgramName(dir string) string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run " + dir
	}
	return os.Args[0]
}
