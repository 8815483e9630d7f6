package stun

import (
	"net/netip"
	"testing"
	"time"
)

func TestConnTable(t *testing.T) {
	table := newConnTable(6, 2)
	s := NewServer(nil)
	now := s.begun
	for _, tt := range []struct {
		client string
		want   bool
	}{
		{"192.0.2.1:1", true},
		{"192.0.2.1:2", true},
		{"192.0.2.1:3", false},
		{"192.0.2.2:1", true},
		{"[2001:db8::1]:1", true},
		{"[2001:db8::2:0:0:1]:1", true},
		{"[2001:db8::2:0:0:2]:1", false},
		{"192.0.2.3:1", true},
		{"192.0.2.4:1", false}, // The table is full.
	} {
		c := newServerConn(s, nil, netip.MustParseAddrPort(tt.client))
		c.begin(now, s.cfg.IdleTimeout) // it has asked
		if evicted, got := table.add(c, now); got != tt.want || evicted != nil {
			t.Errorf("%s: %v, want %v; evicted: %v", tt.client, got, tt.want, evicted)
		}
	}
	for len(table.conns) > 0 {
		c := table.conns[0]
		table.remove(c)
		table.remove(c) // as the goroutine of one that was evicted does
	}
	if len(table.clients) != 0 || len(table.networks) != 0 {
		t.Errorf("left over: %v", table)
	}
}

func TestRateLimit(t *testing.T) {
	r := rateLimit{max: 2}
	now := time.Unix(0, 0)
	for i, tt := range []struct {
		after time.Duration
		want  bool
	}{
		{0, true},
		{0, true},
		{999 * time.Millisecond, false},
		{time.Millisecond, true}, // A new window.
		{time.Millisecond, true},
		{time.Millisecond, false},
		{time.Hour, true},
	} {
		now = now.Add(tt.after)
		if got := r.allow(now); got != tt.want {
			t.Errorf("message %d: %v, want %v", i, got, tt.want)
		}
	}
}
