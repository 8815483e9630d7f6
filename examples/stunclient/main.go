// Stunclient asks a STUN server over TCP from which address it sees a local port: the port's
// reflexive address, which a peer connects to.
//
//	go run ./examples/stunclient -port 44444 stun.example.org:3478
//
// Any server of RFC 5389 or RFC 8489 that answers over TCP will do, such as coturn. The exit status
// is 0 only if it reported an address.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func main() {
	opts := parse(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ok := run(ctx, opts)
	stop()
	if !ok {
		os.Exit(1)
	}
}

type options struct {
	port   uint16 // 0: the kernel chooses
	server string // host:port
	json   bool
}

func parse(args []string) options {
	var o options
	flags := flag.NewFlagSet("stunclient", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does:     "Stunclient asks a STUN server over TCP from which address it sees a local port of this host.",
		Synopsis: []string{"stunclient [-port N] [-json] HOST[:PORT]"},
	})
	flags.Func("port", "ask from this local `port` (default one that is free)", func(s string) (err error) {
		o.port, err = console.ParsePort(s)
		return err
	})
	flags.BoolVar(&o.json, "json", false, "print the result as one JSON object, and nothing else")
	console.Parse(flags, args, func() (err error) {
		if flags.NArg() != 1 {
			return errors.New("want one STUN server, after the flags, as in stun.example.org:3478")
		}
		o.server, err = stun.ParseServer(flags.Arg(0))
		return err
	})
	return o
}

// result is what -json prints.
type result struct {
	Server    string         `json:"server"`
	Local     netip.AddrPort `json:"local"`     // "" if there was no connection
	Reflexive netip.AddrPort `json:"reflexive"` // "" if the server told none
	Multiaddr string         `json:"multiaddr"`
	RTT       float64        `json:"rtt_ms"` // from request to answer
	Reason    string         `json:"reason"` // why there is no address, or ""
}

func run(ctx context.Context, opts options) (ok bool) {
	r, err := ask(ctx, opts)
	if err != nil {
		r.Reason = explain(err, opts.port)
	}
	switch {
	case opts.json:
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			fmt.Fprintln(os.Stderr, "stunclient:", err)
			return false
		}
	case err != nil:
		fmt.Fprintln(os.Stderr, "stunclient:", r.Reason)
	default:
		show(console.New(os.Stdout), r)
	}
	return err == nil
}

// ask returns what it has found out so far, also with an error.
func ask(ctx context.Context, opts options) (result, error) {
	r := result{Server: opts.server}
	port, err := tcpport.OpenNumber(opts.port, nil, nil)
	if err != nil {
		return r, err
	}
	defer port.Close()
	// Closed with a FIN, so that the NAT keeps the mapping for some minutes (RFC 5382, REQ-5) in
	// which a punch may follow from the same port. A RST would end it sooner.
	conn, err := stun.Dial(ctx, port, opts.server)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	r.Local = conn.LocalAddr()
	begun := time.Now()
	mapped, err := conn.Binding(ctx)
	if err != nil {
		return r, err
	}
	r.Reflexive = mapped
	r.RTT = float64(time.Since(begun)) / float64(time.Millisecond)
	m, err := manet.FromNetAddr(net.TCPAddrFromAddrPort(mapped))
	if err != nil {
		return r, err
	}
	r.Multiaddr = m.String()
	return r, nil
}
