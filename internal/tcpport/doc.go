// Package tcpport shares one bound local TCP port between many sockets.
//
// A hole punch needs everything to leave from and arrive at the same local port, because that port
// is what a NAT's mapping is made for:
//
//	STUN connection  \
//	connect(peer)     }  local port N  ->  NAT mapping  ->  reflexive address
//	listen / accept  /
//
// The kernel allows it when every socket asks for it before bind(2): SO_REUSEADDR and SO_REUSEPORT
// on Linux, macOS and the BSDs, SO_REUSEADDR on Windows. A TCP connection is identified by its
// 4-tuple, so one port serves any number of peers.
//
// A [Port] owns the listeners, and hands what they accept to the function that it was opened with.
// The port is open to the world on some NATs, so that function has to verify the other end.
//
// [ConnectFrom] and [SilentPort] are for a server that finds out what a client's NAT lets in.
//
// This is the only package with code for one operating system.
package tcpport
