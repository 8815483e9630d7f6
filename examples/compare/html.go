package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/page"
	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// A pageFile is where the page goes. It is made before the first run, so that an error in its name
// shows then.
type pageFile struct {
	*os.File
	name string
}

// createPage returns nil for no name.
func createPage(name string) (*pageFile, error) {
	if name == "" {
		return nil, nil
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("-html %s: not a file", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return nil, fmt.Errorf("-html: %w", err)
	}
	return &pageFile{f, name}, nil
}

// discard removes the file if it has not become the page.
func (f *pageFile) discard() {
	if f != nil {
		f.Close()
		os.Remove(f.Name())
	}
}

// write writes the page, and gives the file its name.
func (f *pageFile) write(runs []result.Run, s result.Summary, punches []page.Punch) error {
	if !whole(runs) {
		s.Population = result.Population{}
	}
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
	const mode = 0o644 // a temporary file is its owner's alone
	if err := errors.Join(page.Write(f, p), f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), f.name)
}

// about returns when and with what the comparison was made.
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
