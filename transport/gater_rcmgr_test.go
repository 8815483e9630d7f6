package transport

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// A fakeManager has room for connections when full returns false.
type fakeManager struct {
	network.NullResourceManager
	full func() bool

	mu     sync.Mutex
	opened []*countedScope
}

func (m *fakeManager) OpenConnection(network.Direction, bool, ma.Multiaddr) (network.ConnManagementScope, error) {
	if m.full != nil && m.full() {
		return nil, network.ErrResourceLimitExceeded
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := new(countedScope)
	m.opened = append(m.opened, s)
	return s, nil
}

func newAdmission(t testing.TB, m *fakeManager) *attempt {
	return &attempt{t: &Transport{rcmgr: m}, ctx: t.Context(), peer: "peer", dir: network.DirOutbound, noRoom: func() {}}
}

// All connections of an attempt have one scope, which is given back once.
func TestOneScope(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]bool{"taken": true, "not taken": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := new(fakeManager)
			a := newAdmission(t, m)
			var all sync.WaitGroup
			for range 4 {
				c, _ := tcpPair(t)
				all.Go(func() {
					if err := a.admit(c, false); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if taken {
				s, _ := a.scope.take()
				s.Done()
			}
			a.release()
			a.release()
			if len(m.opened) != 1 || m.opened[0].done != 1 {
				t.Errorf("%d scopes were opened; want one, given back once", len(m.opened))
			}
		})
	}
}

// A connection that is admitted when the attempt is over leaves nothing.
func TestLateScope(t *testing.T) {
	t.Parallel()
	m := new(fakeManager)
	a := newAdmission(t, m)
	a.release()
	c, _ := tcpPair(t)
	if err := a.admit(c, true); err == nil {
		t.Error("admitted")
	}
	if len(m.opened) > 0 && m.opened[0].done != 1 {
		t.Error("the scope was not given back")
	}
}

// The resource manager is asked again for a second, and then the attempt ends for its reason.
func TestScopePatience(t *testing.T) {
	t.Parallel()
	remote := ma.StringCast("/ip4/127.0.0.1/tcp/4001")
	for name, tc := range map[string]struct {
		room time.Duration // when there is some
		ok   bool
	}{
		"at once":  {0, true},
		"soon":     {scopePatience / 2, true},
		"too late": {2 * scopePatience, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				m := &fakeManager{full: func() bool { return time.Since(begin) < tc.room }}
				a := newAdmission(t, m)
				defer a.release()
				err := a.openScope(remote)
				if tc.ok && err != nil || !tc.ok && (!errors.Is(err, network.ErrResourceLimitExceeded) || holepunch.ReasonOf(err) != holepunch.ErrResourceLimit) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begin); took > scopePatience+2*scopeRetry {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
	t.Run("the attempt ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := newAdmission(t, &fakeManager{full: func() bool { cancel(); return true }})
		a.ctx = ctx
		if err := a.openScope(remote); !errors.Is(err, network.ErrResourceLimitExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestCheckRoom: whether there is room is asked without a trace. The peer may have named addresses
// of others, of which the resource manager lets only so many come within a time.
func TestCheckRoom(t *testing.T) {
	t.Parallel()
	named := []ma.Multiaddr{ma.StringCast("/ip4/46.0.2.1/tcp/4001")}
	check := func(m network.ResourceManager) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // it is asked once
		a := &attempt{t: &Transport{rcmgr: m}, ctx: ctx, peer: "peer", dir: network.DirInbound}
		return a.checkRoom(named)
	}
	defaults := rcmgr.DefaultLimits.AutoScale()
	m := newResourceManager(t, defaults)
	for range 100 {
		if err := check(m); err != nil {
			t.Fatal(err)
		}
	}
	scope, err := m.OpenConnection(network.DirInbound, true, named[0])
	if err != nil {
		t.Fatalf("a connection after a hundred OFFERs: %v", err)
	}
	scope.Done()

	none := rcmgr.PartialLimitConfig{System: rcmgr.ResourceLimits{Conns: rcmgr.BlockAllLimit, ConnsInbound: rcmgr.BlockAllLimit, FD: rcmgr.BlockAllLimit}}.Build(defaults)
	if err := check(newResourceManager(t, none)); !errors.Is(err, holepunch.ErrResourceLimit) {
		t.Errorf("a full one: got %v, want ErrResourceLimit", err)
	}
	if err := check(newResourceManager(t, none, rcmgr.WithAllowlistedMultiaddrs(named))); err != nil {
		t.Errorf("a full one that has the address on its allowlist: %v", err)
	}
}

func newResourceManager(t *testing.T, l rcmgr.ConcreteLimitConfig, opts ...rcmgr.Option) network.ResourceManager {
	t.Helper()
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(l), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}
