package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/page"
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
func (f *pageFile) write(p page.Page) error {
	const mode = 0o644 // a temporary file is its owner's alone
	if err := errors.Join(page.Write(f, p), f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), f.name)
}
