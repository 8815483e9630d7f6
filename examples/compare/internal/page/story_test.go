package page

import (
	"net/netip"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

var (
	addrA = netip.MustParseAddrPort("46.0.1.1:4001")
	addrB = netip.MustParseAddrPort("46.0.2.1:4002")
	begin = time.Unix(1e9, 0)
)

// sent makes the journey of a packet that takes 40 ms and comes, unless fate says otherwise.
func sent(s side, k kind, ms int, fate natlab.Fate) *journey {
	j := &journey{
		header:  header{kind: k, src: addrA, dst: addrB},
		from:    s.peer(),
		to:      (1 - s).peer(),
		left:    begin.Add(time.Duration(ms) * time.Millisecond),
		arrived: begin.Add(time.Duration(ms+40) * time.Millisecond),
		fate:    fate,
	}
	if s == sideB {
		j.src, j.dst = j.dst, j.src
	}
	if fate != natlab.Forwarded {
		j.to = (1 - s).nat()
	}
	if k == kindData || k == kindUDP {
		j.payload = 100
	}
	return j
}

// refused makes rounds of a SYN that is refused, 100 ms each.
func refused(rounds int) (journeys []*journey) {
	for i := range rounds {
		rst := sent(sideB, kindRST, 100*i+40, natlab.Forwarded)
		rst.from = natB
		journeys = append(journeys, sent(sideA, kindSYN, 100*i, natlab.Answered), rst)
	}
	return journeys
}

func crossing(ms int) []*journey {
	return []*journey{
		sent(sideA, kindSYN, ms, natlab.Forwarded),
		sent(sideB, kindSYN, ms+1, natlab.Forwarded),
		sent(sideA, kindSYNACK, ms+41, natlab.Lost),
		sent(sideB, kindSYNACK, ms+42, natlab.Forwarded),
		sent(sideA, kindACK, ms+82, natlab.Forwarded),
		sent(sideA, kindData, ms+83, natlab.Forwarded),
		sent(sideB, kindData, ms+123, natlab.Forwarded),
	}
}

func TestTell(t *testing.T) {
	punch := append(refused(20), crossing(2000)...)
	for ms := range 50 {
		punch = append(punch, sent(sideA, kindData, 2200+ms, natlab.Forwarded))
	}
	s := tell(punch)
	if !s.open || !s.simultaneous {
		t.Errorf("open %v, simultaneous %v", s.open, s.simultaneous)
	}
	if n := firstShown + lastShown - 1; len(s.shown) != n { // a RST went with its SYN
		t.Errorf("%d shown, want %d", len(s.shown), n)
	}
	if last := s.shown[len(s.shown)-1]; last.kind != kindData || last.sender() != sideB {
		t.Errorf("the last is %v of %v", last, last.from)
	}
	const want = "30 more: 15 RST, 15 SYN refused"
	if got := tally(s.hidden[firstShown]); len(s.hidden) != 1 || got != want {
		t.Errorf("hidden before %v: %q, want %q", s.hidden, got, want)
	}
	if s.after != 50 {
		t.Errorf("%d after, want 50", s.after)
	}
}

// The resulting connection is shown, also if others have kept on trying.
func TestTellWinner(t *testing.T) {
	punch := append(refused(20), crossing(2000)[:4]...)
	for i, j := range refused(20) {
		j.src = netip.AddrPortFrom(j.src.Addr(), j.src.Port()+7)
		j.left, j.arrived = begin.Add(time.Duration(2050+i)*time.Millisecond), begin.Add(time.Duration(2090+i)*time.Millisecond)
		punch = append(punch, j)
	}
	punch = append(punch, crossing(2100)[5:]...)
	s := tell(punch)
	kinds := make(map[kind]int)
	for _, j := range s.shown {
		if j.flow() == crossing(0)[0].flow() && j.fate != natlab.Answered {
			kinds[j.kind]++
		}
	}
	if kinds[kindSYN] != 2 || kinds[kindSYNACK] != 2 || kinds[kindData] != 2 {
		t.Errorf("of the connection are shown: %v", kinds)
	}
}

func TestTellFailure(t *testing.T) {
	s := tell(refused(3))
	if s.open || s.simultaneous || len(s.hidden) != 0 || len(s.shown) != 6 {
		t.Errorf("got %+v", s)
	}
	if s := tell(nil); len(s.shown) != 0 || s.open {
		t.Errorf("of nothing: %+v", s)
	}
}

func TestTellUDP(t *testing.T) {
	s := tell([]*journey{
		sent(sideB, kindUDP, 0, natlab.Dropped),
		sent(sideA, kindUDP, 10, natlab.Forwarded),
		sent(sideA, kindUDP, 11, natlab.Forwarded),
		sent(sideB, kindUDP, 50, natlab.Forwarded),
		sent(sideA, kindUDP, 91, natlab.Forwarded),
	})
	if !s.open || s.opener != sideA || len(s.shown) != 3 || s.after != 2 {
		t.Errorf("open %v by %v, %d shown, %d after", s.open, s.opener, len(s.shown), s.after)
	}
}
