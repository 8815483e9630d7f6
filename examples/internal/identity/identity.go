// Package identity keeps a libp2p identity in a file, so that a program has the same peer ID
// whenever it is started.
package identity

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/crypto"
)

// Load reads a private key from a file. If there is no such file, Load makes a key and writes it
// there, for this user alone.
func Load(file string) (crypto.PrivKey, error) {
	key, err := read(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := create(file); err != nil {
		return nil, err
	}
	return read(file) // another process may have been the first
}

func read(file string) (crypto.PrivKey, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := crypto.UnmarshalPrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("%s is not a libp2p private key (%w); name another file, or remove it for a new key", file, err)
	}
	return key, nil
}

// create writes a new key, whole or not at all, unless there is a file.
func create(file string) error {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return err
	}
	b, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return err
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, ".key*") // with permissions 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(b)
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return os.Rename(temp.Name(), file) // a file system without links
	}
	return nil
}
