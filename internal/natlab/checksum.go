package natlab

import "encoding/binary"

// sum adds b to a ones' complement sum (RFC 1071). An odd last byte is padded with zero.
func sum(acc uint32, b []byte) uint32 {
	for len(b) >= 2 {
		acc += uint32(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	return uint32(fold(acc))
}

func fold(acc uint32) uint16 {
	for acc>>16 != 0 {
		acc = acc&0xffff + acc>>16
	}
	return uint16(acc)
}

// amend corrects the checksum in field for data that changes from old to new, which are of the same
// even length (RFC 1624, equation 3).
func amend(field, old, new []byte) {
	acc := uint32(^binary.BigEndian.Uint16(field))
	for i := 0; i < len(old); i += 2 {
		acc += uint32(^binary.BigEndian.Uint16(old[i:]))
		acc += uint32(binary.BigEndian.Uint16(new[i:]))
	}
	binary.BigEndian.PutUint16(field, ^fold(acc))
}
