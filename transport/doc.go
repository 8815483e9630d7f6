// Package transport gives a libp2p host direct TCP connections to peers that it
// knows through a relay only.
//
//	h, err := libp2p.New(libp2p.EnableRelay(), transport.Enable())
//
// From then on a relayed connection that the host dials is upgraded by itself:
// a direct connection to the same peer appears beside it, and libp2p prefers
// that one. [DirectConnect] waits for it. Peers without simopen are served as
// before.
//
// # How
//
// The dialling side opens a stream of [holepunch.Protocol] on the relayed
// connection, and both sides exchange the reflexive addresses of a TCP port
// that they keep warm: STUN servers, or else the relays themselves, tell them from
// where they see that port. Then both open the connection at the same time. The host's
// own security transports and muxers upgrade it; its resource manager accounts
// for it and its connection gater is asked as for any TCP connection. The swarm
// has it as outbound on the side that dialled the relayed connection and as
// inbound on the other.
//
// # Addresses
//
// Inside the swarm the transport is dialled at /simopen, or at a listener's
// /ip4/A/tcp/P/simopen. Neither leaves the host: what it advertises is as before.
//
// # NATs
//
// In the background the host finds out how its NATs behave, as far as its STUN servers
// can tell ([stun.Discover]), and both sides tell each other. Where a port has to be
// foretold it is, in several rounds if need be; where nothing can work, both fail
// at once, with the reason ([holepunch.Predict], [holepunch.ReasonOf]).
// [WithPortGuessing] is for what nothing else gets through. docs/nat.md has it all.
//
// # Debugging
//
// [WithTracer] reports every step of every punch; the logger is "simopen"
// (GOLOG_LOG_LEVEL="simopen=debug").
package transport
