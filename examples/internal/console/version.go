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

// version describes a build in one line: its version, and what it was built with. info may be nil.
func version(name string, info *debug.BuildInfo) string {
	return fmt.Sprintf("%s %s (%s %s/%s)", name, BuildVersion(info), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// BuildVersion returns the version of the module that a program was built from, or the commit where
// there is none. info may be nil.
func BuildVersion(info *debug.BuildInfo) string {
	if info == nil {
		return "(unknown)"
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	which, commit := info.Main.Version, settings["vcs.revision"]
	if which == "(devel)" && commit != "" {
		which = "commit " + commit[:min(12, len(commit))]
		if settings["vcs.modified"] == "true" {
			which += ", modified"
		}
	}
	return which
}
