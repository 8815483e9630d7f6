package main

import (
	"context"
	"os"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// run runs the lab to its end, and returns the exit status of its leading command.
func run(o *options) (status int, err error) {
	signals := watchSignals()
	defer signals.stop()
	defer killOrphans() // of commands, when all else is gone
	adoptOrphans()
	s, err := scene.New(o.Options)
	if err != nil {
		return 0, err
	}
	out := console.New(os.Stderr) // the standard output is the commands'
	defer func() {
		if closed := s.Close(); err == nil {
			err = closed
		}
		for _, file := range s.Captures() {
			out.Line("capture", "%s", file)
		}
	}()
	public, relay, err := startRelay(signals.ctx, s)
	if err != nil {
		return 0, signals.cause(err)
	}
	defer relay.Stop()
	l := &laboratory{Scene: s, public: public, options: o}
	d, err := openDoor(l)
	if err != nil {
		return 0, err
	}
	defer d.close()
	l.introduce(out)
	return l.run(signals, relay)
}

// startRelay starts the process in the relay's host, and waits until it serves.
func startRelay(ctx context.Context, s *scene.Scene) (natpeer.Config, *actor.Actor[natpeer.Config], error) {
	listen, err := ma.NewMultiaddr(s.RelayListen())
	if err != nil {
		return natpeer.Config{}, nil, err
	}
	relay, err := actor.Start[natpeer.Config](ctx, s.Relay.Start, actor.Role{
		Name: scene.RelayName,
		Spec: scene.Public{Listen: listen, STUN2: s.STUN[:]},
	})
	if err != nil {
		return natpeer.Config{}, nil, err
	}
	public, err := relay.Next(ctx)
	if err != nil {
		relay.Stop()
	}
	return public, relay, err
}

// A laboratory is a scene in which the relay serves.
type laboratory struct {
	*scene.Scene
	public  natpeer.Config
	options *options
}

// hosts returns the three hosts. A command at an earlier one leads.
func (l *laboratory) hosts() []*natlab.Host { return []*natlab.Host{l.Alice, l.Bob, l.Relay} }

// introduce prints where each host is.
func (l *laboratory) introduce(out *console.Console) {
	l.Describe(out)
	showVariables(out, variables(l.Scene, l.public, l.Alice), variables(l.Scene, l.public, l.Bob))
	if len(l.options.args) == 0 && len(l.options.lines) == 0 {
		out.Line("shell", "at alice's; at bob's, in another terminal: lab enter bob")
	}
	out.Print("")
}

// run runs the commands until the leading one has ended.
func (l *laboratory) run(signals *signals, relay *actor.Actor[natpeer.Config]) (status int, err error) {
	commands := l.commands()
	leader := commands[0]
	defer lendTerminal()()
	// The others are started first: they are more often the servers.
	for i := len(commands) - 1; i >= 0; i-- {
		if err := commands[i].start(l.environment(commands[i].host)); err != nil {
			return 0, &startError{err}
		}
		defer commands[i].end()
	}
	signals.leave()
	relayEnded := make(chan error, 1)
	go func() {
		_, err := relay.Next(signals.ctx)
		relayEnded <- err
	}()
	select {
	case <-leader.done:
		return leader.status(), nil
	case err := <-relayEnded:
		return 0, signals.cause(err)
	}
}

// commands returns the commands, the leading one first.
func (l *laboratory) commands() (all []*command) {
	o := l.options
	labels := len(o.lines) > 1 || len(o.lines) > 0 && len(o.args) > 0
	for _, host := range l.hosts() {
		line, ok := o.lines[host.Name()]
		switch {
		case ok:
			all = append(all, newCommand(host, labels, "/bin/sh", "-c", line))
		case host == l.Alice && len(o.args) > 0:
			all = append(all, newCommand(host, false, o.args...))
		case host == l.Alice && len(o.lines) == 0:
			all = append(all, newShell(host))
		}
	}
	all[0].lead()
	return all
}

func (l *laboratory) environment(host *natlab.Host) []string {
	return environment(variables(l.Scene, l.public, host))
}
