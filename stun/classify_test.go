package stun

import (
	"net/netip"
	"slices"
	"testing"
)

// The endpoints of a server with two addresses and two ports, and of another.
var (
	a1p1 = netip.MustParseAddrPort("46.0.1.1:3478")
	a1p2 = netip.MustParseAddrPort("46.0.1.1:3479")
	a2p1 = netip.MustParseAddrPort("46.0.1.2:3478")
	a2p2 = netip.MustParseAddrPort("46.0.1.2:3479")
	b1   = netip.MustParseAddrPort("46.0.9.1:3478")
)

// seen returns connections of local port 5000 behind a NAT, at servers and the ports that they see.
func seen(pairs ...any) []ObservedConn {
	var all []ObservedConn
	for pair := range slices.Chunk(pairs, 2) {
		all = append(all, ObservedConn{
			Local:  netip.MustParseAddrPort("10.2.0.1:5000"),
			Server: pair[0].(netip.AddrPort),
			Mapped: netip.AddrPortFrom(netip.MustParseAddr("46.0.2.1"), uint16(pair[1].(int))),
		})
	}
	return all
}

func TestInferMapping(t *testing.T) {
	public := ObservedConn{Local: netip.MustParseAddrPort("46.0.2.1:5000"), Server: a1p1, Mapped: netip.MustParseAddrPort("46.0.2.1:5000")}
	pool := seen(a1p1, 7, b1, 7)
	pool[1].Mapped = netip.MustParseAddrPort("46.0.2.2:7")
	unknown := ObservedConn{Server: a1p1, Mapped: public.Mapped}
	again := ObservedConn{Server: b1, Mapped: public.Mapped}
	for name, tt := range map[string]struct {
		seen []ObservedConn
		want Mapping
	}{
		"nothing":                         {nil, MappingUnknown},
		"no NAT":                          {[]ObservedConn{public}, EIM},
		"one endpoint":                    {seen(a1p1, 7), MappingUnknown},
		"two ports, same":                 {seen(a1p1, 7, a1p2, 7), MappingUnknown},
		"two ports, other":                {seen(a1p1, 7, a1p2, 8), APDM},
		"two addresses, same":             {seen(a1p1, 7, a2p1, 7), EIM},
		"two addresses and ports, same":   {seen(a1p1, 7, a2p2, 7), EIM},
		"two servers, same":               {seen(a1p1, 7, b1, 7), EIM},
		"two servers, other":              {seen(a1p1, 7, b1, 8), APDM},
		"two servers, other address":      {pool, MappingUnknown},
		"no NAT, or a liar":               {[]ObservedConn{public, {Server: b1, Mapped: a2p1}}, MappingUnknown},
		"local port unknown":              {[]ObservedConn{unknown}, MappingUnknown},
		"local port unknown, same":        {[]ObservedConn{unknown, again}, EIM},
		"one endpoint twice":              {seen(a1p1, 7, a1p1, 8), MappingUnknown},
		"four endpoints, all the same":    {seen(a1p1, 7, a1p2, 7, a2p1, 7, a2p2, 7), EIM},
		"four endpoints, two addresses":   {seen(a1p1, 7, a1p2, 7, a2p1, 9, a2p2, 9), ADM},
		"four endpoints, all other":       {seen(a1p1, 7, a1p2, 8, a2p1, 9, a2p2, 10), APDM},
		"in another order":                {seen(a2p2, 9, a1p1, 7, a2p1, 9, a1p2, 7), ADM},
		"one of the ports met by chance":  {seen(a1p1, 7, a1p2, 8, a2p1, 9, a2p2, 9), APDM},
		"three endpoints, two addresses":  {seen(a1p1, 7, a1p2, 7, a2p1, 9), ADM},
		"three endpoints, other port too": {seen(a1p1, 7, a1p2, 8, a2p1, 7), APDM},
	} {
		if got := InferMapping(tt.seen); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

// TestInferMappingOfOneServer: a server that sees several IP addresses sees those of a NAT.
func TestInferMappingOfOneServer(t *testing.T) {
	pool := seen(a1p1, 7, a1p2, 7, a2p1, 7, a2p2, 7)
	pool[2].Mapped = netip.MustParseAddrPort("46.0.2.2:7")
	pool[3].Mapped = pool[2].Mapped
	if got := classify(observations{shared: pool}); got.Mapping != ADM {
		t.Errorf("by address: %v, want %v", got.Mapping, ADM)
	}
	byChance := observations{shared: seen(a1p1, 7, a1p2, 7, a2p1, 7, a2p2, 7), scattered: true}
	if got := classify(byChance); got.Mapping != APDM {
		t.Errorf("the same address by chance: got %v, want %v", got.Mapping, APDM)
	}
	pool[3].Mapped = netip.MustParseAddrPort("46.0.2.3:7")
	if got := classify(observations{shared: pool}); got.Mapping != APDM {
		t.Errorf("by endpoint: %v, want %v", got.Mapping, APDM)
	}
}

// freshly returns connections from local ports 5000, 5002 and so on, at the ports that the server
// sees.
func freshly(ports ...int) []ObservedConn {
	var all []ObservedConn
	for i, p := range ports {
		all = append(all, ObservedConn{
			Local:  netip.AddrPortFrom(netip.MustParseAddr("10.2.0.1"), uint16(5000+2*i)),
			Server: a1p1,
			Mapped: netip.AddrPortFrom(netip.MustParseAddr("46.0.2.1"), uint16(p)),
		})
	}
	return all
}

func TestClassifyPorts(t *testing.T) {
	for name, tt := range map[string]struct {
		ports []int
		want  Ports
		step  int
	}{
		"nothing":                {nil, PortsUnknown, 0},
		"one, preserved":         {[]int{5000}, PortsUnknown, 0},
		"two, preserved":         {[]int{5000, 5002}, Preserved, 0},
		"all preserved":          {[]int{5000, 5002, 5004, 5006, 5008, 5010}, Preserved, 0},
		"two were taken":         {[]int{5000, 33333, 5004, 5006, 1024, 5010}, Preserved, 0},
		"half preserved":         {[]int{5000, 1, 5004, 9000}, Random, 0},
		"one by chance":          {[]int{5000, 1025, 40000, 9000}, Random, 0},
		"three in a row":         {[]int{7, 8, 9}, PortsUnknown, 0},
		"four in a row":          {[]int{7, 8, 9, 10}, Sequential, 1},
		"two apart":              {[]int{1024, 1026, 1028, 1030, 1032, 1034}, Sequential, 2},
		"four apart":             {[]int{1024, 1028, 1032, 1036}, Sequential, 4},
		"others between":         {[]int{2000, 2001, 2004, 2005, 2007, 2020}, Sequential, 1},
		"two apart, others":      {[]int{2000, 2002, 2010, 2012, 2018, 2020}, Sequential, 2},
		"so many others":         {[]int{2000, 2064, 2128, 2192, 2256, 2321}, Random, 0},
		"downwards":              {[]int{2000, 1999, 1998, 1996, 1995, 1994}, Sequential, -1},
		"wrap around":            {[]int{65533, 65534, 65535, 1024, 1025, 1026}, Sequential, 1},
		"wrap around at once":    {[]int{65535, 1024, 1025, 1026, 1027}, Sequential, 1},
		"wrap around last":       {[]int{65532, 65533, 65534, 65535, 32768}, Sequential, 1},
		"wrap around, downwards": {[]int{1026, 1025, 1024, 65535, 65534, 65533}, Sequential, -1},
		"wrap around, two apart": {[]int{65530, 65532, 65534, 1024, 1026}, Sequential, 2},
		"wrap around twice":      {[]int{65535, 1024, 65534, 1025, 1026, 1027}, Random, 0},
		"not a wrap":             {[]int{30000, 30001, 30002, 1024, 1025, 1026}, Random, 0},
		"up and down":            {[]int{1998, 2002, 2001, 2003, 2005}, Random, 0},
		"twice the same":         {[]int{2000, 2001, 2001, 2002, 2003}, PortsUnknown, 0},
		"random":                 {[]int{14000, 60221, 1812, 33007, 8, 45000}, Random, 0},
		"in a block":             {[]int{4817, 4823, 4816, 4831, 4820, 4829}, Block, 0},
		"round in a block":       {[]int{4829, 4830, 4831, 4816, 4817, 4818}, Block, 0},
		"down in a block":        {[]int{4817, 4816, 4831, 4830, 4829, 4828}, Block, 0},
		"in two blocks":          {[]int{4817, 4823, 4832, 4831, 4820, 4829}, Random, 0},
		"two in a block":         {[]int{4817, 4823}, PortsUnknown, 0},
		"random, two near":       {[]int{14000, 14001, 1812, 33007, 8, 45000}, Random, 0},
	} {
		if got, step := classifyPorts(freshly(tt.ports...)); got != tt.want || step != tt.step {
			t.Errorf("%s: got %v, %d, want %v, %d", name, got, step, tt.want, tt.step)
		}
	}
}

// TestClassifyFiltering has all outcomes of both connects.
func TestClassifyFiltering(t *testing.T) {
	outcomes := []outcome{notDone, connected, refused, refusedICMP, noAnswer}
	answers := map[outcome]Unsolicited{refused: RST, refusedICMP: ICMP, noAnswer: Drop}
	for _, other := range outcomes {
		for _, own := range outcomes {
			var want Filtering
			switch {
			case other == connected:
				want = EIF
			case own == notDone, other == notDone && own == connected:
				want = FilteringUnknown
			case own == connected:
				want = ADF
			default:
				want = APDF
			}
			unsolicited := answers[other]
			if unsolicited == UnsolicitedUnknown || unsolicited == Drop && answers[own] != UnsolicitedUnknown {
				unsolicited = answers[own]
			}
			b := classify(observations{fromOther: other, fromOwn: own})
			if b.Filtering != want || b.Unsolicited != unsolicited {
				t.Errorf("%d, %d: got %v, %v, want %v, %v", other, own, b.Filtering, b.Unsolicited, want, unsolicited)
			}
			if want := map[bool]Fact{true: Yes}[other == connected || own == connected]; b.BareSYN != want {
				t.Errorf("%d, %d: bare SYN %v, want %v", other, own, b.BareSYN, want)
			}
		}
	}
}

func TestClassifyBareSYN(t *testing.T) {
	eim, adm, apdm := seen(a1p1, 7, a2p1, 7), seen(a1p1, 7, a1p2, 7, a2p1, 9), seen(a1p1, 7, a1p2, 8)
	for _, refusal := range []outcome{refused, refusedICMP, noAnswer} {
		for _, tt := range []struct {
			shared []ObservedConn
			bare   outcome
			want   Fact
		}{
			{eim, connected, Yes}, {adm, connected, Yes}, {apdm, connected, Yes}, {nil, connected, Yes},
			{eim, refusal, No}, {adm, refusal, No}, {apdm, refusal, Unknown}, {nil, refusal, Unknown},
			{eim, notDone, Unknown},
		} {
			o := observations{shared: tt.shared, fromOther: refusal, fromOwn: refusal, bareSYN: tt.bare}
			if got := classify(o).BareSYN; got != tt.want {
				t.Errorf("%v, %d: got %v, want %v", InferMapping(tt.shared), tt.bare, got, tt.want)
			}
			// Where others are let in, the test decides, if it says something.
			want := tt.want
			if want == Unknown {
				want = Yes
			}
			// The addresses of a pool may be the same by chance.
			pool := o
			pool.fresh = []ObservedConn{{Mapped: netip.AddrPortFrom(netip.AddrFrom4([4]byte{46, 0, 0, 1}), 7)}, {Mapped: netip.AddrPortFrom(netip.AddrFrom4([4]byte{46, 0, 0, 2}), 7)}}
			if got := classify(pool).BareSYN; got == No {
				t.Errorf("%v, %d, of a pool: got %v", InferMapping(tt.shared), tt.bare, got)
			}
			o.fromOther = connected
			if got := classify(o).BareSYN; got != want {
				t.Errorf("%v, %d, and EIF: got %v, want %v", InferMapping(tt.shared), tt.bare, got, want)
			}
		}
	}
}

func TestClassifyHairpin(t *testing.T) {
	eim, adm, apdm := seen(a1p1, 7, a2p1, 7), seen(a1p1, 7, a1p2, 7, a2p1, 9), seen(a1p1, 7, a1p2, 8)
	for _, tt := range []struct {
		shared    []ObservedConn
		fromOther outcome
		met, want Fact
	}{
		{eim, refused, Yes, Yes}, {eim, refused, No, No}, {eim, notDone, No, No}, {eim, connected, Unknown, Unknown},
		{adm, refused, Yes, Yes}, {adm, refused, No, Unknown}, {adm, connected, No, No},
		{apdm, refused, Yes, Yes}, {apdm, refused, No, Unknown}, {apdm, connected, No, No},
		{nil, notDone, No, Unknown},
	} {
		b := classify(observations{shared: tt.shared, fromOther: tt.fromOther, fromOwn: refused, hairpin: tt.met})
		if b.Hairpin != tt.want {
			t.Errorf("%v, %v, met %v: got %v, want %v", b.Mapping, b.Filtering, tt.met, b.Hairpin, tt.want)
		}
	}
}

func TestClassifyNothing(t *testing.T) {
	if b := classify(observations{}); b != (Behaviour{}) {
		t.Errorf("got %v", b)
	}
}
