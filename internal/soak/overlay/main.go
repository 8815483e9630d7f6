// Command overlay writes a Go standard library whose wall clock can be made to jump, and
// prints the file for "go test -overlay". No clock of the machine is touched:
//
//	go run ./internal/soak/overlay /tmp/wall > /tmp/wall.json
//	go test -overlay /tmp/wall.json -tags walljump ./internal/soak -run TestSoak -soak 2m
//
// The argument is the directory that the changed file of the library is written to.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: overlay DIRECTORY")
	}
	if err := write(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func write(dir string) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return err
	}
	const read = "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {\n" // in Now
	changed := strings.Replace(string(text), read, "\tsec, nsec, mono := runtimeNow()\n\tsec += wallJump\n\tif mono == 0 {\n", 1)
	if changed == string(text) {
		return fmt.Errorf("%s: time.Now does not read the clock as it did in Go 1.26", original)
	}
	changed += "\n//go:linkname wallJump\nvar wallJump int64 // seconds\n"
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	file, err := filepath.Abs(filepath.Join(dir, "time.go"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(changed), 0o666); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]map[string]string{"Replace": {original: file}})
}
