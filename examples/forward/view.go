package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/forward/internal/tunnel"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/show"
)

// A view is what the program prints.
type view struct {
	quiet bool // only of what is wrong

	mu   sync.Mutex
	out  *console.Console // nil for JSON
	json *json.Encoder
}

func newView(w io.Writer, asJSON bool) *view {
	if asJSON {
		return &view{json: json.NewEncoder(w)}
	}
	return &view{out: console.New(w)}
}

// tell prints an event.
func (v *view) tell(e tunnel.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e.Time = time.Now()
	if v.json != nil {
		_ = v.json.Encode(e) // fails only if the reader is gone
		return
	}
	text, wrong := words(e)
	if text == "" || v.quiet && !wrong {
		return
	}
	if v.quiet {
		v.out.Line("forward", "%s", text)
		return
	}
	v.out.Line(e.Time.Format("15:04:05"), "%s", text)
}

// words puts an event in words: none if a person need not know. wrong reports whether something is
// wrong that no error of the program will say.
func words(e tunnel.Event) (text string, wrong bool) {
	switch e.Kind {
	case tunnel.Ready:
		if e.Addr == "" {
			return "relay  reserved, peers can connect", false
		}
		return "relay  reached, clients can connect to " + e.Addr, false
	case tunnel.RelayLost:
		return "relay  not reached, trying again: " + e.Err, true
	case tunnel.RelayBack:
		return "relay  reached again", false
	}
	who := show.ShortID(e.Peer) + "  "
	switch e.Kind {
	case tunnel.Direct:
		return who + "direct connection up, with " + e.Addr, false
	case tunnel.Lost:
		return who + "direct connection ended", false
	case tunnel.NoDirect:
		return who + "no direct connection: " + e.Err, true
	case tunnel.Relayed:
		return who + "connections go over the relay, as long as it allows: " + e.Err, true
	case tunnel.Opened:
		return who + "connection" + of(e), false
	case tunnel.Refused:
		return who + "refused a connection" + of(e) + ": " + e.Err, false
	case tunnel.Closed:
		if e.Err != "" {
			return fmt.Sprintf("%sconnection%s was cut after %.0f s: %s", who, of(e), e.Seconds, e.Err), false
		}
	}
	return "", false
}

// of returns which service a connection is with, and for which peer. A peer may have made up the
// name.
func of(e tunnel.Event) string {
	text := ""
	if e.Service != "" {
		text += fmt.Sprintf(" to %q", e.Service)
	}
	if e.Client != "" {
		text += " from " + e.Client
	}
	if e.Relayed {
		text += " over the relay"
	}
	return text
}

// serving prints what a person needs to know of a server.
func (v *view) serving(o *options, n *node, to services, allow peers) {
	if v.json != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.out.Line("peer", "%s", n.host.ID())
	label := "service"
	for _, name := range to.names() {
		text := to[name]
		if name != "" {
			text = name + ", " + text
		}
		v.out.Line(label, "%s", text)
		label = ""
	}
	v.metricsLine(n)
	if allow == nil {
		v.out.Paragraph("warning", "Everybody who knows this peer ID can connect. With -allow PEERID,... only these peers can; forward dial prints its own ID.")
	}
	v.out.Print("", "On the other machine:", "")
	for _, command := range dialCommands(o, n.host.ID(), to) {
		v.out.Print("  " + command)
	}
	v.out.Print("")
}

// dialling prints what a person needs to know of a dialler.
func (v *view) dialling(o *dialOptions, n *node) {
	if v.json != nil || v.quiet {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.out.Line("self", "%s", n.host.ID())
	v.out.Paragraph(" ", "This is the peer ID that forward serve takes in -allow.")
	v.out.Line("peer", "%s", o.peer)
	v.metricsLine(n)
}

func (v *view) metricsLine(n *node) {
	if n.scraped != nil {
		v.out.Line("metrics", "http://%s/metrics and /healthz", n.scraped.Addr())
	}
}

// relayAddr returns the relay's address, as a flag has it.
func (o *options) relayAddr() string {
	return fmt.Sprintf("%s/p2p/%s", o.Relay.Addrs[0], o.Relay.ID)
}

// dialCommands returns the command lines for the other machine, one for each service, and for ssh
// another one.
func dialCommands(o *options, self peer.ID, to services) (commands []string) {
	for _, name := range to.names() {
		words := []string{console.ProgramName("./examples/forward"), "dial", "-relay", o.relayAddr()}
		for _, s := range o.askedSTUN {
			words = append(words, "-stun", s)
		}
		words = append(words, self.String())
		if name != "" {
			words = append(words, "-service", name)
		}
		command := strings.Join(words, " ")
		_, port, _ := net.SplitHostPort(to[name])
		commands = append(commands, command+" -local 127.0.0.1:"+localPort(port))
		if port == "22" || port == "ssh" {
			commands = append(commands, fmt.Sprintf("ssh -o ProxyCommand='%s -stdio' HOST", command))
		}
	}
	return commands
}

// localPort suggests a port for clients, which an ordinary user may have.
func localPort(port string) string {
	switch n, err := net.LookupPort("tcp", port); {
	case err != nil:
		return "PORT"
	case n == 22:
		return "2222"
	case n < 1024:
		return strconv.Itoa(8000 + n)
	default:
		return strconv.Itoa(n)
	}
}
