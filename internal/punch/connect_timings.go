package punch

import (
	"time"

	"golang.org/x/time/rate"
)

// timings are the times of an [Opening]. Tests shorten them.
type timings struct {
	// slowPause is the most that passes, at random, between a connect that failed and the next,
	// when repeats are not quick.
	slowPause time.Duration

	// burstPause is from the beginning of a burst of repeats to the next.
	burstPause time.Duration

	// launchPause is between the first connects to two candidates. A NAT with sequential ports
	// gives them theirs in the order in which the SYNs leave, and the peer counts on the order in
	// which it named its candidates. It is time for a system call, and little in a burst of eight.
	launchPause time.Duration

	// lateFirst and lateSecond are how much later a late side begins, from the first port and the
	// second: when the peer's NAT should be open. The initiator's SYN, which opens it, leaves half
	// a relayed round trip after the responder's could. A SYN that comes before that is lost, and
	// repeated only after a second. From the first port SYNs are in time if the relayed round trip
	// is up to 80 ms longer than the direct one, from the second if it is up to 320 ms. lateFirst
	// adds to Round.Delay.
	lateFirst, lateSecond time.Duration

	// spoiled is the wait after the moment of Cross until pairs that the NATs refuse count as
	// spoiled. A pair that can come up has done so by then, even if one SYN was lost.
	spoiled time.Duration

	// passive is how long a passive side waits before it connects nevertheless, in case the
	// knowledge of its NAT is out of date. A SYN that is lost twice has arrived by then.
	passive time.Duration

	// retry is the wait before a connect is repeated whose 4-tuple belongs to another connection,
	// whose SYN could not leave, or whose connection was of no use more than once. Each further
	// wait is twice as long, up to maxRetry. Otherwise, with slow handshakes, a thousand punches
	// would keep a processor busy with trying their 4-tuples. And a host that accepts and hangs up
	// costs only some SYNs.
	retry, maxRetry time.Duration

	// A side that has connected a 4-tuple that another attempt wants, too, waits for the other
	// end's token as long as the connect took, within these bounds. If the SYNs crossed, the other
	// end has connected as well and writes at once: its token is there within one round trip of
	// our connect, which took one. The lower bound leaves time to a busy host. The upper one is
	// for a connect whose SYN was repeated; longer round trips are rare.
	minTokenWait, maxTokenWait time.Duration

	// guessRate is in SYNs a second. A home's router has room for some thousands of connections,
	// and drops a burst of them.
	guessRate rate.Limit
}

var defaultTimings = timings{
	slowPause:    500 * time.Millisecond,
	burstPause:   2 * time.Second,
	launchPause:  time.Millisecond,
	lateFirst:    40 * time.Millisecond,
	lateSecond:   160 * time.Millisecond,
	spoiled:      1500 * time.Millisecond,
	passive:      4 * time.Second,
	retry:        100 * time.Millisecond,
	maxRetry:     2 * time.Second,
	minTokenWait: 100 * time.Millisecond,
	maxTokenWait: 500 * time.Millisecond,
	guessRate:    200,
}

// Bounds of [CrossDelay]: the usual time of a connection over the longest distances, and that
// after which TCP repeats the SYNs of the pairs.
const (
	minCrossDelay = 200 * time.Millisecond
	maxCrossDelay = time.Second
)

// CrossDelay returns how long an initiator gives the pairs of ports before it sends CROSS, by the
// round trip over the relay. Then each port connects to the peer's other one as well, for both
// pairs have lost a packet: 4 % have with 5 % of loss at each site, and repeat their SYNs after a
// second only.
func CrossDelay(relayedRTT time.Duration) time.Duration {
	return min(max(relayedRTT*3/2, minCrossDelay), maxCrossDelay)
}
