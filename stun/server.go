package stun

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// A ServerConfig bounds what a Server spends on its clients. Zero values mean the defaults. A
// client that exceeds a bound is disconnected.
type ServerConfig struct {
	// MaxConns bounds the connections of the server. Default 4096: at 5 kB each (measured on
	// amd64), 20 MB. Each also takes a file descriptor. When the server is full, a newcomer takes
	// the place of a connection that has been silent for long, or of one from a network with more
	// connections than the newcomer's.
	MaxConns int

	// MaxConnsPerClient bounds the connections of one client: one IPv4 address or one IPv6 /64,
	// which a single host may have to itself. Default 256: a peer keeps one or two, and many peers
	// may share the address of a carrier's NAT.
	MaxConnsPerClient int

	// MaxRequestRate bounds the messages that one connection may send in a second. Default 16: a
	// peer sends one to learn its address, and then one now and then to keep the mapping.
	MaxRequestRate int

	// IdleTimeout bounds the time between two requests. Default 90 s: peers keep the connection
	// that made a NAT mapping, and send a request every 25 to 30 s to keep both alive, so that two
	// may be lost or late.
	IdleTimeout time.Duration

	// RequestTimeout bounds three times: until the first request of a connection begins to arrive,
	// until any request is complete once its first byte has arrived, and until the client has taken
	// the response. Default 5 s: each fits into one segment, and in 5 s a lost one is sent again
	// several times.
	RequestTimeout time.Duration

	// Addresses are the server's two addresses and two ports (RFC 5780, section 3), if it has them.
	// Serve must listen at all four combinations, and the host must have both addresses, as clients
	// see them. A client that asks at one is given the one that differs in both (OTHER-ADDRESS),
	// and may ask the server to connect back from its other address.
	Addresses [2]netip.AddrPort
}

// withDefaults returns a copy of c, which may be nil, without zero values.
func (c *ServerConfig) withDefaults() ServerConfig {
	var cfg ServerConfig
	if c != nil {
		cfg = *c
	}
	cfg.MaxConns = cmp.Or(cfg.MaxConns, 4096)
	cfg.MaxConnsPerClient = cmp.Or(cfg.MaxConnsPerClient, 256)
	cfg.MaxRequestRate = cmp.Or(cfg.MaxRequestRate, 16)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, 90*time.Second)
	cfg.RequestTimeout = cmp.Or(cfg.RequestTimeout, 5*time.Second)
	return cfg
}

// other returns the OTHER-ADDRESS for a client that asks at the local address, or the zero
// AddrPort.
func (c *ServerConfig) other(local netip.AddrPort) netip.AddrPort {
	a, b := c.Addresses[0], c.Addresses[1]
	ip, port := b.Addr(), b.Port()
	if local.Addr() == b.Addr() {
		ip = a.Addr()
	} else if local.Addr() != a.Addr() {
		return netip.AddrPort{}
	}
	if local.Port() == b.Port() {
		port = a.Port()
	} else if local.Port() != a.Port() {
		return netip.AddrPort{}
	}
	// RFC 5780 section 7.4: none without another address.
	if ip == local.Addr() || !ip.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, port)
}

// A Server is a STUN server for TCP and UDP. It answers Binding requests of RFC 8489 and nothing
// else. Over TCP it connects back to a client that asks for it; see docs/stun-connect-back.md. Its
// methods may be called from several goroutines.
type Server struct {
	cfg   ServerConfig
	begun time.Time
	backs *connectBacks

	counters serverCounters

	ctx   context.Context // ends when Shutdown or Close begins
	end   context.CancelFunc
	conns sync.WaitGroup // one goroutine each

	mu        sync.Mutex
	listeners map[*io.Closer]struct{} // and packet connections
	open      connTable
}

// NewServer returns a server with the bounds of cfg, which may be nil.
func NewServer(cfg *ServerConfig) *Server {
	c := cfg.withDefaults()
	ctx, end := context.WithCancel(context.Background())
	return &Server{
		cfg:       c,
		begun:     time.Now(),
		ctx:       ctx,
		end:       end,
		backs:     newConnectBacks(),
		listeners: make(map[*io.Closer]struct{}),
		open:      newConnTable(c.MaxConns, c.MaxConnsPerClient),
	}
}

