package natlab

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// FilterEgress makes the host's own kernel let out TCP connections to ports 443 and 4001 alone, as
// a firewall on the host does. It rejects others as administratively prohibited, so that connects
// fail at once. (Linux reports no error for a SYN that its own rules have dropped: that looks the
// same as one dropped on the way.)
func (h *Host) FilterEgress() error {
	if err := h.ns.do(filterEgress); err != nil {
		return fmt.Errorf("natlab: filter what host %q sends: %w", h.name, err)
	}
	return nil
}

func filterEgress() error {
	c, err := nftables.New()
	if err != nil {
		return noNftables(err)
	}
	r := rules{conn: c, table: c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "natlab"})}
	output := r.chain("output", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter)
	r.add(output, ctState(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), verdict(expr.VerdictAccept))
	for _, port := range egressPorts {
		r.add(output, isTCP(), []expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, // the destination
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
		}, verdict(expr.VerdictAccept))
	}
	r.add(output, isTCP(), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})
	if err := c.Flush(); err != nil {
		return noNftables(err)
	}
	return nil
}
