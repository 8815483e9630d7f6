package holepunch

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
)

// TestFlightConnFails: what waits in a Read or a Write ends with the attempt, and with the caller's
// Close.
func TestFlightConnFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []func(*flightConn) error{
			func(c *flightConn) error { c.fail(ErrClosed); return nil },
			(*flightConn).Close,
		} {
			over, other := net.Pipe()
			defer over.Close()
			defer other.Close()
			var flights int
			c := newFlightConn(over, nil, func([]byte) { flights++ })
			ends := make(chan error)
			go func() {
				_, err := c.Read(make([]byte, 1))
				ends <- err
			}()
			synctest.Wait()
			go func() {
				_, err := c.Write(make([]byte, 1))
				ends <- err
			}()
			synctest.Wait()
			if flights != 1 {
				t.Errorf("%d flights are complete, want 1", flights)
			}
			if err := end(c); err != nil {
				t.Error(err)
			}
			for range 2 {
				if err := <-ends; !errors.Is(err, net.ErrClosed) {
					t.Errorf("got %v, want net.ErrClosed", err)
				}
			}
			// The connection, which is not the handshake's yet, lives on.
			go other.Write([]byte{1})
			if _, err := over.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
		}
	})
}

// A sink is a connection to nowhere.
type sink struct{ net.Conn }

func (sink) Read(b []byte) (int, error)  { return len(b), nil }
func (sink) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkFlightConn measures what is left of the flights in a connection that is in use.
func BenchmarkFlightConn(b *testing.B) {
	flight := newFlightConn(sink{}, nil, func([]byte) {})
	flight.open(nil)
	for _, c := range []struct {
		name string
		net.Conn
	}{{"without", sink{}}, {"with", flight}} {
		b.Run(c.name, func(b *testing.B) {
			p := make([]byte, 1400)
			for b.Loop() {
				c.Write(p)
				c.Read(p)
			}
		})
	}
}
