// Package gather learns what a host can send to a peer about itself: local TCP ports that are kept
// warm, their reflexive addresses, the behaviour of the NATs in front of them, and which external
// port comes next.
//
// A [Gatherer] has one goroutine, which owns all that is known and all timers:
//
//	observers --answers--> warm ports --view--+
//	                                          +--> snapshot --Gather--> Description
//	stun.Discover --------> epoch ------------+
//
// Observers and the search for the NAT's behaviour run in goroutines of their own and report to it.
// What was learned belongs to an epoch, the time that the host spends at one place in the network.
// When the host has moved, the epoch ends and everything is asked again.
package gather
