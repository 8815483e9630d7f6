package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/identity"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/examples/internal/pair"
	"github.com/simopen/go-libp2p-simopen/examples/internal/show"
)

// listen waits for peers until it is interrupted.
func listen(ctx context.Context, args []string) (status int) {
	flags := flag.NewFlagSet("peer listen", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does:     "Listen waits at the relay for peers, and receives what they send. It prints the command for the other machine.",
		Synopsis: []string{"peer listen -relay MULTIADDR [flags]"},
	})
	common := natpeer.AddFlags(flags)
	keyFile := flags.String("key", "", "keep this side's identity in `file`, which is made at the first start (default a new identity at each start)")
	console.Parse(flags, args, func() (err error) {
		if err := console.NoArgs(flags); err != nil {
			return err
		}
		if err := common.Complete(); err != nil || *keyFile == "" {
			return err
		}
		if common.Identity, err = identity.Load(*keyFile); err != nil {
			return fmt.Errorf("-key: %w", err)
		}
		return nil
	})
	v := listenView{console.New(os.Stdout), common.Config}
	if err := pair.Listen(ctx, common.Config, v.show); err != nil {
		fmt.Fprintln(os.Stderr, "peer listen:", err)
		return 1
	}
	return 0
}

// A listenView is what the person at the listening machine sees.
type listenView struct {
	out *console.Console
	cfg natpeer.Config
}

func (v listenView) show(e pair.Event) {
	if e.Kind == pair.Ready {
		v.ready(e)
		return
	}
	text := v.text(e)
	if text == "" {
		return
	}
	who := "relay"
	if e.Peer != "" {
		who = show.ShortID(e.Peer)
	}
	v.out.Line(e.Time.Format("15:04:05"), "%s  %s", who, text)
}

func (v listenView) ready(e pair.Event) {
	v.out.Line("peer", "%s", e.Peer)
	v.out.Line("relay", "reserved at %s", v.cfg.Relay.Addrs[0])
	if e.Err != "" {
		show.NoSTUN(v.out, e)
	}
	v.out.Print("", "On the other machine:", "", "  "+dialCommand(v.cfg.Relay, e.STUN, e.Peer), "")
	if v.cfg.Identity == nil {
		v.out.Print("The next start has another peer ID, unless -key FILE keeps this one.", "")
	}
}

func (v listenView) text(e pair.Event) string {
	switch e.Kind {
	case pair.Relayed:
		return "relayed connection up"
	case pair.Offered:
		return fmt.Sprintf("is %s, this side is %s", show.Addrs(e.Theirs), show.Addrs(e.Own))
	case pair.Punched:
		if e.Err != "" {
			return fmt.Sprintf("no direct connection: %s (%s)", e.Err, show.Punch(e))
		}
		return "punch: " + show.Punch(e)
	case pair.Direct:
		return fmt.Sprintf("direct connection up after %s, from %s", console.Millis(e.Took), e.Addr)
	case pair.Received:
		if e.Err != "" {
			return fmt.Sprintf("transfer cut after %s: %s", console.Size(e.Bytes), e.Err)
		}
		if e.Bytes == 0 {
			return "" // it was only to ask how the connection came up
		}
		return fmt.Sprintf("received %s at %s", console.Size(e.Bytes), console.Rate(e.Bytes, e.Took))
	case pair.Disconnected:
		return "lost, trying again: " + e.Err
	}
	return ""
}

// dialCommand returns the command line for the other machine. It names the STUN servers that
// answer.
func dialCommand(relay peer.AddrInfo, servers []string, self peer.ID) string {
	words := []string{console.ProgramName("./examples/peer"), "dial", "-relay", fmt.Sprintf("%s/p2p/%s", relay.Addrs[0], relay.ID)}
	for _, s := range servers {
		words = append(words, "-stun", s)
	}
	return strings.Join(append(words, self.String()), " ")
}
