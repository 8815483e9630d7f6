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

// comesFromAnyPort tells whether a peer may come from a port that it could not name.
func comesFromAnyPort(b stun.Behaviour) bool {
	return b.Mapping == stun.ADM || b.Mapping == stun.APDM
}

// stepAside has the attempt go on from a port of its own, of which nobody else is told. So a peer that names others'
// addresses is in nobody's way. The stance is to be taken anew.
func (a *attempt) stepAside(ctx context.Context) error {
	if err := a.budget.Aside(); err != nil {
		return err
	}
	if err := a.budget.Spend(ctx, netip.Addr{}); err != nil { // our servers are asked where it is
		return err
	}
	w, err := a.t.newWarmPort(a.t.cfg.servers, a.t.observers, nil)
	if err != nil {
		return err
	}
	a.port, a.aside = w, w
	return nil
}
