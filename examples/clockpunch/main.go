// Clockpunch opens a TCP connection between two machines behind NATs that know each
// other's addresses and nothing else: no relay, no signalling. Both connect at the
// same moments of the clock.
//
//	go run ./examples/clockpunch -port 44444 46.0.3.1:55555   # on 46.0.2.1
//	go run ./examples/clockpunch -port 55555 46.0.2.1:44444   # on 46.0.3.1
//
// They try at every full minute until they are connected, say hello, and end. The port must be the
// same outside the NAT as inside, which examples/stunclient can find out. The clocks may differ by
// half a second or so; -ntp corrects worse ones. Nothing is encrypted, and nothing proves who the
// other end is. The exit status is 0 only if the connection came up.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
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
	port   uint16
	peer   netip.AddrPort
	every  time.Duration
	slots  int
	ntp    string
	offset time.Duration
	hello  string
	json   bool
}

// minEvery leaves two clocks that are 300 ms wrong time in common, see window.
const minEvery = time.Second

func parse(args []string) options {
	var o options
	flags := flag.NewFlagSet("clockpunch", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does: "Clockpunch opens a TCP connection between two machines behind NATs that know each other's " +
			"addresses and nothing else. Both run it, and both connect at the same moments of the clock.",
		Synopsis: []string{"clockpunch -port N [flags] PEER-IP:PEER-PORT"},
	})
	flags.Func("port", "connect from this local `port`; the other side has it in its command", func(s string) (err error) {
		o.port, err = console.ParsePort(s)
		return err
	})
	flags.DurationVar(&o.every, "every", time.Minute, "connect at the multiples of this `duration` since the Unix epoch, the same on both sides")
	flags.IntVar(&o.slots, "n", 10, "give up after `n` times")
	flags.StringVar(&o.ntp, "ntp", "", "correct the clock by what the NTP `server` says, as in pool.ntp.org")
	flags.DurationVar(&o.offset, "offset", 0, "add this `duration` to the clock; what -ntp finds comes on top")
	flags.StringVar(&o.hello, "hello", "hello", "say this `text` to the other side")
	flags.BoolVar(&o.json, "json", false, "print the result as one JSON object, and nothing else")
	console.Parse(flags, args, func() (err error) {
		switch {
		case o.port == 0 && flags.NArg() == 0:
			return errors.New("want -port, which the other side must know beforehand, and the other side's address, as in -port 44444 46.0.3.1:55555")
		case o.port == 0:
			return errors.New("-port is missing: the other side must know it beforehand")
		case flags.NArg() != 1:
			return errors.New("want the other side's address, after the flags, as in 46.0.3.1:55555")
		case o.every < minEvery:
			return fmt.Errorf("-every is less than %s", minEvery)
		case o.slots < 1:
			return errors.New("-n is less than 1")
		case len(o.hello) > maxText:
			return fmt.Errorf("-hello has more than %d bytes", maxText)
		}
		o.peer, err = parsePeer(flags.Arg(0))
		return err
	})
	return o
}

// parsePeer reads an address. Names are not looked up: each side must know the other's
// very address, and most names have several.
func parsePeer(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	switch {
	case err != nil:
		return a, fmt.Errorf("%q is no IP address with a port, and names are not looked up: want one as in 46.0.3.1:55555 or [2001:db8::1]:55555", s)
	case a.Port() == 0 || a.Addr().IsUnspecified() || a.Addr().IsMulticast():
		return a, fmt.Errorf("%s is no address that can be connected to", a)
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}

func run(ctx context.Context, opts options) (ok bool) {
	out := console.New(os.Stdout)
	if opts.json {
		out = console.New(io.Discard)
	}
	r := (&session{opts: opts, out: out}).run(ctx)
	switch {
	case opts.json:
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			fmt.Fprintln(os.Stderr, "clockpunch:", err)
			return false
		}
	case r.Reason != "":
		fmt.Fprintln(os.Stderr, "clockpunch:", r.Reason)
	}
	return r.Connected
}
