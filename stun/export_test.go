package stun

import (
	"context"
	"net"
	"net/netip"
	"time"

	pion "github.com/pion/stun/v3"
)

// For the tests in package stun_test.
var (
	NewConn        = newConn
	DefaultTimeout = defaultTimeout
	Credible       = credible
)

const (
	MaxMessage    = maxMessage
	MaxUnanswered = maxUnanswered
)

// CONNECT-BACK.
type (
	From         = from
	Outcome      = outcome
	ConnectBacks = connectBacks
)

const (
	FromNowhere       = fromNowhere
	FromOwn           = fromOwn
	FromOther         = fromOther
	FromSilent        = fromSilent
	NotDone           = notDone
	Connected         = connected
	Refused           = refused
	NoAnswer          = noAnswer
	MaxPerClient      = maxPerClient
	MaxPerNetwork     = maxPerNetwork
	MaxPerWindow      = maxPerWindow
	MaxConnectBacks   = maxConnectBacks
	ConnectBackWindow = connectBackWindow

	AttrConnectBack = attrConnectBack
)

var NewConnectBacks = newConnectBacks

func (b *connectBacks) Begin(client netip.Addr, now time.Time) bool { return b.begin(client, now) }
func (b *connectBacks) End()                                        { b.end() }
func (b *connectBacks) Close()                                      { b.close() }

func (b *connectBacks) SilentPort(local netip.Addr) bool { return b.silentPort(local) != nil }

func (b *connectBacks) Call(asked from, local, other netip.Addr, client netip.AddrPort) (outcome, *net.TCPConn) {
	return b.connect(asked, local, other, client)
}

func ConnectBackRequest() []byte {
	return pion.MustBuild(pion.TransactionID, pion.BindingRequest, connectBack{from: fromOwn}).Raw
}

// AskBack asks the server to connect back, and returns the outcome.
func (c *Conn) AskBack(ctx context.Context, f from) (outcome, error) {
	a, err := c.roundTrip(ctx, connectBack{from: f})
	if err != nil {
		return notDone, err
	}
	return a.back.outcome, nil
}
