package natlab

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// The example of RFC 1071, section 3.
func TestSum(t *testing.T) {
	if got := sum(0, []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}); got != 0xddf2 {
		t.Errorf("got %x, want ddf2", got)
	}
	if even, odd := sum(0, []byte{1, 2, 3, 0}), sum(0, []byte{1, 2, 3}); even != odd {
		t.Errorf("an odd byte adds up to %x, want %x", odd, even)
	}
}

// The example of RFC 1624, section 4: the checksum becomes 0x0000, not 0xffff.
func TestAmendRFC1624(t *testing.T) {
	field := []byte{0xdd, 0x2f}
	amend(field, []byte{0x55, 0x55}, []byte{0x32, 0x85})
	if got := binary.BigEndian.Uint16(field); got != 0 {
		t.Errorf("got %04x, want 0000", got)
	}
}

func TestAmendIsAsComputedAnew(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	data := make([]byte, 40)
	for range 10000 {
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		field := binary.BigEndian.AppendUint16(nil, ^uint16(sum(0, data)))
		old := append([]byte(nil), data[12:16]...)
		binary.BigEndian.PutUint32(data[12:], rng.Uint32())
		amend(field, old, data[12:16])
		if got, want := binary.BigEndian.Uint16(field), ^uint16(sum(0, data)); got != want {
			t.Fatalf("got %04x, want %04x", got, want)
		}
	}
}
