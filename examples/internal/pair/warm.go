package pair

import (
	"context"
	"errors"
	"net"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// awaitWarm returns when the host's port may be expected to be warm, that is, when
// the transport knows the port's reflexive addresses; or with an error if no
// STUN server answers and the relay will have to. The transport does not tell. But it asks the servers
// as soon as the host is connected to a relay, and so whoever asks the same servers
// from then on, and once more, has waited for long enough: three round trips
// to the transport's two, and longer where they take longer.
func awaitWarm(ctx context.Context, servers []string) error {
	var failed []error
	answered := false
	for a := range stun.Ask(ctx, new(net.Dialer), servers) {
		if a.Err == nil {
			_, a.Err = a.Conn.Binding(ctx)
			a.Conn.Close()
		}
		if a.Err != nil {
			failed = append(failed, a.Err)
		} else {
			answered = true
		}
	}
	if answered {
		return nil
	}
	return errors.Join(failed...)
}
