package natlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tableName is the name of the table that has all the lab's rules.
const tableName = "natlab"

// forget removes all connections from the namespace's connection tracking.
func (ns *namespace) forget() error {
	return ns.do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) })
}

// setRules replaces the namespace's rules of nftables by those of a behaviour, and forgets all
// connections. A behaviour without Kernel has no rules.
func (ns *namespace) setRules(b Behaviour, external netip.Addr) error {
	if err := ns.do(func() error { return setRules(b, external) }); err != nil {
		return err
	}
	return ns.forget()
}

func setRules(b Behaviour, external netip.Addr) error {
	c, err := nftables.New()
	if err != nil {
		return noNftables(err)
	}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName})
	c.DelTable(table) // which may be there from before, and is now
	if b.Kernel.On {
		c.AddTable(table)
		r := rules{c, table, b}
		r.filter()
		if b.Mapping != Public {
			r.translate(external)
		}
	}
	if err := c.Flush(); err != nil {
		return noNftables(err)
	}
	return nil
}

// forward adds a rule to those of setRules: TCP from outside to a port goes to an endpoint inside.
func (ns *namespace) forward(external uint16, to netip.AddrPort) error {
	return ns.do(func() error {
		c, err := nftables.New()
		if err != nil {
			return noNftables(err)
		}
		r := rules{conn: c, table: &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName}}
		chain := r.chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
		const addr, port = 1, 2 // registers
		r.add(chain, ifname(expr.MetaKeyIIFNAME, uplink), isTCP(), []expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(external)},
			&expr.Immediate{Register: addr, Data: to.Addr().AsSlice()},
			&expr.Immediate{Register: port, Data: binaryutil.BigEndian.PutUint16(to.Port())},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: addr, RegProtoMin: port, Specified: true},
		})
		return c.Flush()
	})
}

// noNftables is for an error of the first use of nftables.
func noNftables(err error) error {
	for _, missing := range []error{unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.ENOENT} {
		if errors.Is(err, missing) {
			return &UnavailableError{
				Reason: "this kernel has no nftables with NAT, or not all of it",
				Remedy: "load it with sudo modprobe -a nft_ct nft_masq nft_nat nft_numgen nft_reject_ipv4",
				Err:    err,
			}
		}
	}
	return fmt.Errorf("nftables: %w", err)
}

// rules makes the rules of one behaviour.
type rules struct {
	conn  *nftables.Conn
	table *nftables.Table
	b     Behaviour
}

func (r *rules) chain(name string, t nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	return r.conn.AddChain(&nftables.Chain{Name: name, Table: r.table, Type: t, Hooknum: hook, Priority: priority})
}

func (r *rules) add(c *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	r.conn.AddRule(&nftables.Rule{Table: r.table, Chain: c, Exprs: all})
}

// filter adds what is filtered on the way to the own sockets, and through.
func (r *rules) filter() {
	input := r.chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter)
	forward := r.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	for _, c := range []*nftables.Chain{input, forward} {
		if r.b.Kernel.Invalid {
			r.add(c, ctState(expr.CtStateBitINVALID), verdict(expr.VerdictDrop))
		}
		if r.b.NoSYN {
			r.add(c, isReply(), isTCP(), isBareSYN(), verdict(expr.VerdictDrop))
		}
	}
	if r.b.Kernel.Accept {
		return
	}
	from := ifname(expr.MetaKeyIIFNAME, uplink)
	r.add(input, ctState(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), verdict(expr.VerdictAccept))
	if r.b.Unsolicited == UnsolicitedRST {
		r.add(input, from, isTCP(), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	}
	r.add(input, from, verdict(expr.VerdictDrop))
}

// translate adds the translation of what leaves. The port stays the same where the rule allows it.
func (r *rules) translate(external netip.Addr) {
	k := r.b.Kernel
	random := r.b.Ports == PortRandom && !k.FullyRandom && !r.b.Blocks16
	c := r.chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	out := ifname(expr.MetaKeyOIFNAME, uplink)
	if !r.b.Pool4 && !r.b.Blocks16 {
		r.add(c, out, []expr.Any{&expr.Masq{Random: random, FullyRandom: k.FullyRandom, Persistent: k.Persistent}})
		return
	}
	const addrMin, addrMax, portMin, portMax = 1, 2, 3, 4 // registers
	snat := &expr.NAT{
		Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: addrMin,
		Random: random, FullyRandom: k.FullyRandom, Persistent: k.Persistent,
	}
	first := binary.BigEndian.Uint32(external.AsSlice())
	load := []expr.Any{&expr.Immediate{Register: addrMin, Data: binaryutil.BigEndian.PutUint32(first)}}
	switch {
	case r.b.Pool4 && k.Persistent:
		load = append(load, &expr.Immediate{Register: addrMax, Data: binaryutil.BigEndian.PutUint32(first + poolSize - 1)})
		snat.RegAddrMax = addrMax
	case r.b.Pool4:
		// Of a range, each destination would always have the same address.
		load = []expr.Any{
			&expr.Numgen{Register: addrMin, Type: unix.NFT_NG_RANDOM, Modulus: poolSize, Offset: first},
			&expr.Byteorder{SourceRegister: addrMin, DestRegister: addrMin, Op: expr.ByteorderHton, Len: 4, Size: 4},
		}
	}
	if r.b.Blocks16 {
		load = append(load,
			&expr.Immediate{Register: portMin, Data: binaryutil.BigEndian.PutUint16(blockStart)},
			&expr.Immediate{Register: portMax, Data: binaryutil.BigEndian.PutUint16(blockStart + blockSize - 1)})
		snat.RegProtoMin, snat.RegProtoMax, snat.Specified = portMin, portMax, true
	}
	r.add(c, out, load, []expr.Any{snat})
}

// blockStart is the first port of a kernel's NAT with Blocks16.
const blockStart = 40960

func verdict(k expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: k}} }

// ctState matches packets that connection tracking has given one of these states.
func ctState(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// isReply matches packets that go against the first one of their connection.
func isReply() []expr.Any {
	const reply = 1 // IP_CT_DIR_REPLY
	return []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeyDIRECTION},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{reply}},
	}
}

// isBareSYN matches SYNs without ACK.
func isBareSYN() []expr.Any {
	const flags = 13 // offset in the header
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flags, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{SYN | ACK}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{SYN}},
	}
}

func ifname(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: padded}}
}

func isTCP() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
	}
}
