package tcpport

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An errorQueue reports whether ICMP errors came for a socket. The kernel turns both a RST and a
// port unreachable into ECONNREFUSED, but puts the latter into the socket's error queue besides.
// Since the dialer closes the socket when it fails, the errorQueue keeps a duplicate.
type errorQueue struct {
	fd   int
	open bool
}

func (q *errorQueue) watch(network, _ string, c syscall.RawConn) error {
	q.close() // of an attempt before
	var option, duplicate error
	err := c.Control(func(fd uintptr) {
		if network == "tcp6" {
			option = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
		} else {
			option = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1)
		}
		q.fd, duplicate = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		q.open = duplicate == nil
	})
	return errors.Join(err, os.NewSyscallError("setsockopt", option), os.NewSyscallError("fcntl", duplicate))
}

// has reports whether an ICMP error has come.
func (q *errorQueue) has() bool {
	if !q.open {
		return false
	}
	// A message holds the beginning of our own packet, and a struct sock_extended_err with the
	// address of the sender of the ICMP error.
	packet, oob := make([]byte, 64), make([]byte, 256)
	for {
		_, n, _, _, err := unix.Recvmsg(q.fd, packet, oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			return false
		}
		messages, err := unix.ParseSocketControlMessage(oob[:n])
		if err != nil {
			return false
		}
		for _, m := range messages {
			const origin = 4 // offset of ee_origin
			if m.Header.Type != unix.IP_RECVERR && m.Header.Type != unix.IPV6_RECVERR || len(m.Data) <= origin {
				continue
			}
			if o := m.Data[origin]; o == unix.SO_EE_ORIGIN_ICMP || o == unix.SO_EE_ORIGIN_ICMP6 {
				return true
			}
		}
	}
}

func (q *errorQueue) close() {
	if q.open {
		unix.Close(q.fd)
		q.open = false
	}
}

// by makes the kernel give up a connect by itself at a deadline. The kernel's timers are punctual
// where the program's are not, so that no SYN leaves afterwards.
func by(deadline time.Time) Control {
	return func(_, _ string, c syscall.RawConn) error {
		ms := max(1, int(time.Until(deadline).Milliseconds())) // 0 is for ever
		var option error
		err := c.Control(func(fd uintptr) {
			option = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
		})
		return errors.Join(err, os.NewSyscallError("setsockopt", option))
	}
}

// deaf is a socket filter that takes every segment but a SYN without an ACK. It looks at the
// flags, in byte 13 of the TCP header (RFC 9293, section 3.1).
var deaf = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x12}, // SYN and ACK
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x02, Jt: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0x40000}, // all of it: more than a segment can have
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

// deafen makes a socket ignore a SYN.
func deafen(_, _ string, c syscall.RawConn) error {
	var option error
	err := c.Control(func(fd uintptr) {
		program := unix.SockFprog{Len: uint16(len(deaf)), Filter: &deaf[0]}
		option = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	})
	return errors.Join(err, os.NewSyscallError("setsockopt", option))
}