// Serve accepts connections from l and answers their requests, until Shutdown or Close, and then
// returns ErrServerClosed. It may be called with several listeners, from a goroutine each. Serve
// closes l in any case.
//
// A listener without keep-alives ([net.ListenConfig]) saves time on each connection; the server
// ends idle connections itself.
//
// Serve pauses after passing errors of l, such as running out of file descriptors, and returns any
// other. Without file descriptors the server is full, as with MaxConns.
func (s *Server) Serve(l net.Listener) error {
	defer func() { _ = l.Close() }() // Shutdown may have been first.
	remove, ok := s.addListener(l)
	if !ok {
		return ErrServerClosed
	}
	defer remove()
	var pause backoff
	for {
		nc, err := l.Accept()
		switch {
		case s.closing():
			if err == nil {
				reset(nc)
			}
			return ErrServerClosed
		case err == nil:
			pause = 0
			s.start(nc)
		case temporary(err):
			if s.makeRoom(err) {
				pause = 0
			}
			pause.wait(s.ctx.Done())
		default:
			return err
		}
	}
}

// temporary reports whether Accept may succeed later, as it does after EMFILE, ENFILE and
// ECONNABORTED.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// backoff is the pause after the latest failed Accept.
type backoff time.Duration

// wait pauses twice as long as before, 5 ms to 1 s, or until done. The values are those of
// net/http: short enough not to be noticed, long enough not to spin.
func (b *backoff) wait(done <-chan struct{}) {
	*b = min(max(2**b, backoff(5*time.Millisecond)), backoff(time.Second))
	t := time.NewTimer(time.Duration(*b))
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	}
}

// evictedWithoutFiles is how many connections are evicted at once when file descriptors run out. By
// the end of the first pause that makes room for more than 6,000 a second.
const evictedWithoutFiles = 32

// makeRoom evicts connections if err says that the process or the system has no file descriptor
// left, and reports whether there is room now. The newcomers' networks are not known yet.
func (s *Server) makeRoom(err error) (made bool) {
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for range evictedWithoutFiles {
		evicted := s.open.evict(netip.Prefix{}, time.Now())
		if evicted == nil {
			break
		}
		reset(evicted.nc)
		s.counters.inc(countEvicted)
		made = true
	}
	return made
}

// start serves nc from a new goroutine, or resets it if that exceeds a bound.
func (s *Server) start(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	client := addrPort(nc.RemoteAddr())
	if s.closing() || !client.IsValid() {
		reset(nc)
		return
	}
	c := newServerConn(s, nc, client)
	evicted, ok := s.open.add(c, time.Now())
	if !ok {
		reset(nc)
		if s.open.atClientLimit(c) {
			s.counters.inc(countClientLimit)
		} else {
			s.counters.inc(countFull)
		}
		return
	}
	s.counters.inc(countAccepted)
	if evicted != nil {
		reset(evicted.nc) // a FIN would take memory for what may be an attacker
		s.counters.inc(countEvicted)
	}
	s.conns.Go(func() {
		c.serve()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open.remove(c)
	})
}

// Shutdown stops the server in an orderly way. It closes the listeners and the connections that
// wait for a request, lets a request that has begun to arrive be answered (RFC 8489 section 6.2.2
// leaves no request without its response), and waits for all of that. If ctx ends first, Shutdown
// resets the remaining connections, waits for them, and returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	defer s.backs.close()
	inTime := context.AfterFunc(ctx, func() {
		s.backs.close()
		s.resetAll()
	})
	s.conns.Wait()
	if !inTime() {
		return ctx.Err()
	}
	return nil
}

// Close closes the listeners and resets all connections. It returns nil when their goroutines have
// ended.
func (s *Server) Close() error {
	s.stop()
	s.backs.close()
	s.resetAll()
	s.conns.Wait()
	return nil
}

// stop closes the listeners and the idle connections.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing() {
		return
	}
	s.end()
	for l := range s.listeners {
		_ = (*l).Close()
	}
	for _, c := range s.open.conns {
		c.closeIdle()
	}
}

func (s *Server) resetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open.conns {
		reset(c.nc)
	}
}

func (s *Server) closing() bool { return s.ctx.Err() != nil }

// addListener makes stop close l, until remove is called. It returns false if the server is
// closing.
func (s *Server) addListener(l io.Closer) (remove func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing() {
		return nil, false
	}
	key := &l // l itself need not be comparable
	s.listeners[key] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, key)
	}, true
}

// reset closes nc without leaving TIME_WAIT or unsent data behind.
func reset(nc net.Conn) {
	if l, ok := nc.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0) // nc is given up; errors change nothing.
	}
	_ = nc.Close()
}
