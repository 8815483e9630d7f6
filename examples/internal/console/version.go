package console

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

// VersionFlag adds the flag -version, which prints the program's version and ends it.
func VersionFlag(flags *flag.FlagSet) {
	flags.BoolFunc("version", "print the version, and end", func(string) error {
		info, _ := debug.ReadBuildInfo()
		fmt.Println(version(flags.Name(), info))
		os.Exit(0)
		return nil
	})
}

// version describes a build in one line: the module's version, or the commit where it has none, and
// what it was built with. info may be nil.
func version(name string, info *debug.BuildInfo) string {
	which := "(unknown)"
	if info != nil {
		which = info.Main.Version
		settings := make(map[string]string)
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		if commit := settings["vcs.revision"]; which == "(devel)" && commit != "" {
			which = "commit " + commit[:min(12, len(commit))]
			if settings["vcs.modified"] == "true" {
				which += ", modified"
			}
		}
	}
	return fmt.Sprintf("%s %s (%s %s/%s)", name, which, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
