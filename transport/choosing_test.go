package transport

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	msmux "github.com/multiformats/go-multistream"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// consent is what a responder says to the proposal of Noise.
const consent = "\x13/multistream/1.0.0\n\x07/noise\n"

// TestStrangerIsNotChosen: a stranger that reached the initiator's port first, from
// the peer's address, and says nothing, or no more than which security it would negotiate, does not hold up
// the peer's connection.
func TestStrangerIsNotChosen(t *testing.T) {
	for name, tc := range map[string]struct {
		agreed bool
		says   string
	}{
		"silent, security agreed on":   {true, ""},
		"silent, not agreed on":        {false, ""},
		"consents, security agreed on": {true, consent},
		"consents, not agreed on":      {false, consent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, ours := upgradeSide(t, []string{noise.ID}, nil)
			p, theirs := upgradeSide(t, []string{noise.ID}, nil)
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			served := make(chan tpt.CapableConn, 1)
			go func() {
				defer close(served)
				c, err := l.Accept()
				if err != nil {
					return
				}
				m, err := manet.WrapNetConn(c)
				if err != nil {
					t.Error(err)
					return
				}
				s, err := theirs.upgrader.Upgrade(context.Background(), nil, m, network.DirInbound, "", &network.NullScope{})
				if err != nil {
					t.Error(err)
					return
				}
				served <- s
			}()

			port, err := tcpport.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer port.Close()
			expect := port.Expect()
			defer expect.Close()
			remote := l.Addr().(*net.TCPAddr).AddrPort()
			expect.From([]netip.AddrPort{remote})
			stranger, err := net.Dial("tcp4", netip.AddrPortFrom(remote.Addr(), port.Number()).String())
			if err != nil {
				t.Fatal(err)
			}
			defer stranger.Close()
			io.WriteString(stranger, tc.says)

			// Less than a handshake may take.
			ctx, cancel := context.WithTimeoutCause(t.Context(), 4*time.Second, nil)
			defer cancel()
			stop := func(err error) { t.Errorf("stopped: %v", err) }
			var s sec.SecureTransport
			if tc.agreed {
				s = ours.parts.Security[0]
			}
			shake := ours.shake(p, network.DirOutbound, s, stop)
			began := make(chan struct{})
			conn, err := holepunch.Open(ctx, holepunch.Punch{
				Locals: []holepunch.Local{{Port: port, Expect: expect}},
				Remote: holepunch.Reflexive(remote),
			}, func(ctx context.Context, c *holepunch.Conn) (tpt.CapableConn, error) {
				if c.Candidate {
					<-began
					time.Sleep(20 * time.Millisecond) // the stranger could have been chosen by now
				} else {
					close(began)
				}
				return shake(ctx, c)
			})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if s := <-served; s != nil {
				s.Close()
			}
		})
	}
}

// TestSecondHandshakeBeyondLimits: where resource limits have room for one connection, a handshake beside
// the first one is none that the host refuses of the peer.
func TestSecondHandshakeBeyondLimits(t *testing.T) {
	_, ours := upgradeSide(t, []string{noise.ID}, nil)
	p, _ := upgradeSide(t, []string{noise.ID}, nil)
	taken := make(chan struct{})
	ours.rcmgr = &roomForOne{taken: taken}
	ctx, cancel := context.WithCancelCause(t.Context())
	shake := ours.shake(p, network.DirOutbound, nil, cancel)

	first, endFirst := context.WithCancel(ctx)
	var firstOver sync.WaitGroup
	defer firstOver.Wait()
	defer endFirst()
	one, other := punched(t), punched(t)
	firstOver.Go(func() { shake(first, one) })
	<-taken
	if c, err := shake(ctx, other); err == nil {
		c.Close()
		t.Error("secured")
	}
	if err := context.Cause(ctx); err != nil {
		t.Errorf("the punch was ended: %v", err)
	}
}

// punched is a connection to a candidate where nobody says anything.
func punched(t *testing.T) *holepunch.Conn {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &holepunch.Conn{TCPConn: c.(*net.TCPConn), Candidate: true}
}

// roomForOne is a resource manager that has room for one connection.
type roomForOne struct {
	network.NullResourceManager
	taken chan struct{} // closed when it has one
	full  atomic.Bool
}

