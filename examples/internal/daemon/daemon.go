// Package daemon runs a server until a signal ends it: it serves the server's metrics, prints its
// state now and then, and reports how it ended.
package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/metrics"
)

// patience is for requests that are just being answered at the end: a connect back takes 2 s.
const patience = 5 * time.Second

// Options are what a person chooses of how a server runs.
type Options struct {
	Metrics string        // the address for Prometheus; "" for none
	Status  time.Duration // between two status lines; 0 for none
}

// AddFlags adds the flags of all servers.
func (o *Options) AddFlags(flags *flag.FlagSet) {
	flags.StringVar(&o.Metrics, metrics.Flag, "", metrics.Usage)
	o.Status = 10 * time.Minute // 144 lines a day
	flags.Func("status", "print the state every `duration`, 0 for never (default 10m)", func(s string) (err error) {
		if o.Status, err = time.ParseDuration(s); err == nil && o.Status < 0 {
			err = errors.New("want 0 or more")
		}
		return err
	})
	console.VersionFlag(flags)
}

// A Server has been started, and serves.
type Server interface {
	Announce(*console.Console)      // says where it serves
	Status() string                 // what it has done so far, in a line
	Failed() <-chan error           // delivers the error that it cannot go on after
	Shutdown(context.Context) error // lets requests be answered until the context ends
}

// Run runs a server until the process is interrupted or terminated, or the server fails. It returns
// when the server has ended.
func Run(out *console.Console, o Options, reg prometheus.Gatherer, s Server) error {
	begun := time.Now()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var scraped *metrics.Server
	if o.Metrics != "" {
		var err error
		scraped, err = metrics.Start(o.Metrics, reg, func() error {
			if ctx.Err() != nil {
				return errors.New("stopping")
			}
			return nil
		})
		if err != nil {
			return errors.Join(console.ExplainListen(err, "-"+metrics.Flag), shutdown(s))
		}
	}
	defer scraped.Close()
	s.Announce(out)
	if scraped != nil {
		out.Line("metrics", "http://%s/metrics and /healthz", scraped.Addr())
	}
	err := serve(ctx, out, o.Status, begun, s, scraped.Failed())
	stop()                 // a second signal ends the process at once
	last := line(begun, s) // before all that is open is closed
	if err == nil {
		out.Line("stopping", "within %v; interrupt once more to end at once", patience)
	}
	err = errors.Join(err, shutdown(s))
	out.Line("stopped", "%s", last)
	return err
}

// serve prints the state every period until ctx ends or something fails.
func serve(ctx context.Context, out *console.Console, period time.Duration, begun time.Time, s Server, metricsFailed <-chan error) error {
	var tick <-chan time.Time
	if period > 0 {
		t := time.NewTicker(period)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-tick:
			out.Line("status", "%s", line(begun, s))
		case err := <-s.Failed():
			return err
		case err := <-metricsFailed:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

func line(begun time.Time, s Server) string {
	return fmt.Sprintf("up %v: %s", time.Since(begun).Round(time.Second), s.Status())
}

func shutdown(s Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := s.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("requests were cut that took longer than %v to answer", patience)
	}
	return err
}
