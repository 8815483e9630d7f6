package stun_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// If two servers see the same address of one local port, the NAT's mapping is endpoint-independent.
// Here the net.Dialer takes a new port for each, and there is no NAT.
func ExampleDial() {
	first, second := exampleServer(), exampleServer()
	defer first.Close()
	defer second.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, server := range []string{"stun:" + first.addr + "?transport=tcp", second.addr} {
		conn, err := stun.Dial(ctx, &net.Dialer{}, server)
		if err != nil {
			log.Print(err)
			continue
		}
		defer conn.Close() // The mapping may end with the connection.
		mapped, err := conn.Binding(ctx)
		if err != nil {
			log.Print(err)
			continue
		}
		fmt.Println("reflexive address:", mapped.Addr())
	}
	// Output:
	// reflexive address: 127.0.0.1
	// reflexive address: 127.0.0.1
}

// A connection is kept while its mapping is needed, and asked from time to time whether both are
// still there.
func ExampleConn() {
	server := exampleServer()
	conn, err := stun.Dial(context.Background(), &net.Dialer{}, server.addr)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	for range 2 {
		mapped, err := conn.Binding(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("unchanged:", mapped == conn.LocalAddr())
	}

	server.Close()
	<-conn.Done()
	fmt.Println("server gone:", errors.Is(conn.Err(), stun.ErrDisconnected))
	// Output:
	// unchanged: true
	// unchanged: true
	// server gone: true
}

func ExampleServer() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := stun.NewServer(&stun.ServerConfig{MaxConns: 1000})
	served := make(chan error)
	go func() { served <- server.Serve(l) }()

	// On a signal:
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		log.Print(err)
	}
	fmt.Println(<-served)
	// Output: stun: server closed
}

// A server that connects back, and has two addresses, lets a client find out all that its NAT does.
// On loopback there is none, and anybody is let in.
func ExampleDiscover() {
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := stun.NewServer(nil)
	go func() { _ = s.Serve(server) }()
	defer s.Close()

	report, err := stun.Discover(context.Background(), []string{server.Addr().String()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("NAT:", report.NAT)
	fmt.Println("mapping:", report.Mapping)
	fmt.Println("filtering:", report.Filtering) // This server has one address only.
	fmt.Println(stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Sequential, Step: 1})
	// Output:
	// NAT: no
	// mapping: EIM
	// filtering: unknown
	// APDM, APDF, sequential ports 1 apart
}

// runningServer is a server on loopback.
type runningServer struct {
	*stun.Server
	addr string
}

func exampleServer() runningServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := stun.NewServer(nil)
	go func() { _ = s.Serve(l) }()
	return runningServer{s, l.Addr().String()}
}
