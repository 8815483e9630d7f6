package holepunch_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"math/big"
	"net"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// Two agents get a direct connection, with TLS on it. The signalling is a pipe here; in earnest it
// is a stream through a server that both can reach, such as a WebSocket, encrypted end to end. The
// first flights of TLS travel in the signalling.
func ExampleAgent() {
	server, stop := stunServer()
	defer stop()
	alice, bob := net.Pipe()
	cert := certificate()

	done := make(chan struct{})
	go func() { // Bob, who has another host
		defer close(done)
		agent, err := holepunch.NewAgent(holepunch.Config{STUNServers: []string{server}})
		if err != nil {
			log.Fatal(err)
		}
		defer agent.Close()
		var secure *tls.Conn
		conn, err := agent.Accept(context.Background(), bob, &holepunch.Options{
			Peer: "Alice",
			Handshake: &holepunch.Handshake{
				Protocols: []string{"tls"},
				Run: func(ctx context.Context, c net.Conn, _ string, _ bool) error {
					secure = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
					return secure.HandshakeContext(ctx)
				},
			},
		})
		if err != nil {
			log.Fatal(err)
		}
		if err := conn.AwaitChoice(context.Background()); err != nil { // or it ends with its agent
			log.Fatal(err)
		}
		fmt.Fprintln(secure, "hello Alice")
		bufio.NewReader(secure).ReadString('\n')
		secure.Close()
	}()

	agent, err := holepunch.NewAgent(holepunch.Config{STUNServers: []string{server}})
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()
	var secure *tls.Conn
	_, err = agent.Dial(context.Background(), alice, &holepunch.Options{
		Peer: "Bob",
		Handshake: &holepunch.Handshake{
			Protocols: []string{"tls"},
			Run: func(ctx context.Context, c net.Conn, _ string, _ bool) error {
				roots := x509.NewCertPool()
				roots.AddCert(cert.Leaf)
				secure = tls.Client(c, &tls.Config{ServerName: "bob.example.org", RootCAs: roots})
				return secure.HandshakeContext(ctx)
			},
		},
	})
	if err != nil {
		log.Fatalf("%v (reason %q)", err, string(holepunch.ReasonOf(err)))
	}
	greeting, err := bufio.NewReader(secure).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(greeting)
	fmt.Fprintln(secure, "hello Bob")
	<-done
	// Output: hello Alice
}

// Without a handshake the connection is plain TCP between the two that signal.
func ExampleAgent_Dial() {
	server, stop := stunServer()
	defer stop()
	alice, bob := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		agent, err := holepunch.NewAgent(holepunch.Config{STUNServers: []string{server}})
		if err != nil {
			log.Fatal(err)
		}
		defer agent.Close()
		conn, err := agent.Accept(context.Background(), bob, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintln(conn, "hello Alice")
		conn.Close()
	}()
	agent, err := holepunch.NewAgent(holepunch.Config{STUNServers: []string{server}})
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()
	conn, err := agent.Dial(context.Background(), alice, nil)
	if err != nil {
		log.Fatal(err)
	}
	greeting, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(greeting)
	conn.Close()
	<-done
	// Output: hello Alice
}

// stunServer is what the hosts ask for their addresses; here it is in the same program.
func stunServer() (addr string, stop func()) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := stun.NewServer(nil)
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(l)
	}()
	return l.Addr().String(), func() {
		s.Close()
		<-served
	}
}

// certificate makes one for bob.example.org.
func certificate() tls.Certificate {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"bob.example.org"},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	if err != nil {
		log.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
