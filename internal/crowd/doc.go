// Package crowd has tests and nothing else: many whole libp2p hosts that punch at once.
//
//	go test ./internal/crowd -run TestCrowd -crowd 1000 -timeout 20m -v
//	go test ./internal/crowd -run TestPairs -pairs 30 -timeout 20m -v
//
// Without the flags they are a few hosts, and take seconds. docs/reliability.md has what large ones
// came to.
//
// The hosts are in processes of a lab (internal/natlab), some twenty in each, and each process is
// behind a NAT of its own. They meet at a relay with a STUN server beside it.
//
// In TestCrowd the relay restarts, and all hosts come back to it, and through it to one that is
// behind a NAT as well. In TestPairs every host connects to every other, at the same moment.
package crowd
