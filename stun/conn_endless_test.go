package stun_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// TestEndlessServer has servers send without end, as fast as the client takes it. It takes a
// message more than it asked for at most, and hangs up.
func TestEndlessServer(t *testing.T) {
	other := pion.MustBuild(pion.TransactionID, pion.BindingSuccess, &pion.XORMappedAddress{IP: net.IPv4(192, 0, 2, 1), Port: 1}).Raw
	for name, tt := range map[string]struct {
		answered bool // first, as it should be
		more     func(answer []byte) []byte
		want     error
	}{
		"the answer again and again": {true, func(answer []byte) []byte { return answer }, stun.ErrTransaction},
		"answers to nobody":          {true, func([]byte) []byte { return other }, stun.ErrTransaction},
		"answers to nobody at once":  {false, func([]byte) []byte { return other }, stun.ErrTransaction},
		"errors": {true, func([]byte) []byte {
			return pion.MustBuild(pion.TransactionID, pion.BindingError, pion.CodeServerError).Raw
		}, stun.ErrTransaction},
		"indications": {false, func([]byte) []byte {
			return pion.MustBuild(pion.TransactionID, pion.NewType(pion.MethodBinding, pion.ClassIndication)).Raw
		}, stun.ErrMalformed},
		"zeros":        {false, func([]byte) []byte { return make([]byte, 1024) }, stun.ErrMalformed},
		"letters":      {false, func([]byte) []byte { return bytes.Repeat([]byte("STUN"), 256) }, stun.ErrMalformed},
		"a message":    {false, func(answer []byte) []byte { return append([]byte{1, 1, 0xff, 0xfc}, answer[4:]...) }, stun.ErrTooLong},
		"an attribute": {false, func(answer []byte) []byte { return append(answer[:20:20], 0x80, 0x22, 0xff, 0xff) }, stun.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, server := pipe(t)
				taken := make(chan int, 1)
				go func() {
					answer := success(readRequest(t, server), 1)
					if tt.answered {
						_, _ = server.Write(answer)
					}
					more, n := tt.more(answer), 0
					for {
						m, err := server.Write(more)
						if n += m; err != nil {
							taken <- n
							return
						}
					}
				}()
				_, err := c.Binding(t.Context())
				if tt.answered && err != nil || !tt.answered && !errors.Is(err, tt.want) {
					t.Errorf("Binding returned %v", err)
				}
				<-c.Done()
				if err := c.Err(); !errors.Is(err, tt.want) {
					t.Errorf("the connection ended with %v, want %v", err, tt.want)
				}
				if n := <-taken; n > stun.MaxMessage {
					t.Errorf("%d bytes were taken", n)
				}
			})
		})
	}
}

// TestSlowServer has a server send a byte now and then: Binding does not wait for it, and Close
// ends it.
func TestSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			long := pion.MustBuild(readRequest(t, server), pion.BindingSuccess, &pion.XORMappedAddress{IP: net.IPv4(192, 0, 2, 1), Port: 1},
				pion.RawAttribute{Type: 0x8022, Value: make([]byte, 1000)}).Raw
			go drain(server)
			for _, b := range long {
				if _, err := server.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		for range 3 {
			begun := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			if _, err := c.Binding(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Binding returned %v", err)
			}
			cancel()
			if took := time.Since(begun); took != 3*time.Second {
				t.Errorf("it took %v", took)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
}

// TestMuteServer asks a server that never answers: what was not answered is not remembered without
// end.
func TestMuteServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go drain(server)
		for i := 0; ; i++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := c.Binding(ctx)
			cancel()
			if errors.Is(err, context.DeadlineExceeded) && i < stun.MaxUnanswered {
				continue
			}
			if i != stun.MaxUnanswered || !errors.Is(err, stun.ErrDisconnected) {
				t.Errorf("Binding %d returned %v", i, err)
			}
			break
		}
		if <-c.Done(); !errors.Is(c.Err(), stun.ErrDisconnected) {
			t.Errorf("the connection ended with %v", c.Err())
		}
	})
}
