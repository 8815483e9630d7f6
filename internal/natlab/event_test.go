package natlab

import (
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestTap(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		a := addStation(t, l, "eim-apdf", SiteConfig{})
		b := addStation(t, l, "eim-apdf-rst", SiteConfig{})
		var all, atA []string
		l.Tap(func(e Event) { all = append(all, e.String()) })
		a.site.Tap(func(e Event) { atA = append(atA, e.String()) })
		a.site.fromHost(tcpPacket(inside1, b.external(), SYN, ""))
		a.site.fromHost(tcpPacket(inside1, ap("46.0.99.1:1"), SYN, ""))
		rest(0)
		for i := range all { // the time is local
			_, all[i], _ = strings.Cut(all[i], " ")
		}
		for i := range atA {
			_, atA[i], _ = strings.Cut(atA[i], " ")
		}
		want := []string{
			"eim-apdf inside outbound forwarded TCP 10.1.0.1:4001 > 46.0.2.1:4001 SYN",
			"eim-apdf outside outbound forwarded TCP 46.0.1.1:4001 > 46.0.2.1:4001 SYN",
			"eim-apdf-rst outside inbound answered (no mapping) TCP 46.0.1.1:4001 > 46.0.2.1:4001 SYN",
			"eim-apdf-rst outside outbound forwarded TCP 46.0.2.1:4001 > 46.0.1.1:4001 RST+ACK",
			"eim-apdf outside inbound forwarded TCP 46.0.2.1:4001 > 46.0.1.1:4001 RST+ACK",
			"eim-apdf inside inbound forwarded TCP 46.0.2.1:4001 > 10.1.0.1:4001 RST+ACK",
			"eim-apdf inside outbound forwarded TCP 10.1.0.1:4001 > 46.0.99.1:1 SYN",
			"eim-apdf outside outbound dropped (no route) TCP 46.0.1.1:4001 > 46.0.99.1:1 SYN",
		}
		// The wire's goroutine and this one come in either order.
		less := func(a, b string) int { return strings.Compare(a, b) }
		slices.SortFunc(want, less)
		slices.SortFunc(all, less)
		if !slices.Equal(all, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(all, "\n"), strings.Join(want, "\n"))
		}
		if len(atA) != 6 {
			t.Errorf("the tap at A has got %d events:\n%s", len(atA), strings.Join(atA, "\n"))
		}
	})
}

// A tap ends between two packets.
func TestTapStop(t *testing.T) {
	inLab(t, func(t *testing.T, l *Lab) {
		a := addStation(t, l, "eim-apdf", SiteConfig{})
		inside, stopped := make(chan struct{}), make(chan struct{})
		var places []Place
		stop := a.site.Tap(func(e Event) {
			if places = append(places, e.Place); len(places) > 1 {
				return
			}
			close(inside)
			for range 1000 { // more than stop needs if it waits for nothing
				runtime.Gosched()
			}
			select {
			case <-stopped:
				t.Error("stopped within a packet")
			default:
			}
		})
		go func() {
			<-inside
			stop()
			close(stopped)
		}()
		send := func() { a.site.fromHost(tcpPacket(inside1, ap("46.0.99.1:1"), SYN, "")) }
		send()
		<-stopped
		send()
		if want := []Place{Inside, Outside}; !slices.Equal(places, want) {
			t.Errorf("events at %v, want %v", places, want)
		}
	})
}
