package stun_test

import (
	"io"
	"net"
	"runtime"
	"testing"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// benchConns is the number of connections that are kept or made side by side.
const benchConns = 32

// unbounded lets a benchmark do what no peer would.
var unbounded = &stun.ServerConfig{MaxConnsPerClient: 4096, MaxRequestRate: 1 << 30}

// BenchmarkServer measures requests that follow one another on kept connections. The client side
// allocates nothing, so allocs/op is the server's.
func BenchmarkServer(b *testing.B) {
	addr := serve(b, unbounded).String()
	b.SetParallelism(benchConns / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = nc.Close() }()
		req := pion.MustBuild(pion.TransactionID, pion.BindingRequest).Raw
		resp := make([]byte, 512)
		for pb.Next() {
			if !roundTrip(b, nc, req, resp) {
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// BenchmarkServerConnect measures connections that carry one request each.
func BenchmarkServerConnect(b *testing.B) {
	addr := serve(b, unbounded).String()
	b.SetParallelism(benchConns / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		req := pion.MustBuild(pion.TransactionID, pion.BindingRequest).Raw
		resp := make([]byte, 512)
		for pb.Next() {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			ok := roundTrip(b, nc, req, resp)
			_ = nc.(*net.TCPConn).SetLinger(0) // Spare the machine's ports.
			_ = nc.Close()
			if !ok {
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "connections/s")
}

// roundTrip sends req and reads a response.
func roundTrip(b *testing.B, nc net.Conn, req, resp []byte) bool {
	if _, err := nc.Write(req); err != nil {
		b.Error(err)
		return false
	}
	if _, err := io.ReadAtLeast(nc, resp, 20); err != nil {
		b.Error(err)
		return false
	}
	return true
}
