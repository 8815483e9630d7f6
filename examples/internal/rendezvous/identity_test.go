package rendezvous

import (
	"os"
	"path/filepath"
	"testing"
)

func TestIdentityIsKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	first, err := Identity(file)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Identity(file)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Equals(second) {
		t.Error("another key the second time")
	}
}

func TestIdentityRefusesOtherFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(file, []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Identity(file); err == nil {
		t.Error("notes are a key")
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "notes" {
		t.Errorf("the file is %q now, %v", b, err)
	}
}
