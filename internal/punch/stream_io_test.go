package punch

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// TestStreamConn runs the tests of package nettest on streams whose connections come up while they
// are used.
func TestStreamConn(t *testing.T) {
	t.Parallel()
	for name, copies := range map[string]int{"one": 1, "three": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b := newStreams(t)
				var served sync.WaitGroup
				for i := range copies {
					x, y := connPair(t)
					served.Go(func() { a.Serve(x, false) })
					served.Go(func() {
						if i > 0 {
							select {
							case <-a.Chosen():
							case <-a.Done():
							}
						}
						b.Serve(y, false)
					})
				}
				stop = func() {
					a.Close()
					b.Close()
					served.Wait()
				}
				if copies > 1 { // the other side, too
					return b, a, stop, nil
				}
				return a, b, stop, nil
			})
		})
	}
}

// TestStreamHandover: Reads and Writes of several goroutines that are under way when a connection
// is chosen lose, repeat and mix nothing.
func TestStreamHandover(t *testing.T) {
	t.Parallel()
	const writers, records = 4, 300
	a, b := newStreams(t)
	var all sync.WaitGroup
	for _, ends := range [][2]*Stream{{a, b}, {b, a}} {
		for id := range writers {
			all.Go(func() {
				// A record has its writer, its number, and a length that goes with it.
				for n := range records {
					record := make([]byte, 12+(n*37+id)%2000)
					binary.BigEndian.PutUint32(record, uint32(len(record)))
					binary.BigEndian.PutUint32(record[4:], uint32(id))
					binary.BigEndian.PutUint32(record[8:], uint32(n))
					for i := range record[12:] {
						record[12+i] = byte(n + i)
					}
					if _, err := ends[0].Write(record); err != nil {
						t.Errorf("write: %v", err)
						return
					}
				}
			})
		}
		all.Go(func() {
			var next [writers]uint32
			ends[1].SetReadDeadline(time.Now().Add(testTimeout))
			for range writers * records {
				var header [12]byte
				if _, err := io.ReadFull(ends[1], header[:]); err != nil {
					t.Errorf("read: %v", err)
					return
				}
				body := make([]byte, binary.BigEndian.Uint32(header[:])-12)
				if _, err := io.ReadFull(ends[1], body); err != nil {
					t.Errorf("read: %v", err)
					return
				}
				id, n := binary.BigEndian.Uint32(header[4:]), binary.BigEndian.Uint32(header[8:])
				if id >= writers || n != next[id] {
					t.Errorf("record %d of writer %d; want %v", n, id, next)
					return
				}
				next[id]++
				for i := range body {
					if body[i] != byte(int(n)+i) {
						t.Errorf("record %d of writer %d is damaged", n, id)
						return
					}
				}
			}
		})
	}
	for a.keeps() < maxKept-2100 || b.keeps() < maxKept-2100 { // or else a record fits
		time.Sleep(time.Millisecond)
	}
	for range 3 {
		join(t, a, b)
	}
	all.Wait()
}

// keeps returns how much a stream keeps.
func (s *Stream) keeps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.choice.out)
}

// TestStreamKeeps: before the choice as much is kept as a copy may carry. A Write that does not
// fit waits for the choice as a whole.
func TestStreamKeeps(t *testing.T) {
	t.Parallel()
	a, b := newStreams(t)
	sent := pattern(maxKept + 100)
	if n, err := a.Write(sent[:maxKept]); n != maxKept || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	a.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := a.Write(sent[:1]); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("wrote %d, %v; want 0, %v", n, err, os.ErrDeadlineExceeded)
	}
	a.SetWriteDeadline(time.Time{})
	wrote := make(chan error)
	go func() {
		_, err := a.Write(sent[maxKept:])
		wrote <- err
	}()
	join(t, a, b)
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	wantRead(t, b, string(sent))
}
