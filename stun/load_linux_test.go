package stun_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// load asks a server over many connections from one thread, with as few system calls as that takes,
// for the server shares the machine with it.
type load struct {
	server  unix.SockaddrInet4
	request []byte
	epoll   int
	open    map[int]struct{}
}

func newLoad(server netip.AddrPort, request []byte) (*load, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &load{
		server:  unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()},
		request: request,
		epoll:   epoll,
		open:    make(map[int]struct{}),
	}, nil
}

func (l *load) close() {
	for fd := range l.open {
		l.hangUp(fd)
	}
	unix.Close(l.epoll)
}

// connect makes n connections and asks once over each.
func (l *load) connect(n int) error {
	for range n {
		if err := l.connectOne(); err != nil {
			return err
		}
	}
	return nil
}

// portsPerAddress is below the 28,000 that Linux has for connections of one address to one server.
const portsPerAddress = 20000

func (l *load) connectOne() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	l.open[fd] = struct{}{}
	// A RST at the end leaves no TIME_WAIT behind, which would use up the ports.
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return fmt.Errorf("SO_LINGER: %w", err)
	}
	if client := len(l.open) / portsPerAddress; client > 0 {
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + client)}}); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
	}
	// On loopback that needs no waiting.
	if err := unix.Connect(fd, &l.server); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return l.ask(fd)
}

func (l *load) hangUp(fd int) {
	delete(l.open, fd)
	unix.Close(fd)
}

func (l *load) ask(fd int) error {
	if _, err := unix.Write(fd, l.request); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// answers reads the next answers that come, one a connection, and has next deal with each of them.
// It returns their number.
func (l *load) answers(next func(fd int) error) (int, error) {
	var events [64]unix.EpollEvent
	n, err := unix.EpollWait(l.epoll, events[:], 10_000)
	switch {
	case err == unix.EINTR:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("epoll: %w", err)
	case n == 0:
		return 0, fmt.Errorf("no answer in 10 s")
	}
	var b [512]byte
	for _, e := range events[:n] {
		fd := int(e.Fd)
		got, err := unix.Read(fd, b[:])
		if err != nil {
			return 0, fmt.Errorf("receive: %w", err)
		}
		// Both servers send an answer in one piece.
		if got < 20 || binary.BigEndian.Uint16(b[:]) != 0x0101 || got != 20+int(binary.BigEndian.Uint16(b[2:])) {
			return 0, fmt.Errorf("received %x, want a Binding response", b[:got])
		}
		if err := next(fd); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// run has next deal with answers for some time, and returns how many came in a second.
func (l *load) run(d time.Duration, next func(fd int) error) (float64, error) {
	begun, total := time.Now(), 0
	for time.Since(begun) < d {
		n, err := l.answers(next)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return float64(total) / time.Since(begun).Seconds(), nil
}

// requests measures requests that follow one another on n kept connections.
func (l *load) requests(n int, d time.Duration) (perSecond float64, err error) {
	if err := l.connect(n); err != nil {
		return 0, err
	}
	return l.run(d, l.ask)
}

// connections measures connections that carry one request each, n at a time.
func (l *load) connections(n int, d time.Duration) (perSecond float64, err error) {
	if err := l.connect(n); err != nil {
		return 0, err
	}
	return l.run(d, func(fd int) error {
		l.hangUp(fd)
		return l.connectOne()
	})
}

// idle makes n connections that are silent after an answer each.
func (l *load) idle(n int) error {
	for len(l.open) < n {
		batch := min(n-len(l.open), 64)
		if err := l.connect(batch); err != nil {
			return fmt.Errorf("connection %d: %w", len(l.open), err)
		}
		for batch > 0 {
			got, err := l.answers(func(int) error { return nil })
			if err != nil {
				return err
			}
			batch -= got
		}
	}
	return nil
}
