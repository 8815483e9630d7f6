package punch

import (
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// roles are what child processes of the tests do; the lab's files fill it in.
var roles = make(map[string]labtest.Role)

func TestMain(m *testing.M) {
	// They mostly wait. More would take the processors from those in which SYNs have to cross.
	labtest.Parallel(8)
	labtest.Main(m, roles)
}
