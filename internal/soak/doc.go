// Package soak has a test and nothing else: peers that punch all the time, while whatever they
// stand on breaks and is mended.
//
//	go test ./internal/soak -run TestSoak -soak 20m -timeout 40m -seed 1 -table soak.md
//
// Without -soak it runs for some seconds, which is a check of the test more than of the
// product. docs/reliability.md has what a long run came to.
//
// The peers are processes in a lab (internal/natlab), each behind a NAT of its own, with two
// relays and a STUN server. A peer dials the others in turn, round after round:
//
//	connect through a relay -> open a stream on that connection, and hold it
//	  -> transport.DirectConnect -> send data over both connections, and compare what comes back
//	  -> the held stream still works -> perhaps close the direct connection, and punch again
//	  -> close everything
//
// One fault after another strikes a peer, its link, its NAT, a relay or the STUN server, from
// a schedule that the seed decides. About once a minute all faults are undone, all
// connections are closed, and each process is measured. In the end every pair that can be
// connected must be, once more.
package soak
