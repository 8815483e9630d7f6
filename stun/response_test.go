package stun

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	pion "github.com/pion/stun/v3"
)

// The sample responses of RFC 5769 sections 2.2 and 2.3.
const (
	rfc5769IPv4 = "\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae" +
		"\x80\x22\x00\x0btest vector " +
		"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43" +
		"\x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7" +
		"\x80\x28\x00\x04\xc0\x7d\x4c\x96"
	rfc5769IPv6 = "\x01\x01\x00\x48\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae" +
		"\x80\x22\x00\x0btest vector " +
		"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9" +
		"\x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\x82\x92\xc2\x75\xbf\xe3\xed\x41" +
		"\x80\x28\x00\x04\xc8\xfb\x0b\x4c"
)

// xorAddr and plainAddr make mapped addresses.
func xorAddr(ip string, port int) pion.Setter {
	return &pion.XORMappedAddress{IP: net.ParseIP(ip), Port: port}
}

func plainAddr(ip string, port int) pion.Setter {
	return &pion.MappedAddress{IP: net.ParseIP(ip), Port: port}
}

// code is an ERROR-CODE which need not be a valid one.
func code(class, number byte, reason string) pion.Setter {
	return pion.RawAttribute{Type: pion.AttrErrorCode, Value: append([]byte{0, 0, class, number}, reason...)}
}

func raw(t pion.AttrType, value ...byte) pion.Setter {
	return pion.RawAttribute{Type: t, Value: value}
}

