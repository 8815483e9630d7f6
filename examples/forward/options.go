package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/metrics"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
)

// moreWords ends the help of both commands.
const moreWords = "docs/forward.md has recipes, and what to do if it does not work."

// options are those of both commands.
type options struct {
	*natpeer.Flags
	keyFile string
	json    bool
	metrics string // host:port; "" for none

	askedSTUN []string // the servers that the user has named
}

// addOptions adds the flags of both commands. The identity is kept in a file of the command: with
// the same identity at the same time, two hosts would be taken for one.
func addOptions(flags *flag.FlagSet, command string) *options {
	o := &options{Flags: natpeer.AddFlags(flags)}
	if dir, err := os.UserConfigDir(); err == nil {
		o.keyFile = filepath.Join(dir, "simopen", command+".key")
	}
	flags.StringVar(&o.keyFile, "key", o.keyFile, "keep the identity in `file`, which is made at the first start")
	flags.BoolVar(&o.json, "json", false, "print events as JSON, one object a line")
	flags.StringVar(&o.metrics, metrics.Flag, "", metrics.Usage)
	console.VersionFlag(flags)
	return o
}

func (o *options) complete() error {
	if o.keyFile == "" {
		return errors.New("-key is missing: this user has no directory for configuration")
	}
	o.askedSTUN = o.STUN
	return o.Flags.Complete()
}

// services are those that peers may connect to, host:port by name.
type services map[string]string

var serviceName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Set takes one service, [NAME=]HOST:PORT.
func (s services) Set(text string) error {
	name, addr, named := strings.Cut(text, "=")
	if !named {
		name, addr = "", text
	}
	if named && !serviceName.MatchString(name) {
		return fmt.Errorf("%q is no name: want letters, digits, and . _ -", name)
	}
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		return errors.New("want [NAME=]HOST:PORT, as in 127.0.0.1:22 or web=127.0.0.1:80")
	}
	if _, ok := s[name]; ok {
		return fmt.Errorf("there is a service %q already", name)
	}
	s[name] = addr
	return nil
}

// String is for package flag.
func (s services) String() string { return "" }

// check returns an error if peers could not distinguish the services.
func (s services) check() error {
	if _, unnamed := s[""]; unnamed && len(s) > 1 {
		return errors.New("with several services each needs a name, as in -to ssh=127.0.0.1:22")
	}
	if len(s) == 0 {
		return errors.New("-to is missing: name a service, as in -to 127.0.0.1:22")
	}
	return nil
}

// names returns the names in order.
func (s services) names() []string { return slices.Sorted(maps.Keys(s)) }

// peers is a set of peers. nil is everybody.
type peers map[peer.ID]bool

// Set takes peer IDs, with commas between.
func (p *peers) Set(text string) error {
	if *p == nil {
		*p = make(peers)
	}
	for id := range strings.SplitSeq(text, ",") {
		decoded, err := peer.Decode(strings.TrimSpace(id))
		if err != nil {
			return fmt.Errorf("%q is no peer ID: copy the one that forward dial prints", id)
		}
		(*p)[decoded] = true
	}
	return nil
}

// String is for package flag.
func (p *peers) String() string { return "" }
