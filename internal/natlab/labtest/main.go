package labtest

import (
	"errors"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// roleEnv holds the role of a child process.
const roleEnv = "NATLAB_ROLE"

// unavailable is why no lab can be had. Main sets it before the tests run.
var unavailable error

// Main is the body of TestMain. It runs a role if the process was started for one, and otherwise
// the tests of m, a [testing.M], which must leave no goroutine behind. It does not return.
func Main(m goleak.TestingM, roles map[string]Role) {
	if name, ok := os.LookupEnv(roleEnv); ok {
		os.Exit(runRole(name, roles[name]))
	}
	if !fuzzWorker() {
		unavailable = natlab.Enter()
	}
	goleak.VerifyTestMain(m)
}

// Parallel sets how many parallel tests run at a time, unless -parallel does. Tests in a lab mostly
// wait for packets, so more of them than there are CPUs fit. It must be called before [Main].
func Parallel(n int) {
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err) // the flag exists in every test binary
	}
}

// fuzzWorker reports whether this process was started by "go test -fuzz" to do its work. It is in
// the lab's user namespace already, and talks over files that Enter would not pass on.
func fuzzWorker() bool {
	for _, arg := range os.Args[1:] {
		if strings.HasPrefix(arg, "-test.fuzzworker") {
			return true
		}
	}
	return false
}

// Require skips the test with the reason if no lab can be had. Under CI=true the test fails
// instead, so that nobody takes silence for success.
func Require(t testing.TB) {
	t.Helper()
	require(t, unavailable)
}

func require(t testing.TB, unavailable error) {
	t.Helper()
	if unavailable == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true, but %v", unavailable)
	}
	t.Skip(unavailable)
}

// AddSite adds a site to a lab. If this machine's kernel cannot do what the site's NAT asks of it,
// the test is skipped, as by [Require].
func AddSite(t testing.TB, lab *natlab.Lab, cfg natlab.SiteConfig) *natlab.Site {
	t.Helper()
	site, err := lab.AddSite(cfg)
	if errors.Is(err, natlab.ErrUnavailable) {
		require(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return site
}

// New makes a lab for the length of the test, or skips the test, as [Require].
func New(t testing.TB, cfg natlab.Config) *natlab.Lab {
	t.Helper()
	Require(t)
	lab, err := natlab.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}
