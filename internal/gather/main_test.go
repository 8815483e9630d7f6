package gather

import (
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// roles are what child processes of the tests do; files of tests in the lab fill it in.
var roles = make(map[string]labtest.Role)

func TestMain(m *testing.M) {
	labtest.Parallel(16) // for the most part they wait
	labtest.Main(m, roles)
}
