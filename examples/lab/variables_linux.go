package main

import (
	"fmt"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// variableWords explains the environment variables.
const variableWords = `Commands have these environment variables:
  LAB_HOST           where the command runs: alice, bob or relay
  OWN_IP, OUTER_IP   the host's address, inside the NAT and outside
  PEER_IP            of alice and bob: the outer address of the other
  ALICE_IP, BOB_IP   the outer addresses of both
  RELAY_IP           the relay's host
  RELAY              the libp2p relay's multiaddr, with its peer ID
  STUN, STUN2        two endpoints of the STUN server, over TCP and UDP`

// A variable is one of the environment.
type variable struct{ name, value string }

// variables returns what a host's commands have in their environment.
func variables(s *scene.Scene, public natpeer.Config, host *natlab.Host) []variable {
	outer := func(h *natlab.Host) string { return scene.OuterAddr(h).String() }
	vars := []variable{
		{"LAB_HOST", host.Name()},
		{"OWN_IP", host.Addr().String()},
		{"OUTER_IP", outer(host)},
	}
	switch host {
	case s.Alice:
		vars = append(vars, variable{"PEER_IP", outer(s.Bob)})
	case s.Bob:
		vars = append(vars, variable{"PEER_IP", outer(s.Alice)})
	}
	return append(vars,
		variable{"ALICE_IP", outer(s.Alice)},
		variable{"BOB_IP", outer(s.Bob)},
		variable{"RELAY_IP", s.Relay.Addr().String()},
		variable{"RELAY", fmt.Sprintf("%s/p2p/%s", s.RelayListen(), public.Relay.ID)},
		variable{"STUN", s.STUN[0].String()},
		variable{"STUN2", s.STUN[1].String()},
	)
}

// environment returns variables in the form of [os.Environ]. A shell shows the host in its prompt.
func environment(vars []variable) []string {
	var env []string
	for _, v := range vars {
		env = append(env, v.name+"="+v.value)
	}
	prompt := vars[0].value + `$ `
	// What bash reads at its start sets PS1 again.
	return append(env, "PS1="+prompt, `PROMPT_COMMAND=PS1="`+vars[0].value+`:\w\$ "; unset PROMPT_COMMAND`)
}

// showVariables prints the variables of alice and bob, those that both have once.
func showVariables(out *console.Console, alice, bob []variable) {
	out.Line("variables", "%-9s  %-10s  %s", "", "alice", "bob")
	for i, v := range alice {
		if v.value != bob[i].value && v.name != "LAB_HOST" {
			out.Line("", "%-9s  %-10s  %s", v.name, v.value, bob[i].value)
		}
	}
	for i, v := range alice {
		if v.value == bob[i].value {
			out.Line("", "%-9s  %s", v.name, v.value)
		}
	}
}