func TestDecodeResponse(t *testing.T) {
	build := func(setters ...pion.Setter) string {
		return string(pion.MustBuild(append([]pion.Setter{pion.TransactionID}, setters...)...).Raw)
	}
	for name, tt := range map[string]struct{ in, want string }{
		"RFC 5769, 2.2":      {rfc5769IPv4, "192.0.2.1:32853"},
		"RFC 5769, 2.3":      {rfc5769IPv6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"},
		"no extras":          {build(pion.BindingSuccess, xorAddr("192.0.2.1", 1)), "192.0.2.1:1"},
		"MAPPED-ADDRESS":     {build(pion.BindingSuccess, plainAddr("192.0.2.1", 2)), "192.0.2.1:2"},
		"MAPPED-ADDRESS, v6": {build(pion.BindingSuccess, plainAddr("2001:db8::1", 3)), "[2001:db8::1]:3"},
		"both":               {build(pion.BindingSuccess, plainAddr("10.0.0.1", 2), xorAddr("192.0.2.1", 4)), "192.0.2.1:4"},
		"RFC 3489": {build(pion.BindingSuccess, plainAddr("192.0.2.1", 2),
			raw(pion.AttrSourceAddress, 0, 1, 0, 3, 4, 5, 6, 7), raw(pion.AttrChangedAddress, 0, 1, 0, 3, 4, 5, 6, 7)), "192.0.2.1:2"},
		"unknown, optional": {build(pion.BindingSuccess, raw(0xfffe, 1), xorAddr("192.0.2.1", 65535)), "192.0.2.1:65535"},
		"IPv4 in IPv6": {build(pion.BindingSuccess, raw(pion.AttrMappedAddress,
			0, 2, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1)), "192.0.2.1:9"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decode(tt.in)
			if err != nil || got != netip.MustParseAddrPort(tt.want) {
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestDecodeResponseRefuses(t *testing.T) {
	wrongFingerprint := rfc5769IPv4[:len(rfc5769IPv4)-1] + "\x97"
	for name, tt := range map[string]struct {
		setters []pion.Setter
		raw     string
		want    error
		code    int
	}{
		"wrong fingerprint":     {raw: wrongFingerprint, want: ErrMalformed},
		"changed before it":     {raw: strings.Replace(rfc5769IPv4, "test", "tast", 1), want: ErrMalformed},
		"fingerprint not last":  {setters: []pion.Setter{pion.BindingSuccess, pion.Fingerprint, xorAddr("192.0.2.1", 1)}, want: ErrMalformed},
		"fingerprint too short": {setters: []pion.Setter{pion.BindingSuccess, xorAddr("192.0.2.1", 1), raw(pion.AttrFingerprint, 1, 2)}, want: ErrMalformed},
		"request":               {setters: []pion.Setter{pion.BindingRequest}, want: ErrMalformed},
		"indication":            {setters: []pion.Setter{pion.NewType(pion.MethodBinding, pion.ClassIndication), xorAddr("192.0.2.1", 1)}, want: ErrMalformed},
		"other method":          {setters: []pion.Setter{pion.NewType(pion.MethodAllocate, pion.ClassSuccessResponse), xorAddr("192.0.2.1", 1)}, want: ErrMalformed},
		"unknown attribute":     {setters: []pion.Setter{pion.BindingSuccess, xorAddr("192.0.2.1", 1), raw(0x7001)}, want: ErrMalformed},
		"error, unknown":        {setters: []pion.Setter{pion.BindingError, pion.CodeBadRequest, raw(0x7001)}, want: ErrMalformed},
		"no address":            {setters: []pion.Setter{pion.BindingSuccess, pion.Software("x")}, want: ErrNoMappedAddress},
		"port 0":                {setters: []pion.Setter{pion.BindingSuccess, xorAddr("192.0.2.1", 0)}, want: ErrNoMappedAddress},
		"0.0.0.0":               {setters: []pion.Setter{pion.BindingSuccess, xorAddr("0.0.0.0", 1)}, want: ErrNoMappedAddress},
		"::":                    {setters: []pion.Setter{pion.BindingSuccess, xorAddr("::", 1)}, want: ErrNoMappedAddress},
		"multicast":             {setters: []pion.Setter{pion.BindingSuccess, xorAddr("224.0.0.1", 1)}, want: ErrNoMappedAddress},
		"multicast, IPv6":       {setters: []pion.Setter{pion.BindingSuccess, xorAddr("ff02::1", 1)}, want: ErrNoMappedAddress},
		"multicast in IPv6": {setters: []pion.Setter{pion.BindingSuccess, raw(pion.AttrMappedAddress,
			0, 2, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 224, 0, 0, 1)}, want: ErrNoMappedAddress},
		"broadcast":              {setters: []pion.Setter{pion.BindingSuccess, xorAddr("255.255.255.255", 1)}, want: ErrNoMappedAddress},
		"reserved":               {setters: []pion.Setter{pion.BindingSuccess, xorAddr("240.0.0.1", 1)}, want: ErrNoMappedAddress},
		"this network":           {setters: []pion.Setter{pion.BindingSuccess, xorAddr("0.1.2.3", 1)}, want: ErrNoMappedAddress},
		"family 3":               {setters: []pion.Setter{pion.BindingSuccess, raw(pion.AttrXORMappedAddress, 0, 3, 1, 1, 1, 1, 1, 1)}, want: ErrMalformed},
		"no value":               {setters: []pion.Setter{pion.BindingSuccess, raw(pion.AttrXORMappedAddress)}, want: ErrMalformed},
		"IPv4 of 3 bytes":        {setters: []pion.Setter{pion.BindingSuccess, raw(pion.AttrXORMappedAddress, 0, 1, 1, 1, 1, 1, 1)}, want: ErrMalformed},
		"IPv4 of 5 bytes":        {setters: []pion.Setter{pion.BindingSuccess, raw(pion.AttrXORMappedAddress, 0, 1, 1, 1, 1, 1, 1, 1, 1)}, want: ErrMalformed},
		"IPv6 of 4 bytes":        {setters: []pion.Setter{pion.BindingSuccess, raw(pion.AttrXORMappedAddress, 0, 2, 1, 1, 1, 1, 1, 1)}, want: ErrMalformed},
		"plain IPv4 of 5 bytes":  {setters: []pion.Setter{pion.BindingSuccess, raw(pion.AttrMappedAddress, 0, 1, 1, 1, 1, 1, 1, 1, 1)}, want: ErrMalformed},
		"bad, then a good plain": {setters: []pion.Setter{pion.BindingSuccess, raw(pion.AttrXORMappedAddress, 0, 3, 1, 1), plainAddr("192.0.2.1", 1)}, want: ErrMalformed},
		"error without a code":   {setters: []pion.Setter{pion.BindingError}, want: ErrMalformed},
		"error of 3 bytes":       {setters: []pion.Setter{pion.BindingError, raw(pion.AttrErrorCode, 0, 0, 4)}, want: ErrMalformed},
		"error 200":              {setters: []pion.Setter{pion.BindingError, code(2, 0, "")}, want: ErrMalformed},
		"error 700":              {setters: []pion.Setter{pion.BindingError, code(7, 0, "")}, want: ErrMalformed},
		"error 300":              {setters: []pion.Setter{pion.BindingError, pion.CodeTryAlternate}, code: 300},
		"error 400":              {setters: []pion.Setter{pion.BindingError, pion.CodeBadRequest, pion.Fingerprint}, code: 400},
		"error 420":              {setters: []pion.Setter{pion.BindingError, pion.CodeUnknownAttribute, pion.UnknownAttributes{0x7001}}, code: 420},
		"error 500":              {setters: []pion.Setter{pion.BindingError, pion.CodeServerError}, code: 500},
		"error 699":              {setters: []pion.Setter{pion.BindingError, code(6, 99, "\xff\x00")}, code: 699},
	} {
		t.Run(name, func(t *testing.T) {
			in := tt.raw
			if in == "" {
				in = string(pion.MustBuild(append([]pion.Setter{pion.TransactionID}, tt.setters...)...).Raw)
			}
			addr, err := decode(in)
			if addr.IsValid() {
				t.Errorf("address is %v", addr)
			}
			var resp *ResponseError
			switch {
			case tt.want != nil && !errors.Is(err, tt.want):
				t.Errorf("error is %v, want %v", err, tt.want)
			case tt.code != 0 && (!errors.As(err, &resp) || resp.Code != tt.code):
				t.Errorf("error is %v, want code %d", err, tt.code)
			}
		})
	}
}

// TestDecodeLongReason: a server's words are not taken without end.
func TestDecodeLongReason(t *testing.T) {
	_, err := decode(string(pion.MustBuild(pion.TransactionID, pion.BindingError, code(4, 0, strings.Repeat("ü", 900))).Raw))
	var resp *ResponseError
	if !errors.As(err, &resp) || resp.Reason != strings.Repeat("ü", maxReason/2) {
		t.Errorf("error is %v", err)
	}
}

// decode reads in, a stream, and decodes the first message.
func decode(in string) (netip.AddrPort, error) {
	m := new(pion.Message)
	if err := readMessage(bufio.NewReaderSize(strings.NewReader(in), maxMessage), m); err != nil {
		return netip.AddrPort{}, err
	}
	a, err := decodeResponse(m)
	return a.mapped, err
}

// useless reports whether an address is one that no host can have.
func useless(a netip.AddrPort) bool {
	ip := a.Addr()
	return a.Port() == 0 || ip.IsUnspecified() || ip.Is4In6() || ip.IsMulticast() ||
		ip.Is4() && (ip.As4()[0] == 0 || ip.As4()[0] >= 240)
}

// FuzzAnswer looks for an answer that panics, or is accepted with an address that no host can have.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(rfc5769IPv4))
	f.Add([]byte(rfc5769IPv6))
	f.Add(pion.MustBuild(pion.BindingSuccess, plainAddr("192.0.2.1", 2)).Raw)
	f.Add(pion.MustBuild(pion.BindingError, pion.CodeBadRequest, pion.Fingerprint).Raw)
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(in), maxMessage)
		m := new(pion.Message)
		for readMessage(r, m) == nil {
			if len(m.Raw) > maxMessage || len(m.Raw) != headerSize+int(binary.BigEndian.Uint16(m.Raw[2:])) {
				t.Fatalf("message of %d bytes", len(m.Raw))
			}
			answer, err := decodeResponse(m)
			addr := answer.mapped
			if (err == nil) != addr.IsValid() {
				t.Fatalf("got %v, %v", addr, err)
			}
			if err == nil && useless(addr) {
				t.Fatalf("useless address %v", addr)
			}
			if o := answer.other; o.IsValid() && (err != nil || useless(o)) {
				t.Fatalf("useless other address %v, %v", o, err)
			}
			var resp *ResponseError
			if errors.As(err, &resp) && (resp.Code < 300 || resp.Code > 699 || len(resp.Reason) > maxReason) {
				t.Fatalf("error code %d, reason %q", resp.Code, resp.Reason)
			}
		}
	})
}
