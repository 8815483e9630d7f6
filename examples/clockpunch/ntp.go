package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/beevik/ntp"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

const (
	// samples is how often an NTP server is asked. The answer that came
	// soonest is the best: it can be wrong by half its round trip.
	samples = 4

	// sampleTime is how long an answer may take. UDP is not repeated.
	sampleTime = 2 * time.Second
)

// measure asks an NTP server what is to be added to the clock, and returns the
// bound of the error too.
func (c clock) measure(ctx context.Context, server string) (offset, within time.Duration, err error) {
	var best *ntp.Response
	for range samples {
		r, sampleErr := c.sample(ctx, server)
		switch {
		case ctx.Err() != nil:
			return 0, 0, context.Cause(ctx)
		case sampleErr != nil:
			err = sampleErr
		case best == nil || r.RTT < best.RTT:
			best = r
		}
		var name *net.DNSError
		if errors.As(err, &name) || r != nil && r.IsKissOfDeath() {
			break
		}
	}
	if best == nil {
		return 0, 0, fmt.Errorf("-ntp %s: %s", server, explainNTP(err))
	}
	return best.ClockOffset, best.RTT / 2, nil
}

func (c clock) sample(ctx context.Context, server string) (*ntp.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	var stop func() bool
	r, err := ntp.QueryWithOptions(server, ntp.QueryOptions{
		Timeout:       sampleTime,
		GetSystemTime: c.now,
		Dialer: func(_, remote string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "udp", remote)
			if err == nil {
				stop = context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
			}
			return conn, err
		},
	})
	if stop != nil {
		stop()
	}
	if err != nil {
		return nil, err
	}
	return r, r.Validate()
}

func explainNTP(err error) string {
	var (
		name    *net.DNSError
		timeout net.Error
	)
	switch {
	case errors.As(err, &name):
		return "there is no such host, or no DNS: " + console.OneLine(name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody serves NTP there"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer: is it an NTP server, and lets a firewall UDP out? Without -ntp the machine's own clock counts"
	}
	return "cannot be used: " + console.OneLine(err)
}
