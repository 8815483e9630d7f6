package main

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// serveNTP answers as an SNTP server (RFC 4330, section 6) whose clock is ahead of the
// machine's.
func serveNTP(t *testing.T, host *natlab.Host, ahead time.Duration) {
	t.Helper()
	var conn net.PacketConn
	if err := host.Do(func() (err error) {
		conn, err = net.ListenPacket("udp4", ":123")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		buf := make([]byte, 1024)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			now := time.Now().Add(ahead)
			if n >= 48 {
				conn.WriteTo(answerNTP(buf[:48], now), from)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-served
	})
}

func answerNTP(request []byte, now time.Time) []byte {
	answer := make([]byte, 48)
	answer[0] = request[0]&0x38 | 4 // the client's version; mode: server
	answer[1] = 1                   // stratum
	answer[3] = 0xec                // precision: 2^-20 s
	copy(answer[12:], "LOCL")
	// In seconds since 1900, with a fraction of 32 bits.
	seconds := uint64(now.Unix() + 2208988800)
	stamp := seconds<<32 | uint64(now.Nanosecond())<<32/1e9
	binary.BigEndian.PutUint64(answer[16:], stamp)
	copy(answer[24:], request[40:48])
	binary.BigEndian.PutUint64(answer[32:], stamp)
	binary.BigEndian.PutUint64(answer[40:], stamp)
	return answer
}
