package stun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

// A response holds the attributes of a success response that a client uses.
type response struct {
	mapped netip.AddrPort
	other  netip.AddrPort // OTHER-ADDRESS; the zero AddrPort if there is none
	back   *connectBack   // CONNECT-BACK; nil if there is none
}

// decodeResponse decodes a response to a Binding request.
//
// It returns a *ResponseError for an error response, and ErrMalformed or ErrNoMappedAddress for one
// that the client must not use. Section numbers are RFC 8489's.
func decodeResponse(m *pion.Message) (response, error) {
	// Section 6.3: method, class, then FINGERPRINT.
	if m.Type != pion.BindingSuccess && m.Type != pion.BindingError {
		return response{}, fmt.Errorf("%w: %s instead of a Binding response", ErrMalformed, m.Type)
	}
	if m.Contains(pion.AttrFingerprint) {
		if err := pion.Fingerprint.Check(m); err != nil {
			return response{}, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	// Sections 6.3.3 and 6.3.4.
	for _, a := range m.Attributes {
		// Servers of RFC 3489 put the addresses that they answer from into each response.
		legacy := a.Type == pion.AttrSourceAddress || a.Type == pion.AttrChangedAddress
		if !comprehended(a.Type) && !legacy {
			return response{}, fmt.Errorf("%w: unknown attribute 0x%04x", ErrMalformed, a.Type.Value())
		}
	}
	if m.Type == pion.BindingError {
		return response{}, decodeError(m)
	}
	mapped, err := mappedAddress(m)
	if err != nil {
		return response{}, err
	}
	r := response{mapped: mapped}
	// An optional attribute with a bad value is as good as none.
	var other pion.MappedAddress
	if other.GetFromAs(m, pion.AttrOtherAddress) == nil { // RFC 5780 section 7.4.
		r.other, _ = attributeAddress(m, pion.AttrOtherAddress, other.IP, other.Port)
	}
	if back := new(connectBack); back.GetFrom(m) == nil {
		r.back = back
	}
	return r, nil
}

// maxReason bounds what is kept of a reason phrase, in bytes: a line or two in a log. Section 14.8
// allows 763, each of which may take four when quoted.
const maxReason = 128

// decodeError returns the *ResponseError in m, or ErrMalformed.
func decodeError(m *pion.Message) error {
	var code pion.ErrorCodeAttribute
	if err := code.GetFrom(m); err != nil {
		return fmt.Errorf("%w: ERROR-CODE: %w", ErrMalformed, err)
	}
	if code.Code < 300 || code.Code > 699 { // Section 14.8.
		return fmt.Errorf("%w: ERROR-CODE %d", ErrMalformed, int(code.Code))
	}
	reason := strings.ToValidUTF8(string(code.Reason[:min(len(code.Reason), maxReason)]), "")
	return &ResponseError{Code: int(code.Code), Reason: reason}
}

// mappedAddress returns the XOR-MAPPED-ADDRESS of m, or else the MAPPED-ADDRESS that servers of RFC
// 3489 send. XOR-MAPPED-ADDRESS comes first because some NATs rewrite the other (section 14.2).
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
	return attributeAddress(m, attr, addr.IP, addr.Port)
}

// attributeAddress returns the address that pion/stun has read from an attribute of m.
func attributeAddress(m *pion.Message, attr pion.AttrType, raw net.IP, port int) (netip.AddrPort, error) {
	// pion/stun pads or cuts a value that does not fit its family.
	if value, err := m.Get(attr); err != nil || len(value) != 4+len(raw) {
		return netip.AddrPort{}, fmt.Errorf("%w: %s of %d bytes", ErrMalformed, attr, len(value))
	}
	ip, _ := netip.AddrFromSlice(raw)
	ip = ip.Unmap()
	if !ipaddr.IsHost(ip) || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("%w: %s is %s, port %d", ErrNoMappedAddress, attr, raw, port)
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}
