package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
)

// A stage is where the programs run: each in a host of a lab, or all on loopback.
type stage struct {
	exes
	dir         string // of keys
	relayListen []string
	flags       []string // of peers: -relay MULTIADDR -stun HOST:PORT
	command     []string // that forward serve has printed

	start func(testing.TB, place, *exec.Cmd) *program.Process
}

// A place is one of the machines.
type place int

const (
	inPublic place = iota // the relay's
	atHome                // of the services
	away                  // of their clients
)

// exes are the paths of the programs.
type exes struct{ exe, relay string }

func build(t testing.TB) exes {
	t.Helper()
	return exes{program.Build(t, "."), program.Build(t, "../relay")}
}

// newStage makes a stage where start starts the programs.
func newStage(t testing.TB, exes exes, start func(testing.TB, place, *exec.Cmd) *program.Process, relayListen ...string) *stage {
	t.Helper()
	return &stage{exes: exes, dir: t.TempDir(), relayListen: relayListen, start: start}
}

// startRelay starts the relay, the same one each time.
func (s *stage) startRelay(t testing.TB) running {
	t.Helper()
	args := append([]string{"-key", filepath.Join(s.dir, "relay.key")}, s.relayListen...)
	r := s.run(t, inPublic, s.relay, args...)
	s.flags = strings.Fields(r.Line("-relay "))
	return r
}

// startServe starts forward serve, the same peer each time, and returns its ID.
func (s *stage) startServe(t testing.TB, args ...string) (running, string) {
	t.Helper()
	args = append(append([]string{"serve", "-key", filepath.Join(s.dir, "serve.key")}, s.flags...), args...)
	r := s.run(t, atHome, s.exe, args...)
	id := strings.Fields(r.Line("peer "))[1]
	s.command = strings.Fields(r.Line(" -local "))
	r.Line("peers can connect")
	return r, id
}

// startDial starts forward dial, and returns where it takes clients.
func (s *stage) startDial(t testing.TB, id string, args ...string) (running, string) {
	t.Helper()
	args = append([]string{id, "-local", "127.0.0.1:0"}, args...)
	r := s.run(t, away, s.exe, s.dialArgs(args...)...)
	_, addr, _ := strings.Cut(r.Line("clients can connect to "), "connect to ")
	return r, addr
}

func (s *stage) dialArgs(args ...string) []string {
	return append(append([]string{"dial", "-key", filepath.Join(s.dir, "dial.key")}, s.flags...), args...)
}

// A running program can be killed.
type running struct {
	*program.Process
	cmd *exec.Cmd
}

func (s *stage) run(t testing.TB, where place, exe string, args ...string) running {
	t.Helper()
	cmd := exec.Command(exe, args...)
	return running{s.start(t, where, cmd), cmd}
}

// kill ends the program as a crash does.
func (r running) kill() {
	_ = r.cmd.Process.Kill() // it may have ended
	r.Wait()
}
