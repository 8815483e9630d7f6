// Package tunnel carries TCP connections in libp2p streams: those of local clients on one machine,
// to services on another.
//
//	client             Client                         Server            service
//	   | connect          |                              |                 |
//	   |----------------->| request: the service's name  |                 |
//	   |                  |----------------------------->| connect         |
//	   |                  |                              |---------------->|
//	   |                  |         answer: open, or why not               |
//	   |                  |<-----------------------------|                 |
//	   |<===================== bytes, both ways ==========================>|
//
// A stream is as good as a TCP connection: each direction has an end of its own and its own flow
// control, and a reset ends both. So the client and the service see each other's half-closes,
// resets and pace.
package tunnel
