// Package holepunch is what two peers behind NATs do together to get a direct
// TCP connection: they signal over a connection that a relay carries, and then
// open a TCP connection simultaneously (RFC 9293, section 3.5), each from the
// local port whose NAT mapping it told the other.
//
//	initiator            relay            responder
//	    | OFFER {attempt, candidates,         |
//	    |        NAT behaviour}               |
//	    |------------------->---------------->|
//	    | ANSWER {attempt, candidates,        |
//	    |         NAT behaviour}              |  starts to punch
//	    |<-------------------<----------------|
//	    |  starts to punch                    |
//	    | SYN ---------> NAT   NAT <----- SYN |
//	    | SYN+ACK ---------------------> ...  |
//	    | ... RETRY and ANSWER, with fresh candidates, where ports are foretold
//	    |<=== direct connection, secured ====>|
//	    | DONE {status}                       |
//	    |------------------->---------------->|
//
// The initiator is the peer that dialled the relayed connection. It is the
// client of the security handshake, whoever's SYN came first: roles come from
// signalling alone.
//
// [Offer] and [Receive] are the signalling, [Open] and [Serve] the simultaneous
// open of the initiator and of the responder, [Admissible] and [Limiter] the
// rules that keep a stranger from using a host to scan others. [Predict] says what two
// NATs allow, [Foretell] which ports come next, and a [Reason] why there is no
// connection. Addresses are
// [netip.AddrPort] throughout; docs/protocol.md has the wire format.
//
// Package transport is how to use it: [Open] and [Serve] take a port of an internal
// package. What others find here are the reasons of failures, for errors.Is, and
// the wire in package pb.
package holepunch
