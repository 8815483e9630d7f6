package crowd

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func init() { roles["hosts"] = hostsRole }

type hostsConfig struct {
	Hosts   int
	Relay   peer.AddrInfo
	STUN    []string
	Reserve bool // at the relay, so that others can connect
	Limits  holepunch.Limits
}

// A command is what the test asks of a process.
type command struct {
	Do   string            // "join", "meet", "failed", "watch", "usage"
	For  time.Duration     // of "meet": how long it may take
	With map[int][]peer.ID // of "meet": whom each host is to meet
	Of   peer.ID           `json:",omitempty"` // of "watch"; an empty one cannot be read
}

// hostsRole is a process of some hosts. Its answer to "join" are their IDs, when all are connected
// to the relay; that to "meet" are the meetings; that to "failed" are the reasons of all punches
// that failed; that to "watch" is how long the slowest echo took since the last such command.
func hostsRole(c *labtest.Child) error {
	var cfg hostsConfig
	if err := c.Config(&cfg); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	members := make([]*member, cfg.Hosts)
	defer func() {
		cancel()
		for _, m := range members {
			if m != nil {
				m.close()
			}
		}
	}()
	var w watch
	defer w.stop()
	return serve(c, func(cmd command) (any, error) {
		switch cmd.Do {
		case "join":
			var ids []peer.ID
			for i := range members {
				m, err := newMember(ctx, &cfg)
				if err != nil {
					return nil, err
				}
				members[i] = m
				ids = append(ids, m.ID())
			}
			for _, m := range members {
				if err := m.joined(ctx); err != nil {
					return nil, err
				}
			}
			return ids, nil
		case "meet":
			return meetAll(members, cmd), nil
		case "failed":
			return failures(members), nil
		case "watch":
			return w.next(members[0], cmd.Of)
		case "usage":
			return use(), nil
		default:
			return nil, fmt.Errorf("no such command: %q", cmd.Do)
		}
	})
}

// meetAll has hosts meet others, all at once.
func meetAll(members []*member, cmd command) []meeting {
	ctx, cancel := context.WithTimeout(context.Background(), cmd.For)
	defer cancel()
	var mu sync.Mutex
	var meetings []meeting
	var all sync.WaitGroup
	for i, peers := range cmd.With {
		for _, p := range peers {
			all.Go(func() {
				met := members[i].meet(ctx, p)
				mu.Lock()
				defer mu.Unlock()
				meetings = append(meetings, met)
			})
		}
	}
	all.Wait()
	return meetings
}

// failures counts the reasons of all punches of some hosts that failed.
func failures(members []*member) map[holepunch.Reason]int {
	all := make(map[holepunch.Reason]int)
	for _, m := range members {
		m.mu.Lock()
		for _, failed := range m.failed {
			for reason, n := range failed {
				all[reason] += n
			}
		}
		m.mu.Unlock()
	}
	return all
}
