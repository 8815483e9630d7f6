// Package holepunch gets two programs that are behind NATs a direct TCP connection, if there is any
// stream between them for a few messages: one that a relay carries, a WebSocket, a chat server. It
// works by TCP simultaneous open (RFC 9293, section 3.5), without root privileges and without
// anything on the way but a STUN server that speaks TCP.
//
//	agent, err := holepunch.NewAgent(holepunch.Config{STUNServers: []string{"stun.example.org"}})
//	conn, err := agent.Dial(ctx, stream, nil)   // on one side
//	conn, err := agent.Accept(ctx, stream, nil) // on the other
//
// The one that calls [Agent.Dial] is the initiator, the other one the responder. An attempt is
// an exchange of messages, docs/protocol.md has them, and then connects from both sides at once, each
// from the local port whose NAT mapping it told the other:
//
//	initiator             stream             responder
//	    | OFFER {candidates, NAT behaviour,      |
//	    |        token, first flight}            |
//	    |------------------->------------------->|
//	    | ANSWER {candidates, NAT behaviour,     |
//	    |         token, second flight}          |  begins to connect
//	    |<-------------------<-------------------|
//	    |  begins to connect                     |
//	    | SYN ---------> NAT       NAT <---- SYN |
//	    | ... RETRY and ANSWER, with fresh candidates, where ports have to be predicted
//	    |<===== token, and the bytes after ======>|
//	    | DONE                                   |
//	    |------------------->------------------->|
//
// # Who is at the other end
//
// Each side opens its TCP connections with the token that the other gave it, so a connection is the
// peer's if the stream is: it must be encrypted and authenticated end to end. The TCP connection is
// neither, after the token. A [Handshake], such as TLS, takes care of that, and costs nothing: its
// first two flights travel in OFFER and ANSWER, and the rest while the connection is made. A
// responder then has its connection before it knows that the initiator has chosen it; see
// [Conn.AwaitChoice].
//
// # Failures
//
// Every error of an attempt is a [*PunchError], and [ReasonOf] returns why, as a code that programs
// can rely on. [Compatibility] returns beforehand what two NATs allow. Where [Reason.Final] reports
// false, trying again may help.
//
// # What a peer can have a host do
//
// A peer names addresses, and the host connects to them. Private and reserved addresses and ports
// below 1024 are not connected to, [Limits] bound the SYNs, and no peer hears what came of them.
// docs/security.md has the details.
package holepunch
