package stun_test

import (
	"errors"
	"net"
	"strconv"
	"testing"

	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestParseServer(t *testing.T) {
	for in, want := range map[string]string{
		"stun:stun.example.org":               "stun.example.org:3478",
		"stun":                                "stun:3478",
		"stun:3478":                           "stun:3478", // what it was parsed to
		"turn:3479":                           "turn:3479",
		"stun:stun":                           "stun:3478",
		"stun:stun.example.org:19302":         "stun.example.org:19302",
		"stun:stun.example.org?transport=tcp": "stun.example.org:3478",
		"stun:stun.example.org:3479?transport=TCP":        "stun.example.org:3479",
		"STUN:192.0.2.1:3479":                             "192.0.2.1:3479",
		"stun:[2001:db8::1]":                              "[2001:db8::1]:3478",
		"stun:[2001:db8::1]:5000?transport=tcp":           "[2001:db8::1]:5000",
		"stun.example.org":                                "stun.example.org:3478",
		"stun.example.org:65535":                          "stun.example.org:65535",
		"192.0.2.1":                                       "192.0.2.1:3478",
		"[::1]":                                           "[::1]:3478",
		"[::1]:1":                                         "[::1]:1",
		"[fe80::1%eth0]:3478":                             "[fe80::1%eth0]:3478",
		"localhost:3478":                                  "localhost:3478",
		"stun:stun.example.org.:3478?transport=tcp":       "stun.example.org.:3478",
		"xn--bcher-kva.example":                           "xn--bcher-kva.example:3478",
		"stun:under_score.example.org:3478?transport=tcp": "under_score.example.org:3478",
	} {
		got, err := stun.ParseServer(in)
		if err != nil || got != want {
			t.Errorf("ParseServer(%q) = %q, %v, want %q", in, got, err, want)
		}
		if again, err := stun.ParseServer(got); err != nil || again != got {
			t.Errorf("ParseServer(%q) = %q, %v, want it unchanged", got, again, err)
		}
	}
}

func TestParseServerRefuses(t *testing.T) {
	for _, in := range []string{
		"",
		":",
		":3478",
		"stun:",
		"stun::3478",
		"stun://stun.example.org",
		"stun:user@stun.example.org",
		"stun:stun.example.org?transport=udp",
		"stun:stun.example.org?transport=tls",
		"stun:stun.example.org?transport",
		"stun:stun.example.org?",
		"stun:stun.example.org?ttl=3",
		"stun:stun.example.org?transport=tcp&ttl=3",
		"stun:stun.example.org/path",
		"stuns:stun.example.org",
		"turn:stun.example.org?transport=tcp",
		"turns:stun.example.org",
		"https://stun.example.org",
		"stun.example.org?transport=tcp",
		"stun.example.org:",
		"stun.example.org:0",
		"stun.example.org:65536",
		"stun.example.org:-1",
		"stun.example.org:+1",
		"stun.example.org:stun",
		"2001:db8::1",
		"[2001:db8::1",
		"2001:db8::1]",
		"[]:3478",
		"[]",
		"[",
		"[192.0.2.1]:3478",
		"[stun.example.org]:3478",
		"[::1]3478",
		"a b",
		"/ip4/192.0.2.1/tcp/3478",
	} {
		got, err := stun.ParseServer(in)
		var e *stun.Error
		if !errors.As(err, &e) || got != "" {
			t.Errorf("ParseServer(%q) = %q, %v, want an *Error", in, got, err)
		} else if e.Op != "parse" {
			t.Errorf("ParseServer(%q): Op is %q", in, e.Op)
		}
	}
}

// FuzzParseServer looks for a server that cannot be dialled, or that is another one when it is
// parsed again.
func FuzzParseServer(f *testing.F) {
	f.Add("stun:stun.example.org:3479?transport=tcp")
	f.Add("[2001:db8::1]")
	f.Fuzz(func(t *testing.T, in string) {
		server, err := stun.ParseServer(in)
		if err != nil {
			var e *stun.Error
			if !errors.As(err, &e) || e.Op != "parse" || server != "" {
				t.Fatalf("%q: %q, %v", in, server, err)
			}
			return
		}
		host, port, err := net.SplitHostPort(server)
		if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || portErr != nil || n == 0 {
			t.Fatalf("%q: %q, %v, %v", in, server, err, portErr)
		}
		if again, err := stun.ParseServer(server); err != nil || again != server {
			t.Fatalf("%q: %q, and then %q, %v", in, server, again, err)
		}
	})
}
