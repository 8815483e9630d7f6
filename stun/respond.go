package stun

import (
	"net/netip"

	pion "github.com/pion/stun/v3"
)

// software is the SOFTWARE of each response, RFC 8489 section 14.14.
var software = pion.Software("simopen")

// responder makes the responses for one client. It reuses its messages, so that
// a request costs no allocations.
type responder struct {
	other       netip.AddrPort                // the server's, or the zero AddrPort
	connectBack func(connectBack) connectBack // nil if there is none

	req     pion.Message
	resp    pion.Message
	mapped  pion.XORMappedAddress
	unknown pion.UnknownAttributes

	success []pion.Setter // of resp
	refusal []pion.Setter
}

// init prepares the responses for a client at addr, of a server with another address
// unless that is the zero AddrPort, which connects back unless that is nil. The
// responder must not be copied afterwards.
func (r *responder) init(addr, other netip.AddrPort, connectBack func(connectBack) connectBack) {
	r.other, r.connectBack = other, connectBack
	r.mapped = pion.XORMappedAddress{IP: addr.Addr().AsSlice(), Port: int(addr.Port())}
	r.success = []pion.Setter{&r.req, pion.BindingSuccess, &r.mapped, software}
	if other.IsValid() {
		r.success = append(r.success, &pion.OtherAddress{IP: other.Addr().AsSlice(), Port: int(other.Port())})
	}
	r.refusal = []pion.Setter{&r.req, pion.BindingError, pion.CodeUnknownAttribute, &r.unknown, software}
}

// answer returns the response to r.req, valid until the next call, or nil if
// there is to be none. Section numbers are RFC 8489's.
//
// Anything but a Binding request gets none: a Binding indication never does
// (section 6.3.2), and methods which the server does not have, responses, and
// messages with a wrong FINGERPRINT are silently discarded (section 6.3).
func (r *responder) answer() []byte {
	if r.req.Type != pion.BindingRequest {
		return nil
	}
	fingerprint := r.req.Contains(pion.AttrFingerprint)
	if fingerprint && pion.Fingerprint.Check(&r.req) != nil {
		return nil
	}
	r.unknown = r.unknown[:0]
	for _, a := range r.req.Attributes {
		if !comprehended(a.Type) {
			r.unknown = append(r.unknown, a.Type)
		}
	}
	setters := r.success
	if len(r.unknown) > 0 {
		setters = r.refusal // Section 6.3.1.
	}
	if err := r.resp.Build(setters...); err != nil {
		return nil // Cannot be: all values fit their attributes.
	}
	var asked connectBack
	if r.connectBack != nil && len(r.unknown) == 0 && asked.GetFrom(&r.req) == nil {
		_ = r.connectBack(asked).AddTo(&r.resp) // It has no error to return.
	}
	if fingerprint {
		_ = pion.Fingerprint.AddTo(&r.resp) // It has no error to return.
	}
	return r.resp.Raw
}
