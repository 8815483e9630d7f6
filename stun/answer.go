package stun

import (
	"errors"
	"fmt"
	"net/netip"

	pion "github.com/pion/stun/v3"
)

// decodeAnswer returns the mapped address of a response to a Binding request.
//
// It returns a *ResponseError for an error response, and ErrMalformed or
// ErrNoMappedAddress for one that the client must not use. Section numbers in
// the code are RFC 8489's.
func decodeAnswer(m *pion.Message) (netip.AddrPort, error) {
	// Section 6.3: method, class, then FINGERPRINT.
	if m.Type != pion.BindingSuccess && m.Type != pion.BindingError {
		return netip.AddrPort{}, fmt.Errorf("%w: %s instead of a Binding response", ErrMalformed, m.Type)
	}
	if m.Contains(pion.AttrFingerprint) {
		if err := pion.Fingerprint.Check(m); err != nil {
			return netip.AddrPort{}, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	// Sections 6.3.3 and 6.3.4.
	for _, a := range m.Attributes {
		if !comprehended(a.Type) && !legacy(a.Type) {
			return netip.AddrPort{}, fmt.Errorf("%w: unknown attribute 0x%04x", ErrMalformed, a.Type.Value())
		}
	}
	if m.Type == pion.BindingError {
		return netip.AddrPort{}, decodeError(m)
	}
	return mappedAddress(m)
}

// legacy reports whether t is a comprehension-required attribute that servers
// of RFC 3489 put into each response: the addresses they answer from. They
// are of no use here, and no reason to refuse the answer.
func legacy(t pion.AttrType) bool {
	return t == pion.AttrSourceAddress || t == pion.AttrChangedAddress
}

// decodeError returns the *ResponseError in m, or ErrMalformed.
func decodeError(m *pion.Message) error {
	var code pion.ErrorCodeAttribute
	if err := code.GetFrom(m); err != nil {
		return fmt.Errorf("%w: ERROR-CODE: %w", ErrMalformed, err)
	}
	if code.Code < 300 || code.Code > 699 { // Section 14.8.
		return fmt.Errorf("%w: ERROR-CODE %d", ErrMalformed, int(code.Code))
	}
	return &ResponseError{Code: int(code.Code), Reason: string(code.Reason)}
}

// mappedAddress returns the XOR-MAPPED-ADDRESS of m, or the MAPPED-ADDRESS of
// a server of RFC 3489 that knows no other. Some NATs rewrite the latter
// (section 14.2), hence the order.
func mappedAddress(m *pion.Message) (netip.AddrPort, error) {
	var (
		addr pion.XORMappedAddress
		attr = pion.AttrXORMappedAddress
		err  = addr.GetFrom(m)
	)
	if errors.Is(err, pion.ErrAttributeNotFound) {
		attr = pion.AttrMappedAddress
		err = (*pion.MappedAddress)(&addr).GetFrom(m)
	}
	if errors.Is(err, pion.ErrAttributeNotFound) {
		return netip.AddrPort{}, ErrNoMappedAddress
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %s: %w", ErrMalformed, attr, err)
	}
	// pion/stun pads or cuts a value that does not fit its family.
	if value, err := m.Get(attr); err != nil || len(value) != 4+len(addr.IP) {
		return netip.AddrPort{}, fmt.Errorf("%w: %s of %d bytes", ErrMalformed, attr, len(value))
	}
	ip, _ := netip.AddrFromSlice(addr.IP)
	ip = ip.Unmap()
	if !ip.IsValid() || ip.IsUnspecified() || addr.Port == 0 {
		return netip.AddrPort{}, fmt.Errorf("%w: %s is %s", ErrNoMappedAddress, attr, addr)
	}
	return netip.AddrPortFrom(ip, uint16(addr.Port)), nil
}
