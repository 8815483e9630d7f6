package stun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// defaultPort is the port of STUN over UDP and TCP, RFC 8489 section 18.6.
const defaultPort = "3478"

// ParseServer returns the host:port of a server given as
//
//	stun:host[:port][?transport=tcp]
//	host[:port]
//
// where host is a name, an IPv4 address or an IPv6 address in brackets, and the port defaults to
// 3478.
//
// The first form is a URI of RFC 7064. The transport, which RFC 7065 defines only for turn, is
// allowed because servers are often written so; it must be tcp. ParseServer returns an *Error for
// anything else, and for stuns, turn and turns URIs.
func ParseServer(s string) (string, error) {
	server, err := parseServer(s)
	if err != nil {
		return "", &Error{Op: "parse", Server: strconv.Quote(s), Err: err}
	}
	return server, nil
}

func parseServer(s string) (string, error) {
	hostport := s
	// A host can be named stun, and is then followed by a port. No host is named like a port.
	if scheme, rest, ok := strings.Cut(s, ":"); ok && !isPort(rest) {
		switch strings.ToLower(scheme) {
		case "stun":
			var query string
			if hostport, query, ok = strings.Cut(rest, "?"); ok && !strings.EqualFold(query, "transport=tcp") {
				return "", fmt.Errorf("query %q is not supported, only transport=tcp", query)
			}
		case "stuns":
			return "", errors.New("STUN over TLS is not supported")
		case "turn", "turns":
			return "", errors.New("a TURN server is no STUN server")
		}
	}
	host, port, err := splitHostPort(hostport)
	if err != nil {
		return "", err
	}
	if !isPort(port) {
		return "", fmt.Errorf("bad port %q", port)
	}
	return net.JoinHostPort(host, port), nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// forbidden are characters that neither a name nor a zone contains.
const forbidden = "/?#@[]% \t\r\n"

// splitHostPort splits s and checks the host.
func splitHostPort(s string) (host, port string, err error) {
	host, port = s, defaultPort
	bracketed := strings.HasPrefix(s, "[")
	if bracketed && strings.HasSuffix(s, "]") {
		host = s[1 : len(s)-1]
	} else if strings.Contains(s, ":") {
		if ip, err := netip.ParseAddr(s); err == nil {
			return "", "", fmt.Errorf("IPv6 address without brackets, want [%v]", ip)
		}
		if host, port, err = net.SplitHostPort(s); err != nil {
			return "", "", err
		}
	}
	if bracketed {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is6() || strings.ContainsAny(ip.Zone(), forbidden) {
			return "", "", fmt.Errorf("bad IPv6 address %q", host)
		}
	} else if host == "" || strings.ContainsAny(host, forbidden) {
		// The name is looked up later. Here it only has to be distinguished from a URL.
		return "", "", fmt.Errorf("bad host %q, want host or host:port", host)
	}
	return host, port, nil
}
