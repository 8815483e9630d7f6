// Package natpeer is what the example programs' peers behind NATs have in common: where they find a
// relay and STUN servers, how they stay with the relay, and words for what fails.
package natpeer
