package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/page"
	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// writePage writes the page to a file.
func writePage(file string, runs []result.Run, s result.Summary, punches []page.Punch) error {
	p := page.Page{
		About:     about(),
		Runs:      runs,
		Summary:   s,
		Kinds:     kinds,
		Punchable: punchable,
		Punches:   punches,
	}
	for _, s := range rough {
		p.Scenarios = append(p.Scenarios, page.Scenario{Name: s.name, Words: s.what})
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(page.Write(f, p), f.Close())
}

// about says when and with what the comparison was made.
func about() string {
	words := []string{time.Now().Format("2 January 2006"), fmt.Sprintf("%d cores", runtime.NumCPU()), runtime.Version()}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, m := range build.Deps {
			if m.Path == "github.com/libp2p/go-libp2p" {
				words = append(words, "go-libp2p "+m.Version)
			}
		}
	}
	return strings.Join(words, ", ")
}
