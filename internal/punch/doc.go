// Package punch opens one TCP connection between two peers that have exchanged candidates and
// tokens: it connects candidate pairs simultaneously (RFC 9293, section 3.5), attributes what comes
// in by the token that it opens with, and presents all connections that come up as copies of one
// byte stream until the initiator has chosen one of them.
//
//	initiator -> responder:  token of the responder | (0x00, length uint16, bytes)* | 0x01 |
//	                         stream, unframed
//	responder -> initiator:  token of the initiator | stream, unframed, once the right token was
//	                         read
//
// A token is sent as a line, "simopen " and 22 characters of base64url and a newline. A length is
// big-endian and not 0. What is in frames on one connection has 64 KiB at most. The initiator
// chooses the first connection that shows its token. Before its 0x01 it frames all that it has
// written, so that the connection it chooses lacks nothing that another one has delivered.
//
// An [Opening] connects, a [Receiver] accepts, and a [Stream] is the result. This package neither
// reads nor writes signalling. What is known of the NATs comes in a [Round].
package punch
