package interop

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
)

const (
	// messageSize is more than a limited relay carries at all, 128 KiB.
	messageSize = 512 << 10

	// republishWait is when a message is taken for lost: GossipSub promises nothing, and loses those
	// that are published while its mesh changes, which takes a heartbeat of a second.
	republishWait = 3 * time.Second
)

// Messages of GossipSub flow over the direct connection.
func TestGossipSub(t *testing.T) {
	t.Parallel()
	testOverRelays(t, func(t testing.TB, s *stage) *application {
		ctx := testContext(t)
		var topics [2]*pubsub.Topic
		var subs [2]*pubsub.Subscription
		for i, h := range s.peers {
			ps, err := pubsub.NewGossipSub(ctx, h)
			if err != nil {
				t.Fatal(err)
			}
			if topics[i], err = ps.Join("interop"); err != nil {
				t.Fatal(err)
			}
			if subs[i], err = topics[i].Subscribe(); err != nil {
				t.Fatal(err)
			}
		}
		return &application{protocol: "/meshsub/", talk: func() {
			t.Helper()
			for i, topic := range topics {
				for arrived := false; !arrived; {
					message := make([]byte, messageSize)
					rand.Read(message)
					if err := topic.Publish(ctx, message, pubsub.WithReadiness(pubsub.MinTopicSize(1))); err != nil {
						t.Fatal(err)
					}
					arrived = receive(ctx, subs[1-i], message)
				}
			}
		}}
	})
}

// receive reads messages until one has come, and reports whether it did so in time.
func receive(ctx context.Context, s *pubsub.Subscription, message []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, republishWait)
	defer cancel()
	for {
		got, err := s.Next(ctx)
		if err != nil {
			return false
		}
		if bytes.Equal(got.Data, message) {
			return true
		}
	}
}