func (r *roomForOne) OpenConnection(network.Direction, bool, ma.Multiaddr) (network.ConnManagementScope, error) {
	if r.full.Swap(true) {
		return nil, network.ErrResourceLimitExceeded
	}
	close(r.taken)
	return &network.NullScope{}, nil
}

// TestRepeatedHelloIsNotChosen: anybody can have a TLS client repeat its ClientHello.
func TestRepeatedHelloIsNotChosen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, ours := upgradeSide(t, []string{libp2ptls.ID}, nil)
		p, _ := upgradeSide(t, []string{libp2ptls.ID}, nil)
		a, b := farApart()
		var stranger sync.WaitGroup
		stranger.Go(func() {
			defer b.Close()
			m := msmux.NewMultistreamMuxer[string]()
			m.AddHandler(libp2ptls.ID, nil)
			if _, _, err := m.Negotiate(b); err != nil {
				t.Error(err)
				return
			}
			// A curve for which the client sent no key share.
			tls.Server(&mute{Conn: b, left: 1}, &tls.Config{
				CurvePreferences: []tls.CurveID{tls.CurveP384},
				MinVersion:       tls.VersionTLS13,
				Certificates:     []tls.Certificate{{}},
			}).Handshake()
		})
		defer stranger.Wait()
		defer a.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*roundTrip)
		defer cancel()
		var asked atomic.Bool
		c, err := ours.upgradeAs(ctx, ours.parts.Security[0], a, p, &network.NullScope{}, func() error {
			asked.Store(true)
			return nil
		})
		if err == nil {
			c.Close()
			t.Fatal("upgraded")
		}
		if asked.Load() {
			t.Error("a stranger's connection asks to be chosen")
		}
	})
}

// mute sends the first few writes only.
type mute struct {
	net.Conn
	left int
}

func (m *mute) Write(b []byte) (int, error) {
	if m.left--; m.left < 0 {
		return len(b), nil
	}
	return m.Conn.Write(b)
}

// TestNobodyHasWhatIsNotChosen: as long as a connection is not chosen, the responder does not have it
// secured, whatever the security protocol. The contest of package holepunch rests on that.
func TestNobodyHasWhatIsNotChosen(t *testing.T) {
	for name, id := range map[string]string{"Noise": noise.ID, "TLS": libp2ptls.ID} {
		type upgrading = func(ctx context.Context, ours *Transport, c manet.Conn, p peer.ID, choose func() error) (tpt.CapableConn, error)
		for how, upgrade := range map[string]upgrading{
			"agreed on": func(ctx context.Context, ours *Transport, c manet.Conn, p peer.ID, choose func() error) (tpt.CapableConn, error) {
				return ours.upgradeAs(ctx, ours.parts.Security[0], c, p, &network.NullScope{}, choose)
			},
			"negotiated": func(ctx context.Context, ours *Transport, c manet.Conn, p peer.ID, choose func() error) (tpt.CapableConn, error) {
				return ours.upgradeAs(ctx, nil, c, p, &network.NullScope{}, choose)
			},
			"negotiated by the Upgrader": func(ctx context.Context, ours *Transport, c manet.Conn, p peer.ID, choose func() error) (tpt.CapableConn, error) {
				return ours.upgrader.Upgrade(ctx, nil, &choosingConn{Conn: c, rw: c, choose: choose}, network.DirOutbound, p, &network.NullScope{})
			},
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, ours := upgradeSide(t, []string{id}, nil)
					p, theirs := upgradeSide(t, []string{id}, nil)
					a, b := farApart()
					defer a.Close()
					defer b.Close()
					served := serveUpgrade(t, theirs, b)
					chosen := 0
					choose := func() error {
						chosen++
						time.Sleep(10 * roundTrip)
						select {
						case <-served:
							t.Error("the responder has it before it is chosen")
						default:
						}
						return nil
					}
					c, err := upgrade(t.Context(), ours, a, p, choose)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					if s := <-served; s != nil {
						wantHello(t, c, s)
						s.Close()
					}
					if chosen != 1 {
						t.Errorf("asked %d times", chosen)
					}
				})
			})
		}
	}
}
