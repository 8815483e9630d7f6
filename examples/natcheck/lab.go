package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/stunserver"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// serverEnv makes this program the server of a lab, at the two addresses that are its value.
const serverEnv = "SIMOPEN_NATCHECK_SERVER"

// checkEnv makes this program the check in a lab.
const checkEnv = "SIMOPEN_NATCHECK_IN_LAB"

var errInterrupted = errors.New("interrupted")

// oneWay returns the delay between each of the two sites and the core: a round trip of 40 ms, or of
// 200 ms where it has to be distinguished from the time that the site's own router takes to refuse
// a connection.
func oneWay(nat natlab.Behaviour) time.Duration {
	if nat.Egress != natlab.EgressOpen {
		return 50 * time.Millisecond
	}
	return 10 * time.Millisecond
}

// ports returns the server's two: those of RFC 8489 (section 18.6) and RFC 3489, or ones to which
// all of the lab's NATs let connections out.
func ports(nat natlab.Behaviour) [2]uint16 {
	if nat.Egress != natlab.EgressOpen {
		return [2]uint16{443, 4001}
	}
	return [2]uint16{3478, 3479}
}

// wantsLab reports whether there is the flag -lab, before flags can be parsed.
func wantsLab(args []string) bool {
	for _, a := range args {
		name, _, _ := strings.Cut(strings.TrimPrefix(a, "-"), "=")
		if name == "lab" || name == "-lab" {
			return true
		}
	}
	return false
}

// runInLab runs this program behind a NAT in a lab, and returns its exit status.
func runInLab(ctx context.Context, nat natlab.Behaviour, json bool, noLab error) (status int, err error) {
	if noLab != nil {
		return 1, noLab
	}
	lab, err := natlab.New(natlab.Config{})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	server, home, err := build(lab, nat)
	if err != nil {
		return 1, err
	}
	exe, err := os.Executable()
	if err != nil {
		return 1, err
	}
	stop, err := startServer(server, ports(nat), exe)
	if err != nil {
		return 1, err
	}
	defer stop()

	args := []string{netip.AddrPortFrom(server.Addr(), ports(nat)[0]).String()}
	if json {
		args = append([]string{"-json"}, args...)
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env = append(os.Environ(), checkEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if !json {
		introduce(console.New(os.Stdout), nat)
	}
	if err = home.Start(cmd); err == nil {
		_ = cmd.Wait() // the state says it all
	}
	switch {
	case err != nil && ctx.Err() == nil:
		return 1, fmt.Errorf("start the check: %w", err)
	case err != nil || !cmd.ProcessState.Exited():
		return 1, errInterrupted
	}
	return cmd.ProcessState.ExitCode(), nil
}

// introduce says whose answer follows: with some NATs it is not what was asked for.
func introduce(out *console.Console, nat natlab.Behaviour) {
	switch {
	case nat.Kernel.On:
		out.Print("A Linux kernel in the lab: " + nat.String() + ".")
	case nat.Mapping == natlab.Public:
		out.Print("Emulated network without NAT: public.")
	default:
		out.Print("Emulated NAT: " + nat.String() + ".")
	}
	pool := nat.Pool4 && !nat.Kernel.Persistent // each connection has one of several addresses
	if nat.Ports == natlab.PortOverload && !nat.Blocks16 && !pool {
		out.Paragraph("", "It keeps a port's number until a neighbour has it towards the same destination: "+
			"one host alone sees EIM.")
	}
	out.Print("")
}

// build puts a host with two addresses into the public, and one behind a NAT.
func build(lab *natlab.Lab, nat natlab.Behaviour) (server, home *natlab.Host, err error) {
	public, err := lab.AddSite(natlab.SiteConfig{Name: "server", Delay: oneWay(nat)})
	if err != nil {
		return nil, nil, err
	}
	if server, err = public.AddHost("server"); err != nil {
		return nil, nil, err
	}
	site, err := lab.AddSite(natlab.SiteConfig{Name: "home", NAT: nat, Delay: oneWay(nat)})
	if err != nil {
		return nil, nil, err
	}
	home, err = site.AddHost("home")
	return server, home, err
}

// startServer starts a process that serves STUN in a host, at two addresses, and waits until it
// does.
func startServer(host *natlab.Host, ports [2]uint16, exe string) (stop func(), err error) {
	other, err := host.AddAddr()
	if err != nil {
		return nil, err
	}
	at := fmt.Sprintf("%s %s", netip.AddrPortFrom(host.Addr(), ports[0]), netip.AddrPortFrom(other, ports[1]))
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), serverEnv+"="+at)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := host.Start(cmd); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	stop = func() {
		_ = stdin.Close()
		_ = cmd.Wait() // it is of no more use, however it ends
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		stop()
		return nil, errors.New("the server has not started")
	}
	return stop, nil
}

// runServer is the main function of the server. It ends when its standard input ends, which it also
// does when the program that started it dies.
func runServer(at string) (status int) {
	signal.Ignore(os.Interrupt) // it is for the check
	var addresses [2]netip.AddrPort
	for i, a := range strings.Fields(at)[:2] {
		addresses[i] = netip.MustParseAddrPort(a)
	}
	s, err := stunserver.Start(&stun.ServerConfig{Addresses: addresses}, stunserver.Endpoints(addresses[0], addresses[1]))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("serving")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = s.Close()
	return 0
}
