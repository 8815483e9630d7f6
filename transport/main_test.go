package transport

import (
	"os"
	"os/exec"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// aloneEnv names the test that a process runs by itself.
const aloneEnv = "SIMOPEN_TEST_ALONE"

// roles are what child processes of the tests do; the lab's files fill it in.
var roles = make(map[string]labtest.Role)

func TestMain(m *testing.M) {
	labtest.Parallel(24) // they mostly wait: together they use little more than one core
	if os.Getenv(aloneEnv) != "" {
		os.Exit(m.Run())
	}
	labtest.Main(m, roles)
}

// alone runs a test that makes go-libp2p leak goroutines of its own in a process
// by itself, without goleak. It reports whether this is that process.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneEnv) == t.Name() {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), aloneEnv+"="+t.Name())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}
