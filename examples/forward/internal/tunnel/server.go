package tunnel

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/simopen/go-libp2p-simopen/examples/internal/conns"
)

const (
	// requestTimeout is for what a peer sends first, and for the answer to it.
	requestTimeout = 10 * time.Second

	// serviceTimeout is how long a service may take to accept: it is nearby.
	serviceTimeout = 5 * time.Second
)

// A Server lets peers connect to services.
type Server struct {
	host     host.Host
	services map[string]string // host:port by name
	allow    map[peer.ID]bool  // nil: everybody
	recorder
	notify *network.NotifyBundle
	table  table

	strangers rate.Sometimes // that are reported: a stranger may come as often as it likes
}

// Serve lets peers connect to services, each a host:port with a name: those peers that are allowed,
// or all if allow is nil. It reports events from several goroutines. Close must be called.
func Serve(h host.Host, services map[string]string, allow map[peer.ID]bool, tell func(Event), m *Metrics) *Server {
	s := &Server{
		host: h, services: services, allow: allow, recorder: recorder{tell, m},
		strangers: rate.Sometimes{First: 8, Interval: 10 * time.Second},
	}
	s.notify = &network.NotifyBundle{DisconnectedF: s.table.disconnected}
	h.Network().Notify(s.notify)
	h.SetStreamHandler(Protocol, s.handle)
	return s
}

// Close ends all connections.
func (s *Server) Close() {
	s.host.RemoveStreamHandler(Protocol)
	s.table.close()
	s.host.Network().StopNotify(s.notify)
}

// Allows reports whether a peer may connect. It reports an event if not.
func (s *Server) Allows(p peer.ID) bool {
	if s.allow == nil || s.allow[p] {
		return true
	}
	s.metrics.refused("")
	s.strangers.Do(func() {
		s.tell(Event{Kind: Refused, Peer: p, Err: (&Refusal{Status: StatusNotAllowed}).Error()})
	})
	return false
}

// handle serves a stream that a peer opened.
func (s *Server) handle(stream network.Stream) {
	_ = stream.SetDeadline(time.Now().Add(requestTimeout))
	p := stream.Conn().RemotePeer()
	if !s.Allows(p) {
		answer(stream, &Refusal{StatusNotAllowed, p.String()})
		return
	}
	e, ok := s.table.add()
	if !ok {
		refusal := &Refusal{StatusBusy, ""}
		s.refuse(Event{Peer: p}, false, refusal)
		answer(stream, refusal)
		return
	}
	defer s.table.remove(e)
	s.table.depends(e, stream.Conn())
	defer context.AfterFunc(e.ctx, func() { _ = stream.Reset() })()
	service, err := readRequest(stream)
	if err != nil {
		_ = stream.Reset() // a peer that sends nothing gets no answer
		return
	}
	event := Event{Peer: p, Service: service, Relayed: conns.IsRelayed(stream.Conn())}
	name, addr, known := s.service(service)
	if known {
		event.Service = name
	}
	tcp, refusal := s.connect(e.ctx, addr, known)
	if refusal != nil {
		s.refuse(event, known, refusal)
		answer(stream, refusal)
		return
	}
	if err := writeAnswer(stream, StatusOpen, ""); err != nil {
		_ = tcp.Reset()
		_ = stream.Reset()
		return
	}
	_ = stream.SetDeadline(time.Time{})
	_ = s.carry(e.ctx, stream, tcp, event, "the service") // it is recorded
}

// answer refuses a request.
func answer(stream network.Stream, r *Refusal) {
	if err := writeAnswer(stream, r.Status, r.Detail); err != nil {
		_ = stream.Reset()
		return
	}
	_ = stream.Close()
}

// service returns the service of a name, or the only one if the name is empty.
func (s *Server) service(name string) (_, addr string, ok bool) {
	if name == "" && len(s.services) == 1 {
		for name, addr = range s.services {
			return name, addr, true
		}
	}
	addr, ok = s.services[name]
	return name, addr, ok
}

// connect connects to a service.
func (s *Server) connect(ctx context.Context, addr string, known bool) (end tcpEnd, _ *Refusal) {
	if !known {
		return end, &Refusal{StatusNoService, "services: " + strings.Join(slices.Sorted(maps.Keys(s.services)), ", ")}
	}
	ctx, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return end, &Refusal{StatusRefused, ""}
	case err != nil:
		return end, &Refusal{StatusUnreachable, dialCause(err)}
	}
	return tcpEnd{c.(*net.TCPConn)}, nil
}

// dialCause returns why a service could not be connected to, without its address: that is this
// side's business.
func dialCause(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &op) && op.Timeout():
		return "it does not answer"
	case errors.As(err, &op):
		err = op.Err
	}
	return err.Error()
}
