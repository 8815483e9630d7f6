package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// connection makes the two ends of a TCP connection.
func connection(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dialled.Close()
		accepted.Close()
	})
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

// agreements makes two, the first of which leads.
func agreements() (leader, other *agreement) {
	leader, other = newAgreement("I lead"), newAgreement("I follow")
	if other.own.leads(leader.own) {
		leader.own.nonce, other.own.nonce = other.own.nonce, leader.own.nonce
	}
	return leader, other
}

// Whatever the number of connections, and whichever comes first, both ends have the
// same one.
func TestAgreeOnOne(t *testing.T) {
	const connections = 5
	leader, other := agreements()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type outcome struct {
		conn int
		*partner
	}
	agreed := make(chan outcome, 2*connections)
	var wg sync.WaitGroup
	for i := range connections {
		a, b := connection(t)
		if i%2 == 1 {
			a, b = b, a
		}
		for end, side := range map[*net.TCPConn]*agreement{a: leader, b: other} {
			wg.Go(func() {
				p, err := side.settle(ctx, ctx, end)
				if err != nil {
					tcpport.Reset(end)
					return
				}
				agreed <- outcome{i, p}
			})
		}
	}
	wg.Wait()
	close(agreed)
	var got []outcome
	for o := range agreed {
		got = append(got, o)
	}
	if len(got) != 2 || got[0].conn != got[1].conn || got[0].led == got[1].led {
		t.Fatalf("agreed: %+v, want both ends of one connection", got)
	}
	for _, o := range got {
		if want := map[bool]string{true: "I follow", false: "I lead"}[o.led]; o.hello.text != want || o.rtt <= 0 {
			t.Errorf("got %q in %s", o.hello.text, o.rtt)
		}
	}
	// The leader hears the other hang up.
	for _, o := range got {
		if !o.led {
			o.part(t.Context())
		}
	}
	for _, o := range got {
		if o.led {
			o.part(t.Context())
		}
	}
}

// A chosen connection that dies before the other end agrees gives way to the next.
func TestAgreeOnTheOneThatLives(t *testing.T) {
	leader, other := agreements()
	a1, b1 := connection(t)
	a2, b2 := connection(t)

	dead := make(chan error, 1)
	go func() {
		_, err := leader.settle(t.Context(), t.Context(), a1)
		dead <- err
	}()
	if _, err := b1.Write(other.own.append(nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := readHello(b1); err != nil {
		t.Fatal(err)
	}
	if err := expectByte(b1, chosen); err != nil {
		t.Fatal(err)
	}
	led := make(chan error, 1)
	go func() {
		_, err := leader.settle(t.Context(), t.Context(), a2)
		led <- err
	}()
	followed := make(chan error, 1)
	go func() {
		_, err := other.settle(t.Context(), t.Context(), b2)
		followed <- err
	}()
	tcpport.Reset(b1)
	if err := <-dead; err == nil {
		t.Error("agreed on a connection that is dead")
	}
	for _, end := range []chan error{led, followed} {
		if err := <-end; err != nil {
			t.Error(err)
		}
	}
}

// The slot may end while the two agree, and at either end first.
func TestAgreeBeyondTheSlot(t *testing.T) {
	leader, other := agreements()
	for name, test := range map[string]struct {
		side, peer  *agreement
		say, before string // the peer's byte before the slot ends, if any, and ours
		after, last string // the same after it
	}{
		"leader": {leader, other, "", string(rune(chosen)), string(rune(agreed)), string(rune(sealed))},
		"other":  {other, leader, string(rune(chosen)), string(rune(agreed)), string(rune(sealed)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := connection(t)
			slot, end := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() {
				_, err := test.side.settle(t.Context(), slot, a)
				result <- err
			}()
			exchange := func(say, want string) {
				t.Helper()
				if _, err := io.WriteString(b, say); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(want))
				if _, err := io.ReadFull(b, got); err != nil || string(got) != want {
					t.Fatalf("got %q, %v, want %q", got, err, want)
				}
			}
			exchange(string(test.peer.own.append(nil))+test.say, string(test.side.own.append(nil))+test.before)
			end()
			exchange(test.after, test.last)
			if err := <-result; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSettleRefuses(t *testing.T) {
	leader, other := agreements()
	for name, test := range map[string]struct {
		side *agreement
		say  string
		want error
	}{
		"stranger":                 {leader, "SSH-2.0-nobody\r\n", errStranger},
		"self":                     {leader, string(leader.own.append(nil)), errSelf},
		"hangs up":                 {leader, "clock", io.EOF},
		"agrees to something else": {leader, string(other.own.append(nil)) + "X", errStranger},
		"chooses something else":   {other, string(leader.own.append(nil)) + "X", errStranger},
		"never seals":              {other, string(leader.own.append(nil)) + string(rune(chosen)), io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := connection(t)
			if _, err := io.WriteString(b, test.say); err != nil {
				t.Fatal(err)
			}
			b.CloseWrite()
			if p, err := test.side.settle(t.Context(), t.Context(), a); !errors.Is(err, test.want) {
				t.Errorf("got %+v, %v, want %v", p, err, test.want)
			}
		})
	}
	t.Run("silent", func(t *testing.T) {
		a, _ := connection(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if p, err := leader.settle(t.Context(), ctx, a); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %+v, %v", p, err)
		}
	})
}
