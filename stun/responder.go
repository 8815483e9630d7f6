package stun

import (
	"net/netip"

	pion "github.com/pion/stun/v3"
)

// The attributes that never change, in the interface type that Build takes. Converting them for
// each response would allocate.
var (
	success  pion.Setter = pion.BindingSuccess
	refusal  pion.Setter = pion.BindingError
	unknown  pion.Setter = pion.CodeUnknownAttribute
	software pion.Setter = pion.NewSoftware("simopen") // RFC 8489, section 14.14
)

// A responder makes responses, for one client after the other. It reuses its messages, so that a
// request costs no allocations.
type responder struct {
	req     pion.Message
	resp    pion.Message
	mapped  pion.XORMappedAddress
	other   pion.OtherAddress // without IP if the server has no other address
	unknown pion.UnknownAttributes
	setters []pion.Setter // of resp
	terse   bool          // no SOFTWARE
}

// setClient prepares for a client at addr. other is the server's other address, or the zero
// AddrPort.
func (r *responder) setClient(addr, other netip.AddrPort) {
	r.mapped.IP, r.mapped.Port = appendIP(r.mapped.IP[:0], addr.Addr()), int(addr.Port())
	r.other.IP, r.other.Port = r.other.IP[:0], int(other.Port())
	if other.IsValid() {
		r.other.IP = appendIP(r.other.IP, other.Addr())
	}
}

func appendIP(b []byte, ip netip.Addr) []byte {
	a := ip.As16() // pion/stun recognises an IPv4 address in it
	return append(b, a[:]...)
}

// keptAttributes bounds the attributes of a request for which the responder keeps memory. A request
// has few. 507, which fit into 2 KiB, take 20 kB.
const keptAttributes = 16

// release frees the memory that an extraordinary request took. The response stays valid.
func (r *responder) release() {
	if cap(r.req.Attributes) > keptAttributes {
		r.req.Attributes, r.unknown = nil, nil
	}
}

// respond returns the response to r.req, valid until the next call, or nil if there is to be none.
// It calls back for a CONNECT-BACK, unless back is nil. Section numbers are RFC 8489's.
//
// Only a Binding request gets a response. A Binding indication never does (section 6.3.2). Methods
// that the server does not have, responses, and messages with a wrong FINGERPRINT are silently
// discarded (section 6.3).
func (r *responder) respond(back func(connectBack) connectBack) []byte {
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
	r.setters = append(r.setters[:0], &r.req)
	if len(r.unknown) > 0 {
		r.setters = append(r.setters, refusal, unknown, &r.unknown) // Section 6.3.1.
	} else {
		r.setters = append(r.setters, success, &r.mapped)
	}
	if !r.terse {
		r.setters = append(r.setters, software)
	}
	if len(r.unknown) == 0 && len(r.other.IP) > 0 {
		r.setters = append(r.setters, &r.other)
	}
	if err := r.resp.Build(r.setters...); err != nil {
		return nil // Cannot be: all values fit their attributes.
	}
	var asked connectBack
	if back != nil && len(r.unknown) == 0 && asked.GetFrom(&r.req) == nil {
		_ = back(asked).AddTo(&r.resp) // It has no error to return.
	}
	if fingerprint {
		_ = pion.Fingerprint.AddTo(&r.resp) // It has no error to return.
	}
	return r.resp.Raw
}
