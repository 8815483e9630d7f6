// Package gather learns what a host can tell a peer of itself: local TCP ports that are kept warm,
// their reflexive addresses, the behaviour of the NATs in front of them, and which external port
// comes next. One goroutine, the [Gatherer]'s, owns all of it; what it knows it publishes as an
// immutable [Snapshot].
package gather
