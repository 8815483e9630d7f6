package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

// about returns how and with what a comparison is made.
func (o *options) about() result.About {
	command := "compare"
	for _, a := range o.args {
		command += " " + quoted(a)
	}
	return result.About{
		Command:  command,
		Seed:     o.seed,
		Delays:   cell(quickPairs[0]).path() + " between pairs of NATs; networks have their own",
		Versions: strings.Join(versions(), ", "),
		Machine:  fmt.Sprintf("%d cores, %s", runtime.NumCPU(), system()),
		Date:     time.Now().Format("2 January 2006"),
	}
}

// quoted returns an argument as a shell takes it.
func quoted(arg string) string {
	if arg != "" && strings.Trim(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=,./") == "" {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// versions returns those of simopen, go-libp2p and Go.
func versions() []string {
	build, ok := debug.ReadBuildInfo()
	all := []string{"simopen " + console.BuildVersion(build)}
	if ok {
		for _, m := range build.Deps {
			if m.Path == "github.com/libp2p/go-libp2p" {
				all = append(all, "go-libp2p "+m.Version)
			}
		}
	}
	return append(all, runtime.Version())
}

// system returns the operating system, on Linux with the kernel's release.
func system() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(release))
}
