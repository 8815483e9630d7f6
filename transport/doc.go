// Package transport gives a libp2p host direct TCP connections to peers that it can only reach
// through a relay.
//
//	h, err := libp2p.New(libp2p.EnableRelay(), transport.Enable())
//
// From then on the host upgrades the relayed connections that it dials: a direct connection to the
// same peer appears beside the relayed one, and libp2p prefers it. [DirectConnect] waits for it.
// Peers without simopen are unaffected.
//
// # How
//
// The package adapts [holepunch.Agent] to libp2p. The side that dialled the relayed connection
// opens a stream of [holepunch.Protocol] on it, and is the initiator. Over that stream both sides
// exchange the reflexive addresses of their TCP ports, and the first flights of the security
// handshake. STUN servers report these addresses, or else the relays themselves. Then both sides
// open the connection at the same time.
//
// The host's own security transports and muxers make it a libp2p connection. The resource manager
// accounts for it and the connection gater is asked, as for any TCP connection. The swarm has it as
// outbound at the initiator and as inbound at the responder.
//
//	relayed connection -> upgrade policy -> Agent.Dial -> security, muxer ->
//	                      swarm's dial of /simopen -> Transport.Dial -> swarm
//	signalling stream  -> Agent.Accept -> security, muxer -> Listener.Accept -> swarm
//
// # Addresses
//
// Inside the swarm the transport is dialled, and listens, at /simopen. That address does not leave
// the host: what the host advertises is as before.
//
// # NATs
//
// In the background the host discovers how its NATs behave, as far as its STUN servers can report
// it ([WithSTUNServers]). Both sides exchange what they know. Ports are predicted where that is
// necessary, in several rounds if need be. Where nothing can work both sides fail at once, with the
// reason ([holepunch.Compatibility], [holepunch.ReasonOf]). [WithPortGuessing] is for pairs of NATs
// that nothing else gets through. docs/nat.md has the details.
//
// # Debugging
//
// [WithTracer] reports every step of every attempt; the logger is "simopen"
// (GOLOG_LOG_LEVEL="simopen=debug").
package transport
