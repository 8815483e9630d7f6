package stun_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func init() { roles["attack"] = attackRole }

// An attack on a server, from loopback addresses.
type attack struct {
	Kind   string // a key of attacks
	Server netip.AddrPort
	From   []netip.Addr
	Conns  int // at a time, in all
	Rate   int // of new connections in a second; 0 for as many as there can be

	begun *atomic.Int64 // connections so far
}

// attacks are what an attacker does with a connection, until it is closed. Then there is another.
var attacks = map[string]func(ctx context.Context, nc net.Conn){
	"connects": func(context.Context, net.Conn) {},
	"silent":   func(_ context.Context, nc net.Conn) { drain(nc) },
	"half a request": func(_ context.Context, nc net.Conn) {
		_, _ = nc.Write(bindingRequest[:19])
		drain(nc)
	},
	"a byte a second": func(ctx context.Context, nc net.Conn) {
		for _, b := range bindingRequest {
			if _, err := nc.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
		}
	},
	"garbage":         func(_ context.Context, nc net.Conn) { writeAll(nc, garbage) },
	"unknown methods": func(_ context.Context, nc net.Conn) { writeAll(nc, repeat(allocateRequest, 17)) },
	"pipelined":       func(_ context.Context, nc net.Conn) { writeAll(nc, repeat(bindingRequest, 64)) },
	// As much as a request can make the server remember, and more to come.
	"unknown attributes": func(_ context.Context, nc net.Conn) {
		writeAll(nc, append(unknownAttributes[:len(unknownAttributes):len(unknownAttributes)], unknownAttributes[:2000]...))
	},
	// Until neither side takes any more.
	"never reads": func(_ context.Context, nc net.Conn) {
		_ = nc.(*net.TCPConn).SetReadBuffer(1) // as little as may be
		many := repeat(bindingRequest, 100)
		for {
			if _, err := nc.Write(many); err != nil {
				return
			}
		}
	},
	// As a peer does, but more often than a full server wants.
	"asks": func(ctx context.Context, nc net.Conn) {
		b := make([]byte, 512)
		for {
			if _, err := nc.Write(bindingRequest); err != nil {
				return
			}
			if _, err := nc.Read(b); err != nil {
				return
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
		}
	},
}

var (
	garbage           = []byte("GET / HTTP/1.1\r\nHost: stun.example.org\r\n\r\n")
	allocateRequest   = pion.MustBuild(pion.TransactionID, pion.NewType(pion.MethodAllocate, pion.ClassRequest)).Raw
	unknownAttributes = func() []byte {
		setters := []pion.Setter{pion.TransactionID, pion.BindingRequest}
		for i := range 507 { // 2048 bytes
			setters = append(setters, pion.RawAttribute{Type: pion.AttrType(0x4000 + i)})
		}
		return pion.MustBuild(setters...).Raw
	}()
)

func repeat(b []byte, n int) (all []byte) {
	for range n {
		all = append(all, b...)
	}
	return all
}

func writeAll(nc net.Conn, b []byte) {
	_, _ = nc.Write(b)
	drain(nc)
}

// run attacks until ctx ends.
func (a attack) run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	local := func(i int) netip.AddrPort { return netip.AddrPortFrom(a.From[i%len(a.From)], 0) }
	if a.Rate == 0 {
		for i := range a.Conns {
			all.Go(func() {
				for ctx.Err() == nil {
					a.once(ctx, local(i))
				}
			})
		}
		return
	}
	// Whatever the server does: the oldest makes room for the newest.
	ends := make([]context.CancelFunc, a.Conns)
	begun := time.Now()
	for i := 0; ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
		for ; i < int(time.Since(begun).Seconds()*float64(a.Rate)); i++ {
			end := &ends[i%a.Conns]
			if *end != nil {
				(*end)()
			}
			var ctx2 context.Context
			ctx2, *end = context.WithCancel(ctx)
			all.Go(func() { a.once(ctx2, local(i)) })
		}
	}
}

// start attacks until end is called.
func (a attack) start() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.run(ctx)
	}()
	return func() { cancel(); <-ended }
}

func (a attack) once(ctx context.Context, local netip.AddrPort) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(local), KeepAlive: -1}
	d.SetMultipathTCP(false)
	nc, err := d.DialContext(ctx, "tcp4", a.Server.String())
	if err != nil {
		select {
		case <-time.After(10 * time.Millisecond): // it has no more ports, or is reset at once
		case <-ctx.Done():
		}
		return
	}
	if a.begun != nil {
		a.begun.Add(1)
	}
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })()
	attacks[a.Kind](ctx, nc)
	_ = nc.(*net.TCPConn).SetLinger(0) // it needs its ports again
	_ = nc.Close()
}

// attackRole attacks until it is asked to end, or killed.
func attackRole(c *labtest.Child) error {
	var a attack
	if err := c.Config(&a); err != nil {
		return err
	}
	a.begun = new(atomic.Int64)
	defer a.start()()
	for {
		if err := c.Receive(new(bool)); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := c.Emit(a.begun.Load()); err != nil {
			return err
		}
	}
}

// addresses are of a network each.
func addresses(n int) []netip.Addr {
	var all []netip.Addr
	for i := range n {
		all = append(all, netip.AddrFrom4([4]byte{127, byte(1 + i>>8), byte(i), 9}))
	}
	return all
}
