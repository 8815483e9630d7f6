package identity

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
)

func TestLoadKeeps(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	first, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Equals(second) {
		t.Error("another key the second time")
	}
}

func TestLoadRefusesOtherFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(file, []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err == nil {
		t.Error("notes are a key")
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "notes" {
		t.Errorf("the file is %q now, %v", b, err)
	}
}

func TestLoadAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config", "key")
	var loading sync.WaitGroup
	keys := make([]crypto.PrivKey, 8)
	for i := range keys {
		loading.Go(func() {
			var err error
			if keys[i], err = Load(file); err != nil {
				t.Error(err)
			}
		})
	}
	loading.Wait()
	for _, k := range keys {
		if !k.Equals(keys[0]) {
			t.Error("two processes have different keys")
		}
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode != 0o600 {
		t.Errorf("mode %o", mode)
	}
	if entries, _ := os.ReadDir(filepath.Dir(file)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
