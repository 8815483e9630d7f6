package soak

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/transport"
)

func init() { roles["peer"] = peerRole }

type peerConfig struct {
	Key    []byte // its identity, which outlives the process
	Relays []peer.AddrInfo
	STUN   []string
	Dials  []peer.ID // in turn
	Seed   uint64
}

// A node is a peer's process, seen from inside: a host, and what a program would do with it.
type node struct {
	host.Host
	cfg  peerConfig
	rng  *rand.Rand // of the rounds
	next int        // of cfg.Dials

	emitting sync.Mutex
	child    *labtest.Child

	mu      sync.Mutex
	pending int // punches that have started and not finished

	rest func() // ends the rounds; nil while there are none
}

func peerRole(c *labtest.Child) error {
	n := &node{child: c}
	if err := c.Config(&n.cfg); err != nil {
		return err
	}
	n.rng = rand.New(rand.NewPCG(n.cfg.Seed, 0))
	key, err := crypto.UnmarshalPrivateKey(n.cfg.Key)
	if err != nil {
		return err
	}
	manager, err := resources()
	if err != nil {
		return err
	}
	n.Host, err = libp2p.New(
		libp2p.Identity(key),
		libp2p.ResourceManager(manager),
		libp2p.NoListenAddrs,
		libp2p.EnableRelay(),
		libp2p.DisableMetrics(),
		transport.Enable(transport.WithSTUNServers(n.cfg.STUN...)),
	)
	if err != nil {
		return err
	}
	defer n.Close()
	n.SetStreamHandler(echoProtocol, serveEcho)
	sub, err := n.EventBus().Subscribe([]any{
		new(transport.EvtPunchStarted),
		new(transport.EvtPunchFinished),
	}, eventbus.BufSize(256))
	if err != nil {
		return err
	}
	defer sub.Close()
	go n.listen(sub)
	n.emit(report{Ready: true})
	for {
		var cmd command
		switch err := c.Receive(&cmd); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		answer := n.execute(cmd)
		answer.Did = cmd.Do
		n.emit(answer)
	}
}

// jumpWall sets what the process's wall clock is ahead; see walljump_linux_test.go.
var jumpWall func(seconds int64)

// resources is the resource manager that a host has by default, but for what it allows an IP
// address: to it, all that come through a relay are at the relay's address, and it would
// refuse most of them.
func resources() (network.ResourceManager, error) {
	limits := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&limits)
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.AutoScale()),
		rcmgr.WithConnRateLimiters(&rate.Limiter{}),
		rcmgr.WithLimitPerSubnet([]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: 1000}}, nil))
}

// execute executes a command of the test.
func (n *node) execute(cmd command) (answer report) {
	var err error
	switch cmd.Do {
	case "work":
		n.work()
	case "rest":
		n.rest()
		n.rest = nil
	case "sample":
		left := n.settle()
		answer.Sample = measure(cmd.Base)
		answer.Sample.Left = left
	case "stacks":
		answer.Text = stacks()
	case "few files":
		err = limitFiles(openFiles() + 1)
	case "many files":
		err = limitFiles(0)
	case "wall clock":
		jumpWall(int64(cmd.Jump / time.Second))
	default:
		err = fmt.Errorf("no such command: %q", cmd.Do)
	}
	if err != nil {
		answer.Err = err.Error()
	}
	return answer
}

// emit sends a message to the test. An error means that the test has gone, and is ignored.
func (n *node) emit(r report) {
	n.emitting.Lock()
	defer n.emitting.Unlock()
	_ = n.child.Emit(r)
}

func (n *node) listen(sub event.Subscription) {
	for e := range sub.Out() {
		switch e := e.(type) {
		case transport.EvtPunchStarted:
			n.count(1)
		case transport.EvtPunchFinished:
			n.count(-1)
			p := &punch{Initiator: e.Direction == network.DirOutbound, Took: e.Took}
			if e.Err != nil {
				p.Err, p.Reason = e.Err.Error(), reasonOf(e.Err)
			}
			n.emit(report{Punch: p})
		}
	}
}

func (n *node) count(delta int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pending += delta
}

// work begins: it keeps the relays, and makes one round after another.
func (n *node) work() {
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	var relays, rounds sync.WaitGroup
	for _, r := range n.cfg.Relays {
		relays.Go(func() { n.keep(ctx, r) })
	}
	rounds.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				n.emit(report{Round: n.round(over)})
			}
		}
	})
	n.rest = func() {
		close(over)
		rounds.Wait() // a round is not broken off: that would look like a failure
		cancel()
		relays.Wait()
	}
}

// settle waits until no punch is under way and closes all connections meanwhile. It returns
// what cannot be had back.
func (n *node) settle() string {
	var left []string
	for end := time.Now().Add(settleTime); time.Now().Before(end); time.Sleep(settleCheck) {
		left = nil
		for _, c := range n.Network().Conns() {
			left = append(left, fmt.Sprintf("connection to %s", c.RemoteMultiaddr()))
			c.Close()
		}
		n.mu.Lock()
		if n.pending != 0 {
			left = append(left, fmt.Sprintf("%d punches that do not finish", n.pending))
		}
		n.mu.Unlock()
		left = append(left, accounted(n.Network().ResourceManager())...)
		if len(left) == 0 {
			return ""
		}
	}
	return fmt.Sprint(left)
}

// limitFiles sets how many file descriptors the process may have, or with 0 as many as before.
func limitFiles(soft int) error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	lim.Cur = uint64(soft)
	if soft == 0 {
		lim.Cur = lim.Max
	}
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &lim)
}
