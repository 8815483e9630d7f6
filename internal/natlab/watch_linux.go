package natlab

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A watch reads the IPv4 packets of a link that do not pass through the lab's process.
type watch struct {
	socket *os.File
	done   chan struct{} // closed when nothing reads any more
}

// maxWatched is the longest packet on a veth: segments are cut by the receiver, if at all.
const maxWatched = 1 << 16

// watch calls to for each packet on a link of the namespace, from a goroutine, with the kernel's
// time. It ends by close.
func (ns *namespace) watch(link string, to func(at time.Time, sent bool, pkt []byte)) (*watch, error) {
	var socket *os.File
	err := ns.do(func() (err error) {
		socket, err = openPacketSocket(link)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", link, err)
	}
	w := &watch{socket, make(chan struct{})}
	go w.run(to)
	return w, nil
}

// openPacketSocket opens a socket for all packets of a link in the calling thread's namespace.
func openPacketSocket(link string) (*os.File, error) {
	i, err := net.InterfaceByName(link)
	if err != nil {
		return nil, err
	}
	// One for IPv4 alone would not see what is sent.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: i.Index})
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "packets of "+link), nil
}

// htons converts to network byte order.
func htons(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

func (w *watch) run(to func(time.Time, bool, []byte)) {
	defer close(w.done)
	conn, err := w.socket.SyscallConn()
	if err != nil {
		return
	}
	buf, control := make([]byte, maxWatched), make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.Timespec{}))))
	for {
		var n, c int
		var from unix.Sockaddr
		var recvErr error
		err := conn.Read(func(fd uintptr) bool {
			n, c, _, from, recvErr = unix.Recvmsg(int(fd), buf, control, 0)
			return recvErr != unix.EAGAIN
		})
		if err != nil || recvErr != nil {
			return // closed, or the link is gone
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok || link.Protocol != htons(unix.ETH_P_IP) || link.Pkttype == unix.PACKET_OTHERHOST {
			continue
		}
		to(timestamp(control[:c]), link.Pkttype == unix.PACKET_OUTGOING, buf[:n])
	}
}

// timestamp returns the time in a control message of SO_TIMESTAMPNS.
func timestamp(control []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) == 0 || len(messages[0].Data) < int(unsafe.Sizeof(unix.Timespec{})) {
		return time.Now()
	}
	return time.Unix((*unix.Timespec)(unsafe.Pointer(&messages[0].Data[0])).Unix())
}

func (w *watch) close() {
	w.socket.Close()
	<-w.done
}
