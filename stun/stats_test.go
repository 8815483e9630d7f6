package stun_test

import (
	"maps"
	"net"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// refusals checks that stats has each Refusal, and returns those that have happened.
func refusals(t *testing.T, stats stun.ServerStats) map[stun.Refusal]uint64 {
	t.Helper()
	if len(stats.Refused) != 7 {
		t.Errorf("refusals: %v", stats.Refused)
	}
	happened := maps.Clone(stats.Refused)
	maps.DeleteFunc(happened, func(_ stun.Refusal, n uint64) bool { return n == 0 })
	return happened
}

func TestStatsOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := servePipes(t, nil)
		a, b := l.dial(t, "192.0.2.1:1"), l.dial(t, "192.0.2.2:1")
		for range 3 {
			exchange(t, a)
		}
		exchange(t, b)
		_ = a.Close()
		synctest.Wait()
		got := s.Stats()
		if got.Open != 1 || got.Accepted != 2 || got.TCPRequests != 4 || got.UDPRequests != 0 || len(refusals(t, got)) > 0 {
			t.Errorf("got %+v", got)
		}
		wantClosed(t, b, 90*time.Second) // It is idle, which is no refusal.
		synctest.Wait()
		if got := s.Stats(); got.Open != 0 || len(refusals(t, got)) > 0 {
			t.Errorf("in the end: %+v", got)
		}
	})
}

func TestStatsOfRefusals(t *testing.T) {
	request := pion.MustBuild(pion.TransactionID, pion.BindingRequest).Raw
	for want, try := range map[stun.Refusal]func(t *testing.T, l *pipeListener){
		stun.RefusedClientLimit: func(t *testing.T, l *pipeListener) {
			exchange(t, l.dial(t, "192.0.2.1:1"))
			exchange(t, l.dial(t, "192.0.2.1:2"))
			wantClosed(t, l.dial(t, "192.0.2.1:3"), 0)
		},
		stun.RefusedFull: func(t *testing.T, l *pipeListener) {
			for _, client := range []string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"} {
				exchange(t, l.dial(t, client))
			}
			synctest.Wait()
			wantClosed(t, l.dial(t, "192.0.2.3:1"), 0)
		},
		stun.RefusedEvicted: func(t *testing.T, l *pipeListener) {
			var first net.Conn
			for _, client := range []string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"} {
				first = l.dial(t, client)
				exchange(t, first)
			}
			time.Sleep(time.Minute) // All have been silent for more than half of their time.
			exchange(t, l.dial(t, "192.0.2.3:1"))
		},
		stun.RefusedRate: func(t *testing.T, l *pipeListener) {
			nc := l.dial(t, "192.0.2.1:1")
			for range 16 {
				exchange(t, nc)
			}
			write(t, nc, request)
			wantClosed(t, nc, 0)
		},
		stun.RefusedSlow: func(t *testing.T, l *pipeListener) {
			wantClosed(t, l.dial(t, "192.0.2.1:1"), 5*time.Second)
		},
		stun.RefusedMalformed: func(t *testing.T, l *pipeListener) {
			nc := l.dial(t, "192.0.2.1:1")
			write(t, nc, []byte("G"))
			wantClosed(t, nc, 0)
		},
	} {
		t.Run(string(want), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := servePipes(t, &stun.ServerConfig{MaxConns: 3, MaxConnsPerClient: 2})
				try(t, l)
				synctest.Wait()
				if got := refusals(t, s.Stats()); !maps.Equal(got, map[stun.Refusal]uint64{want: 1}) {
					t.Errorf("got %v", got)
				}
			})
		})
	}
	for name, try := range map[string]func(t *testing.T, nc net.Conn){
		"half a request": func(t *testing.T, nc net.Conn) {
			write(t, nc, request[:10])
			wantClosed(t, nc, 5*time.Second)
		},
		"does not read": func(t *testing.T, nc net.Conn) {
			write(t, nc, request)
			time.Sleep(5*time.Second + time.Nanosecond)
			wantClosed(t, nc, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := servePipes(t, nil)
				nc := l.dial(t, "192.0.2.1:1")
				try(t, nc)
				synctest.Wait()
				if got := refusals(t, s.Stats()); !maps.Equal(got, map[stun.Refusal]uint64{stun.RefusedSlow: 1}) {
					t.Errorf("got %v", got)
				}
			})
		})
	}
}

func TestStatsOfPackets(t *testing.T) {
	s := stun.NewServer(nil)
	c := servePacket(t, s)
	exchangePacket(t, c, []byte("what?"))
	got := s.Stats()
	if got.UDPRequests != 1 || got.TCPRequests != 0 || got.Accepted != 0 {
		t.Errorf("got %+v", got)
	}
	if got := refusals(t, got); !maps.Equal(got, map[stun.Refusal]uint64{stun.RefusedMalformed: 1}) {
		t.Errorf("refused %v", got)
	}
}

func TestStatsOfConnectBacks(t *testing.T) {
	s := stun.NewServer(&stun.ServerConfig{MaxRequestRate: 1000})
	c, err := stun.Dial(t.Context(), &net.Dialer{}, serveOn(t, s, "127.0.0.1:0").String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for range stun.MaxPerClient + 10 {
		if _, err := c.AskBack(t.Context(), stun.FromOwn); err != nil {
			t.Fatal(err)
		}
	}
	got := s.Stats()
	if got.ConnectBacks != stun.MaxPerClient || got.Refused[stun.RefusedConnectBack] != 10 {
		t.Errorf("got %+v", got)
	}
}
