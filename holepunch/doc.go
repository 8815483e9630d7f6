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
// an exchange of messages, docs/protocol.md has them, and then connects from both sides at once,
// each from the local port whose NAT mapping it told the other:
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
// One side dials and the other accepts. The two programs agree beforehand which: if both call
// [Agent.Dial] on one stream, both calls end with [ErrGlare].
//
// # Failures
//
// Every error of an attempt is a [*PunchError], and [ReasonOf] returns why, as a code that programs
// can rely on. It returns "" where a context has ended, here or at the peer, and for errors of the
// caller's own: a Handshake that is not valid, or an error of Options.Refuse that is no [Reason].
// [Compatibility] returns beforehand what two NATs allow. Where [Reason.Final] reports false,
// trying again may help.
//
// # What a peer can have a host do
//
// A peer names addresses, and the host connects to them. It does not connect to ports below 1024
// and to reserved addresses, nor to private ones, unless observers see the host itself at a private
// address, or both peers are behind one NAT. [Limits] bound the SYNs, and no peer hears what came
// of them. docs/security.md has the details.
package holepunch
