package stun_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// TestServerBounds tries each bound of the default configuration.
func TestServerBounds(t *testing.T) {
	req := pion.MustBuild(pion.TransactionID, pion.BindingRequest)
	for name, try := range map[string]func(t *testing.T, nc net.Conn){
		"idle from the start": func(t *testing.T, nc net.Conn) {
			wantClosed(t, nc, 5*time.Second)
		},
		"idle after requests": func(t *testing.T, nc net.Conn) {
			for range 10 {
				exchange(t, nc)
				time.Sleep(89 * time.Second)
			}
			wantClosed(t, nc, time.Second)
		},
		"half a request": func(t *testing.T, nc net.Conn) {
			time.Sleep(4 * time.Second)
			write(t, nc, req.Raw[:10])
			wantClosed(t, nc, 5*time.Second)
		},
		"half a request, late": func(t *testing.T, nc net.Conn) {
			exchange(t, nc)
			time.Sleep(time.Minute)
			write(t, nc, req.Raw[:10])
			wantClosed(t, nc, 5*time.Second)
		},
		"slow request": func(t *testing.T, nc net.Conn) {
			exchange(t, nc)
			for _, b := range req.Raw[:5] {
				write(t, nc, []byte{b})
				time.Sleep(time.Second - time.Nanosecond)
			}
			wantClosed(t, nc, 5*time.Nanosecond)
		},
		"request in time": func(t *testing.T, nc net.Conn) {
			for _, b := range req.Raw {
				write(t, nc, []byte{b})
				time.Sleep(200 * time.Millisecond)
			}
			readResponse(t, nc, req)
		},
		"does not read": func(t *testing.T, nc net.Conn) {
			write(t, nc, req.Raw)
			time.Sleep(5*time.Second + time.Nanosecond)
			wantClosed(t, nc, 0)
		},
		"rate": func(t *testing.T, nc net.Conn) {
			for range 3 {
				for range 16 {
					exchange(t, nc)
				}
				time.Sleep(time.Second)
			}
			for range 16 {
				exchange(t, nc)
			}
			write(t, nc, req.Raw)
			wantClosed(t, nc, 0)
		},
		"rate of ignored messages": func(t *testing.T, nc net.Conn) {
			indication := pion.MustBuild(pion.NewType(pion.MethodBinding, pion.ClassIndication)).Raw
			for range 17 {
				write(t, nc, indication)
			}
			wantClosed(t, nc, 0)
		},
		"too long": func(t *testing.T, nc net.Conn) {
			write(t, nc, []byte{0, 1, 0x07, 0xf0})
			wantClosed(t, nc, 0)
		},
		"not STUN": func(t *testing.T, nc net.Conn) {
			write(t, nc, []byte("G"))
			wantClosed(t, nc, 0)
		},
		"not STUN later": func(t *testing.T, nc net.Conn) {
			exchange(t, nc)
			write(t, nc, []byte("G"))
			wantClosed(t, nc, 0)
		},
		"malformed attribute": func(t *testing.T, nc net.Conn) {
			write(t, nc, append([]byte{0, 1, 0, 4}, append(req.Raw[4:20:20], 0, 1, 0, 1)...))
			wantClosed(t, nc, 0)
		},
		"ignored, then a request": func(t *testing.T, nc net.Conn) {
			write(t, nc, pion.MustBuild(pion.NewType(pion.MethodBinding, pion.ClassIndication)).Raw)
			write(t, nc, pion.MustBuild(pion.NewType(pion.MethodAllocate, pion.ClassRequest)).Raw)
			exchange(t, nc)
		},
		"requests in one segment": func(t *testing.T, nc net.Conn) {
			write(t, nc, append(req.Raw[:20:20], req.Raw...))
			readResponse(t, nc, req)
			readResponse(t, nc, req)
			wantClosed(t, nc, 90*time.Second)
		},
		"many requests in one segment": func(t *testing.T, nc net.Conn) {
			go func() { _, _ = nc.Write(bytes.Repeat(req.Raw, 16)) }() // a pipe has no buffer
			for range 16 {
				readResponse(t, nc, req)
			}
			wantClosed(t, nc, 90*time.Second)
		},
		"long request": func(t *testing.T, nc net.Conn) {
			long := pion.MustBuild(pion.TransactionID, pion.BindingRequest, pion.RawAttribute{Type: 0x8fff, Value: make([]byte, 2000)})
			for _, part := range [][]byte{long.Raw[:1], long.Raw[1:100], long.Raw[100:]} {
				write(t, nc, part)
				time.Sleep(time.Second)
			}
			readResponse(t, nc, long)
			exchange(t, nc)
			wantClosed(t, nc, 90*time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, l := servePipes(t, nil)
				try(t, l.dial(t, "192.0.2.1:1"))
			})
		})
	}
}

func TestServerConnBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l := servePipes(t, &stun.ServerConfig{MaxConns: 3, MaxConnsPerClient: 2})
		open := l.dial(t, "192.0.2.1:1")
		exchange(t, open)
		exchange(t, l.dial(t, "192.0.2.1:2"))
		wantClosed(t, l.dial(t, "192.0.2.1:3"), 0) // The client's bound.
		exchange(t, l.dial(t, "192.0.2.2:1"))
		synctest.Wait()                            // The server has nothing to wait for.
		wantClosed(t, l.dial(t, "192.0.2.3:1"), 0) // The server's.
		exchange(t, open)
		_ = open.Close()
		synctest.Wait()
		exchange(t, l.dial(t, "192.0.2.1:3"))
	})
}

// TestServerConnDefaults fills a server with the default bounds.
func TestServerConnDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l := servePipes(t, nil)
		for i := range 4096 / 256 {
			remote := &net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(i)), Port: 1}
			for range 256 {
				l.dial(t, remote.String())
			}
			wantClosed(t, l.dial(t, remote.String()), 0)
		}
		exchange(t, l.dial(t, "198.51.100.1:1")) // another network
	})
}

// TestServerTellsClientsApart has clients of either family ask in turn.
func TestServerTellsClientsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l := servePipes(t, nil)
		clients := make(map[string]*stun.Conn)
		for _, addr := range []string{"192.0.2.1:1", "[2001:db8::1]:2", "192.0.2.2:65535", "[2001:db8::2]:4"} {
			c := stun.NewConn(l.dial(t, addr), "server")
			defer func() { _ = c.Close() }()
			clients[addr] = c
		}
		for range 3 {
			for addr, c := range clients {
				if mapped, err := c.Binding(t.Context()); err != nil || mapped.String() != addr {
					t.Errorf("%s was told %s, %v", addr, mapped, err)
				}
			}
		}
	})
}

func TestServerResetsOffenders(t *testing.T) {
	nc, err := net.Dial("tcp", serve(t, nil).String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	write(t, nc, []byte("GET / HTTP/1.1\r\n\r\n"))
	_ = nc.SetReadDeadline(time.Now().Add(30 * time.Second))
	if b, err := io.ReadAll(nc); err == nil || len(b) > 0 {
		t.Errorf("read %q, %v, want a reset", b, err)
	}
}

func TestServerRefusesOtherNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l := servePipes(t, nil)
		a, b := net.Pipe()
		l.conns <- b // Not from a TCP address.
		wantClosed(t, a, 0)
	})
}
