// Package stun asks STUN servers over TCP which address a local TCP port has
// on the far side of its NATs, finds out how those behave, and is such a server.
//
// It speaks the Binding method of RFC 8489 over TCP (section 6.2.2), without
// authentication:
//
//	client                             NAT           server
//	  | SYN from the local port         |               |
//	  |---------------------------------|-------------->|  mapping made here
//	  | Binding request  {FINGERPRINT}  |               |
//	  |-------------------------------->|-------------->|
//	  |                   Binding success response      |
//	  |  {XOR-MAPPED-ADDRESS, SOFTWARE, FINGERPRINT}    |
//	  |<--------------------------------|<--------------|
//	  |   ... the connection stays; further requests    |
//	  |       tell that mapping and server are alive ...|
//
// Messages follow one another on the stream without any further framing; the
// length in their header delimits them (section 5):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|0 0|     STUN Message Type     |  Length after the header, 4n  |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                   Magic Cookie = 0x2112A442                   |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                   Transaction ID (96 bits)                    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// A message is at most 2 KiB long here. What cannot be STUN is refused at the
// first byte that shows it.
//
// # Client
//
// [Dial] connects to one server and [Conn.Binding] asks it; [Ask] does both
// with several servers side by side. The local port is the dialer's business:
// the package takes anything that has a DialContext method.
//
// A mapping may die with the connection that made it, so a [Conn] stays open
// until its owner closes it, as section 6.2.2 asks, and tells through
// [Conn.Done] when the server has closed it.
//
// # Discovery
//
// [Discover] finds out the [Behaviour] of the NATs in front of the host, by asking
// from several ports and at several addresses (RFC 5780), and by letting a server
// connect back:
//
//	client                             NAT           server
//	  | Binding request  {CONNECT-BACK: from the other address}
//	  |-------------------------------->|-------------->|
//	  |                                 |<-- - - - - - -|  SYN from there
//	  |                   Binding success response      |
//	  |  {XOR-MAPPED-ADDRESS, CONNECT-BACK: refused}    |
//	  |<--------------------------------|<--------------|
//
// CONNECT-BACK is an extension that only servers of this package have; its wire
// format is in docs/stun-connect-back.md. Other servers ignore it, and tell about the
// mapping as well as any.
//
// # Server
//
// [NewServer] and [Server.Serve] answer Binding requests from any listener,
// within the bounds of [ServerConfig]. The server learns nothing and stores
// nothing, and an answer never goes anywhere but to who asked; neither does a
// connection that a client asks for. [Server.ServePacket] answers over UDP, for
// clients to see whether that gets out.
//
// # Errors
//
// The client's errors are an [*Error] that says what was done with which
// server. errors.Is on it finds the reason: one of the sentinels of this
// package, the context's error or what the dialer returned; errors.As finds a
// [*ResponseError] when the server answered with an error response.
package stun
