// Package pair is what two peers behind NATs do in the example programs: one waits at a relay, the
// other connects through it, simopen makes the connection a direct one, and data is sent over that.
//
//	listener                    relay, STUN                  dialler
//	   | connect, reserve -------->|                            |
//	   | ask for own address ----->|                            |
//	   |                           |<---------- connect to relay |
//	   |                           |<------ ask for own address |
//	   |<==================== relayed connection ===============|
//	   |        (simopen upgrades it, by itself)                |
//	   |<==================== direct connection ================|
//	   |<-------------------- ping, on each connection ---------|
//	   |<-------------------- data -----------------------------|
//	   | receipt: how much, its SHA-256 ----------------------->|
//
// [Listen] and [Dial] are the two sides. What happens is reported as one [Event] at a time, and the
// dialler's result is a [Report].
package pair
