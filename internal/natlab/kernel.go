package natlab

import (
	"errors"
	"fmt"
	"strings"
)

// A Kernel says that a Linux kernel translates and filters, and by which rules. The other fields of
// its [Behaviour] say what that amounts to.
type Kernel struct {
	// On is set where there is a kernel.
	On bool
	// Accept lets SYNs from outside in to the router's own sockets, as a router without a firewall
	// does. None of its sockets listens, so its kernel answers with a reset, and remembers the
	// connection for 10 s. A rule that rejects with a reset leaves nothing behind.
	Accept bool
	// FullyRandom draws ports by the flag fully-random instead of random. Since Linux 5.0 the two
	// are the same.
	FullyRandom bool
	// Persistent sets the flag persistent. With Pool4, each host then keeps one external address.
	Persistent bool
	// Invalid drops what connection tracking takes for invalid.
	Invalid bool
}

// kernelName is the first word of a behaviour with a Kernel.
const kernelName = "kernel"

// kernelWords are the words that may follow, of each group one.
var kernelWords = []struct {
	word, group string
	is          func(Behaviour) bool
	set         func(*Behaviour)
}{
	{
		"drop", "input",
		func(b Behaviour) bool { return b.Unsolicited == UnsolicitedDrop },
		func(*Behaviour) {},
	}, {
		"rst", "input",
		func(b Behaviour) bool { return b.Unsolicited == UnsolicitedRST && !b.Kernel.Accept },
		func(b *Behaviour) { b.Unsolicited = UnsolicitedRST },
	}, {
		"accept", "input",
		func(b Behaviour) bool { return b.Kernel.Accept },
		func(b *Behaviour) { b.Unsolicited, b.Kernel.Accept = UnsolicitedRST, true },
	}, {
		"random", "ports",
		func(b Behaviour) bool { return b.Ports == PortRandom && !b.Kernel.FullyRandom && !b.Blocks16 },
		func(b *Behaviour) { b.Ports = PortRandom },
	}, {
		"fullyrandom", "ports",
		func(b Behaviour) bool { return b.Kernel.FullyRandom },
		func(b *Behaviour) { b.Ports, b.Kernel.FullyRandom = PortRandom, true },
	}, {
		"blocks16", "ports",
		func(b Behaviour) bool { return b.Blocks16 },
		func(b *Behaviour) {
			// Where Linux cannot preserve a port, a further connection from it has the same one.
			b.Mapping, b.Ports, b.Blocks16 = EIM, PortRandom, true
		},
	}, {
		"persistent", "persistent",
		func(b Behaviour) bool { return b.Kernel.Persistent },
		func(b *Behaviour) { b.Kernel.Persistent = true },
	}, {
		"snat4", "snat4",
		func(b Behaviour) bool { return b.Pool4 },
		func(b *Behaviour) { b.Pool4 = true },
	}, {
		"invalid", "invalid",
		func(b Behaviour) bool { return b.Kernel.Invalid },
		func(b *Behaviour) { b.Kernel.Invalid = true },
	}, {
		"nosyn", "nosyn",
		func(b Behaviour) bool { return b.NoSYN },
		func(b *Behaviour) { b.NoSYN = true },
	}, {
		"firewall", "firewall",
		func(b Behaviour) bool { return b.Mapping == Public },
		func(b *Behaviour) { b.Mapping, b.Ports = Public, PortPreserve },
	},
}

// parseKernel reads the words after kernelName.
func (b *Behaviour) parseKernel(words []string) error {
	// Masquerading, where its rule says no more.
	*b = Behaviour{Mapping: APDM, Filtering: APDF, Ports: PortOverload, Kernel: Kernel{On: true}}
	seen := make(map[string]bool) // groups
	for _, w := range words {
		if err := b.parseKernelWord(w, seen); err != nil {
			return err
		}
	}
	if b.Mapping == Public && b.Kernel.Accept {
		b.Filtering = EIF
	}
	return b.check()
}

func (b *Behaviour) parseKernelWord(w string, seen map[string]bool) error {
	var known []string
	groups := make(map[string][]string)
	for _, k := range kernelWords {
		known = append(known, k.word)
		groups[k.group] = append(groups[k.group], k.word)
	}
	for _, k := range kernelWords {
		switch {
		case k.word != w:
			continue
		case seen[k.group] && len(groups[k.group]) == 1:
			return fmt.Errorf("%q is there twice", w)
		case seen[k.group]:
			return fmt.Errorf("only one of %s", list(groups[k.group]))
		}
		seen[k.group] = true
		k.set(b)
		return nil
	}
	return fmt.Errorf("%q is no word of a kernel: want one of %s", w, list(known))
}

// checkKernel is check for a behaviour with a Kernel.
func (b Behaviour) checkKernel() error {
	k := b.Kernel
	can := Behaviour{Mapping: APDM, Filtering: APDF, Unsolicited: b.Unsolicited, Ports: PortOverload,
		NoSYN: b.NoSYN, Pool4: b.Pool4, Blocks16: b.Blocks16, Kernel: k}
	if k.FullyRandom || b.Blocks16 || b.Ports == PortRandom {
		can.Ports = PortRandom
	}
	if b.Blocks16 {
		can.Mapping = EIM
	}
	if b.Mapping == Public {
		can.Mapping, can.Ports = Public, PortPreserve
		if k.Accept {
			can.Filtering = EIF
		}
	}
	switch {
	case b.Mapping == Public && (b.Ports != PortPreserve || b.Pool4 || k.Persistent):
		return errors.New("a firewall does not translate")
	case b.Mapping == Public && k.Accept && !k.Invalid && !b.NoSYN:
		return errors.New("a firewall that accepts is none")
	case b != can || b.Unsolicited > UnsolicitedRST || k.Accept && b.Unsolicited != UnsolicitedRST || k.FullyRandom && b.Blocks16:
		return errors.New("a kernel does not behave so")
	}
	return nil
}

// kernelString is String for a behaviour with a Kernel.
func (b Behaviour) kernelString() string {
	words := []string{kernelName}
	for _, k := range kernelWords {
		if k.is(b) {
			words = append(words, k.word)
		}
	}
	return strings.Join(words, "-")
}
