package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	msmux "github.com/multiformats/go-multistream"
)

// echoProtocol: what is written comes back.
const echoProtocol protocol.ID = "/simopen/soak/echo/1.0.0"

const (
	// echoTimeout is far more than 20 % of loss make of a few round trips, and less than
	// yamux takes to give a connection up.
	echoTimeout = 20 * time.Second

	// streamTime is longer than a round.
	streamTime = 3 * time.Minute

	chunk = 16 << 10
)

// A transfer is data that was sent and came back.
type transfer struct {
	Over    string // "direct" or "relayed"
	Sent    int64  // bytes
	Intact  int64  // bytes that came back as they were
	Cut     string // how it ended before the end
	Corrupt string // what came back otherwise
}

func serveEcho(s network.Stream) {
	s.SetDeadline(time.Now().Add(streamTime))
	if _, err := io.Copy(s, s); err != nil {
		s.Reset()
		return
	}
	s.Close()
}

// openEcho opens a stream on that very connection.
func openEcho(ctx context.Context, c network.Conn) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(ctx, "soak"), echoTimeout)
	defer cancel()
	s, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	err = s.SetProtocol(echoProtocol)
	s.SetDeadline(time.Now().Add(echoTimeout))
	if err == nil {
		err = msmux.SelectProtoOrFail(echoProtocol, s)
	}
	if err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

// ask has a stream that is open echo one word.
func ask(s network.Stream) error {
	s.SetDeadline(time.Now().Add(echoTimeout))
	said := []byte("are you there?")
	heard := make([]byte, len(said))
	if _, err := s.Write(said); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, heard); err != nil {
		return err
	}
	if !bytes.Equal(said, heard) {
		return fmt.Errorf("said %q, heard %q", said, heard)
	}
	return nil
}

// send has n bytes echoed over a connection. They are the keystream of a cipher, so that
// each byte that comes back is compared with the one that was sent, also when more do not.
func send(ctx context.Context, c network.Conn, over string, n int64) transfer {
	t := transfer{Over: over}
	s, err := openEcho(ctx, c)
	if err != nil {
		t.Cut = err.Error()
		return t
	}
	defer s.Reset()
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	wrote := make(chan error, 1)
	go func() {
		data, buf := rand.NewChaCha8(seed), make([]byte, chunk)
		for t.Sent < n {
			b := buf[:min(chunk, n-t.Sent)]
			data.Read(b)
			w, err := s.Write(b)
			t.Sent += int64(w)
			if err != nil {
				wrote <- err
				return
			}
		}
		wrote <- s.CloseWrite()
	}()
	data, want, got := rand.NewChaCha8(seed), make([]byte, chunk), make([]byte, chunk)
	for err == nil && t.Corrupt == "" {
		var r int
		r, err = s.Read(got)
		data.Read(want[:r])
		if !bytes.Equal(want[:r], got[:r]) {
			t.Corrupt = fmt.Sprintf("within %d bytes after %d", r, t.Intact)
			break
		}
		t.Intact += int64(r)
	}
	if err != io.EOF {
		s.Reset() // the writer may wait for ever
	}
	werr := <-wrote
	switch {
	case t.Corrupt != "":
	case err == io.EOF && werr == nil && t.Intact != n:
		t.Corrupt = fmt.Sprintf("ends after %d bytes of %d", t.Intact, n)
	case err != io.EOF || werr != nil:
		t.Cut = errors.Join(noEOF(err), werr).Error()
	}
	return t
}

func noEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
