package console

import (
	"flag"
	"log/slog"
	"os"

	"github.com/libp2p/go-libp2p/gologshim"
)

// levelsEnv chooses what go-libp2p and simopen log.
const levelsEnv = "GOLOG_LOG_LEVEL"

// LogFlag adds the flag -v, for [Log].
func LogFlag(flags *flag.FlagSet, verbose *bool) {
	flags.BoolVar(verbose, "v", false, "log to standard error what simopen and the relay do; "+
		levelsEnv+" chooses other logs, also without -v, as in error,simopen=debug")
}

// Log turns the libraries' logs on or off, and reports whether they are on: if verbose is set, or
// the user has chosen levels in the environment. It must be called before they write the first
// line.
func Log(verbose bool) (on bool) {
	switch {
	case os.Getenv(levelsEnv) != "":
		return true // as the libraries do by themselves
	case verbose:
		gologshim.SetDefaultHandler(ownLogs{textLogs(slog.LevelError)})
	default:
		gologshim.SetDefaultHandler(slog.DiscardHandler)
	}
	return verbose
}

// ownLogs writes the logs of simopen and the relay in detail, and of all others only errors.
type ownLogs struct{ slog.Handler }

// WithAttrs is first called with the logger's name.
func (h ownLogs) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if name := a.Value.String(); a.Key == "logger" && (name == "simopen" || name == "relay") {
			return textLogs(slog.LevelDebug).WithAttrs(attrs)
		}
	}
	return h.Handler.WithAttrs(attrs)
}

func textLogs(level slog.Level) slog.Handler {
	return slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})
}
