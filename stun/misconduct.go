package stun

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

// What is wrong with a server that [Discover] reports, besides what [Dial],
// [Conn.Binding] and [Agree] return.
var (
	// ErrNoTCP means that a server answers over UDP, and not over TCP.
	ErrNoTCP = errors.New("the server answers over UDP, but not over TCP")

	// ErrFamily means that a server claims to see an IPv4 address at the end of
	// an IPv6 connection, or the reverse.
	ErrFamily = errors.New("the server claims to see an address of the other family")

	// ErrPrivateMapped means that a server in public claims to see a private
	// address, or one on another host a loopback address, which cannot have reached
	// it.
	ErrPrivateMapped = errors.New("the server claims to see a private address, which cannot have reached it")

	// ErrSameServer means that a server is at an address which was asked already
	// under another name.
	ErrSameServer = errors.New("the same address as another server's")
)

// CheckMapped looks at one answer by itself: whether the server at an address can
// have seen the mapped address that it claims to see. The error wraps ErrFamily or
// ErrPrivateMapped.
func CheckMapped(server, mapped netip.Addr) error {
	switch {
	case server.Is4() != mapped.Is4() && !nat64.Contains(server):
		return fmt.Errorf("%w: %s from %s", ErrFamily, mapped, server)
	case public(server) && !public(mapped), mapped.IsLoopback() && !server.IsLoopback():
		return fmt.Errorf("%w: %s from %s", ErrPrivateMapped, mapped, server)
	}
	return nil
}

// nat64 is where an IPv6 connection is one over IPv4 at its far end (RFC
// 6052, section 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// public reports whether an address can be that of a host on the Internet.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !ipaddr.IsPrivate(a)
}
