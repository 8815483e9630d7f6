package main

import (
	"errors"
	"flag"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
)

type options struct {
	scene.Options
	args  []string          // a command at alice's, or empty
	lines map[string]string // shell command lines, by host
}

func parse(args []string) *options {
	o := &options{lines: make(map[string]string)}
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	console.Describe(flags, console.Usage{
		Does: "Lab runs commands in a laboratory on this machine: a public relay with a STUN server, and two hosts, " +
			"alice and bob, each in a home behind a NAT of your choice. It ends with alice's command, and has its exit status.",
		Synopsis: []string{
			"lab [flags]                               a shell at alice's",
			"lab [flags] -- CMD [ARG...]               a command at alice's",
			"lab [flags] -alice 'LINE' -bob 'LINE'     shell command lines, at once",
			"lab enter [-lab PID] HOST [CMD [ARG...]]  the same, from another terminal",
		},
		Notes: variableWords + "\n\n" + console.NATWords,
	})
	o.AddFlags(flags)
	for _, host := range []string{scene.AliceName, scene.BobName, scene.RelayName} {
		usage := "run this shell command `line` in the host " + host
		if host == scene.RelayName {
			usage += ", beside the relay and the STUN server"
		}
		flags.Func(host, usage, func(s string) error {
			o.lines[host] = s
			return nil
		})
	}
	console.Parse(flags, args, func() error {
		o.args = flags.Args()
		if _, ok := o.lines[scene.AliceName]; ok && len(o.args) > 0 {
			return errors.New("two commands at alice's: -alice, and the one after the flags")
		}
		return o.Check(flags)
	})
	return o
}
