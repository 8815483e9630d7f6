package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

var transferBytes = flag.Int64("bytes", 64<<20, "transfer so many `bytes` through the tunnel, each way")

// testTransfer: much arrives intact, in both directions at the same time, through two kernels'
// NATs.
func testTransfer(t *testing.T, exes exes) {
	s := newLabStage(t, exes, natlab.Config{Bridge: true}, "kernel-drop", "kernel-drop")
	s.startRelay(t)
	l := s.listen(t, atHome)
	_, id := s.startServe(t, "-to", l.Addr().String())
	_, local := s.startDial(t, id)

	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		served <- exchange(c.(*net.TCPConn), 1, 2, *transferBytes)
	}()
	begun := time.Now()
	c, err := s.dial(away)(t.Context(), "tcp4", local)
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange(c.(*net.TCPConn), 2, 1, *transferBytes); err != nil {
		t.Error("client:", err)
	}
	if err := <-served; err != nil {
		t.Error("service:", err)
	}
	t.Logf("%s each way at %s", console.Size(*transferBytes), console.Rate(*transferBytes, time.Since(begun)))
}

// exchange sends the pseudo-random data of one seed, and checks that the other one's comes.
func exchange(c *net.TCPConn, sends, gets byte, n int64) error {
	defer c.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := io.CopyN(c, rand.NewChaCha8([32]byte{sends}), n)
		if err == nil {
			err = c.CloseWrite()
		}
		sent <- err
	}()
	got, want := sha256.New(), sha256.New()
	count, err := io.Copy(got, struct{ io.Reader }{c})
	if err != nil {
		return err
	}
	_, _ = io.CopyN(want, rand.NewChaCha8([32]byte{gets}), n) // neither fails
	if count != n || string(got.Sum(nil)) != string(want.Sum(nil)) {
		return fmt.Errorf("%d bytes of %d came, or others", count, n)
	}
	return <-sent
}
