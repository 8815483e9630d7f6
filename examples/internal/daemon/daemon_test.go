package daemon

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"math"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/metrics"
)

// fake is a server that fails as its fields say.
type fake struct {
	failed chan error
	down   bool
	hangs  bool // until Shutdown's context ends
}

func (f *fake) Announce(out *console.Console) { out.Line("serving", "eggs") }
func (f *fake) Status() string                { return "3 eggs" }
func (f *fake) Failed() <-chan error          { return f.failed }

func (f *fake) Shutdown(ctx context.Context) error {
	f.down = true
	if f.hangs {
		return context.DeadlineExceeded
	}
	return nil
}

func TestRunUntilFailure(t *testing.T) {
	var b bytes.Buffer
	broken := errors.New("broken")
	f := &fake{failed: make(chan error, 1)}
	f.failed <- broken
	err := Run(console.New(&b), Options{Metrics: "127.0.0.1:0"}, metrics.NewRegistry(), f)
	if !errors.Is(err, broken) || !f.down {
		t.Errorf("error %v, shut down: %t", err, f.down)
	}
	want := regexp.MustCompile(`^serving   eggs
metrics   http://127\.0\.0\.1:\d+/metrics and /healthz
stopped   up 0s: 3 eggs
$`)
	if !want.Match(b.Bytes()) {
		t.Errorf("said:\n%s", b.String())
	}
}

func TestRunWithoutMetrics(t *testing.T) {
	var b bytes.Buffer
	f := &fake{failed: make(chan error)}
	if err := Run(console.New(&b), Options{Metrics: "127.0.0.1:-1"}, metrics.NewRegistry(), f); err == nil || !f.down || b.Len() > 0 {
		t.Errorf("error %v, shut down: %t, said %q", err, f.down, b.String())
	}
}

func TestRequestsThatAreCut(t *testing.T) {
	f := &fake{hangs: true}
	if err := shutdown(f); err == nil || !strings.Contains(err.Error(), "longer than 5s") {
		t.Errorf("error %v", err)
	}
}

func TestFlags(t *testing.T) {
	parse := func(args ...string) (o Options, n int, err error) {
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		n = 7
		o.AddFlags(flags)
		NumberFlag(flags, &n, "n", "eggs")
		err = flags.Parse(args)
		return o, n, err
	}
	if o, n, err := parse(); err != nil || o != (Options{Status: 10 * time.Minute}) || n != 7 {
		t.Errorf("by default: %+v, %d, %v", o, n, err)
	}
	for _, args := range [][]string{{"-status", "-1s"}, {"-status", "often"}, {"-n", "0"}, {"-n", "x"}, {"-n", "-1"}} {
		if _, _, err := parse(args...); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestMemory(t *testing.T) {
	all := Memory()
	if all < 64<<20 || all > math.MaxInt64 {
		t.Errorf("%d bytes", all)
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(32 << 20))
	if got := Memory(); got != 32<<20 {
		t.Errorf("%d bytes, with a limit of 32 MiB", got)
	}
	if a, b := Capacity(1<<20, 100), Capacity(1<<20, 10); a != 32 || b != 10 {
		t.Errorf("capacity %d and %d, want 32 and 10", a, b)
	}
}
