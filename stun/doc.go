// Package stun asks STUN servers over TCP which address a local TCP port has on the far side of its
// NATs, discovers how those NATs behave, and implements such a server.
//
// It speaks the Binding method of RFC 8489 over TCP (section 6.2.2), without authentication:
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
//	  |       show that mapping and server are alive ...|
//
// Messages follow one another on the stream without further framing. The length in the header
// delimits them (section 5):
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
// A message is at most 2 KiB long here. What cannot be STUN is refused at the first byte that shows
// it.
//
// # Client
//
// [Dial] connects to a server and [Conn.Binding] asks it. The dialer chooses the local port;
// anything with a DialContext method is a dialer.
//
// A mapping may end with the connection that made it. A [Conn] therefore stays open until its owner
// closes it, as section 6.2.2 asks, and reports through [Conn.Done] that the server has closed it.
//
// # Discovery
//
// [Discover] finds the [Behaviour] of the NATs in front of the host. It asks from several ports and
// at several addresses (RFC 5780), and lets a server connect back:
//
//	client                             NAT           server
//	  | Binding request  {CONNECT-BACK: from the other address}
//	  |-------------------------------->|-------------->|
//	  |                                 |<-- - - - - - -|  SYN from there
//	  |                   Binding success response      |
//	  |  {XOR-MAPPED-ADDRESS, CONNECT-BACK: refused}    |
//	  |<--------------------------------|<--------------|
//
// CONNECT-BACK is an extension that only servers of this package have. Its wire format is in
// docs/stun-connect-back.md. Other servers ignore it, and show the mapping as well as any.
//
// # Server
//
// [NewServer] and [Server.Serve] answer Binding requests from any listener, within the bounds of
// [ServerConfig]. The server stores nothing about its clients. A response goes only to the client
// that asked, and so does a connection that a client asks for. [Server.ServePacket] answers over
// UDP, for clients to learn whether UDP leaves their network. [Server.Stats] counts connections,
// requests, and refusals by reason.
//
// # Errors
//
// A client's errors are an [*Error] with the operation and the server. errors.Is finds the reason:
// a sentinel of this package, the context's error or what the dialer returned. errors.As finds a
// [*ResponseError] when the server sent an error response.
package stun
