package natpeer

import (
	"errors"
	"flag"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// Flags are the flags of every peer.
type Flags struct {
	Config
	Verbose bool
}

// AddFlags adds the flags. Complete must be called when they are parsed.
func AddFlags(flags *flag.FlagSet) *Flags {
	f := new(Flags)
	flags.Func("relay", "meet at the relay with this `multiaddr`, as examples/relay prints it", func(s string) (err error) {
		f.Relay, err = ParseRelay(s)
		return err
	})
	flags.Func("stun", "ask the STUN server at `host:port`, over TCP; may be repeated (default port 3478 of the relay)", func(s string) error {
		server, err := stun.ParseServer(s)
		f.STUN = append(f.STUN, server)
		return err
	})
	console.LogFlag(flags, &f.Verbose)
	return f
}

// Complete checks the flags, fills in what is left out, and turns the log on or off.
func (f *Flags) Complete() error {
	if len(f.Relay.Addrs) == 0 {
		return errors.New("-relay is missing: copy it from what examples/relay prints")
	}
	if len(f.STUN) == 0 {
		server, err := STUNBeside(f.Relay)
		if err != nil {
			return err
		}
		f.STUN = []string{server}
	}
	console.Log(f.Verbose)
	return nil
}
