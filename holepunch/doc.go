// Package holepunch gives two programs behind NATs a direct TCP connection. They need any stream
// between them for a few messages: one that a relay carries, a WebSocket, a chat server. The
// package works by TCP simultaneous open (RFC 9293, section 3.5). It needs no root privileges, and
// nothing on the way but a STUN server that speaks TCP.
//
//	agent, err := holepunch.NewAgent(holepunch.Config{STUNServers: []string{"stun.example.org"}})
//	conn, err := agent.Dial(ctx, stream, nil)   // on one side
//	conn, err := agent.Accept(ctx, stream, nil) // on the other
//
// The side that calls [Agent.Dial] is the initiator, the other side the responder. An attempt
// begins with an exchange of messages (docs/protocol.md). Then both sides connect, each from the
// local port whose external address it has sent to the other:
//
//	initiator             stream             responder
//	    | OFFER {candidates, NAT behaviour,      |
//	    |        token}, FLIGHT                  |
//	    |------------------->------------------->|
//	    | ANSWER {candidates, NAT behaviour,     |  begins to connect
//	    |         token}, FLIGHT                 |
//	    |<-------------------<-------------------|
//	    |  begins to connect                     |
//	    | SYN ---------> NAT       NAT <---- SYN |
//	    | ... RETRY and ANSWER, with fresh candidates, where ports have to be predicted,
//	    |     or all pairs were refused
//	    |<===== token, and the bytes after ======>|
//	    | DONE                                   |
//	    |------------------->------------------->|
//
// # Who is at the other end
//
// Each side opens its TCP connections with the token that the other gave it. So a connection is the
// peer's if the stream is: the stream must be encrypted and authenticated end to end. After the
// token, the TCP connection is neither. A [Handshake], such as TLS, takes care of that. It costs no
// time: its first two flights follow OFFER and ANSWER, and the rest travels while the connection is
// made. A responder then has its connection before it knows that the initiator has chosen it; see
// [Conn.AwaitChoice].
//
// One side dials and the other accepts. The two programs agree beforehand which: if both call
// [Agent.Dial] on one stream, both calls end with [ErrGlare].
//
// # Failures
//
// Every error of an attempt is a [*PunchError], and [ReasonOf] returns why, as a code that programs
// can rely on. ReasonOf returns "" where a caller has canceled its context, here or at the peer,
// and where the time was over before any SYN was sent. It also does for errors of the caller's own:
// a Handshake that is not valid, or an error of Options.Refuse that is no [Reason]. Where
// [Reason.Final] reports false, trying again may help. [Compatibility] returns beforehand what two
// NATs allow.
//
// # What a peer can have a host do
//
// A peer names addresses, and the host connects to them. It never connects to ports below 1024 or
// to reserved addresses. It connects to private addresses only if observers see the host itself at
// one, or if both peers are behind one NAT. [Limits] bound the SYNs, and no peer learns their
// outcome. docs/security.md has the details.
package holepunch
