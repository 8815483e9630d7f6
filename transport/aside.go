package transport

import (
	"context"
	"errors"
	"net/netip"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// errClaimed: another peer's attempt from the same port has named an address of this one's. One of the two is
// lying, or both are behind the same carrier's NAT. There is one connection between two ports, and the other
// attempt has it; see stepAside.
var errClaimed = errors.New("another peer has named the same address")

// isClaimed tells whether another peer has the connections that this one may need, of those that are taken. One that is not
// known to come from its candidates' ports needs its address's others, and one at our site may yet
// name addresses there, which whoever claims to be there is told of.
func (a *attempt) isClaimed(taken netip.AddrPort) bool {
	return taken.Port() != 0 || a.theirs.Behaviour.Mapping != stun.EIM || a.sameSite()
}

// mayStepAside tells whether the attempt can have a port of its own. That takes a STUN server: libp2p peers
// allow a host eight connections, and few in a short time, which others' claims would use up.
func (a *attempt) mayStepAside() bool { return a.aside == nil && len(a.t.cfg.servers) > 0 }

// stepAside has the attempt go on from a port of its own, of which nobody else is told. So a peer that names others'
// addresses is in nobody's way. The stance is to be taken anew.
func (a *attempt) stepAside(ctx context.Context) error {
	if err := a.budget.Aside(); err != nil {
		return err
	}
	for range a.t.cfg.servers { // which are asked where it is
		if err := a.budget.Spend(ctx, netip.Addr{}); err != nil {
			return err
		}
	}
	w, err := a.t.newWarmPort(a.t.cfg.servers, a.t.observers, nil)
	if err != nil {
		return err
	}
	w.use(1) // until it is closed: rounds may follow
	a.port, a.aside = w, w
	return nil
}
