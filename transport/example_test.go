package transport_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// A host that upgrades its relayed connections by itself. STUN servers are optional; they report
// more than relays can.
func ExampleEnable() {
	h, err := libp2p.New(
		libp2p.EnableRelay(),
		transport.Enable(transport.WithSTUNServers("stun:stun.example.org:3478?transport=tcp")),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
}

// See every step of every punch.
func ExampleWithTracer() {
	h, err := libp2p.New(libp2p.NoListenAddrs, transport.Enable(
		transport.WithTracer(func(e transport.Event) {
			fmt.Println(e.Peer, e.Direction, e.Kind, e.Remote, e.Err)
		}),
	))
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
}

// Count on the event bus, which has no part in the punch, how many attempts came to something.
func ExampleEvtPunchFinished() {
	h, err := libp2p.New(libp2p.NoListenAddrs, transport.Enable())
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
	punches, err := h.EventBus().Subscribe(new(transport.EvtPunchFinished))
	if err != nil {
		log.Fatal(err)
	}
	defer punches.Close()
	go func() {
		for e := range punches.Out() {
			e := e.(transport.EvtPunchFinished)
			fmt.Println(e.Peer, e.Direction, e.Took, e.Reason)
		}
	}()
}

// An error has a reason for programs, and says what to do to people.
func ExampleError() {
	h, err := libp2p.New(libp2p.NoListenAddrs, transport.Enable())
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	somebody, err := peer.Decode("12D3KooWGoiTrnMkgRPPLy1EbpgzmzjnNfW6juJyGvAoDA5vnL5m")
	if err != nil {
		log.Fatal(err)
	}

	_, err = transport.DirectConnect(ctx, h, somebody)
	switch holepunch.ReasonOf(err) {
	case holepunch.ErrUnpredictable, holepunch.ErrPortFiltered: // these two stay on the relay
	case holepunch.ErrBusy, holepunch.ErrNoAnswer: // try later
	case transport.ErrNoRelayedConn: // connect to the peer first
		fmt.Println(err)
	}
	var simopen *transport.Error
	fmt.Println(errors.As(err, &simopen), simopen.Op)
	// Output:
	// simopen: direct connect 12D3KooWGoiTrnMkgRPPLy1EbpgzmzjnNfW6juJyGvAoDA5vnL5m: no relayed connection to the peer: connect to it through a relay first
	// true direct connect
}
