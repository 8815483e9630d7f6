package crowd

import (
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// roles are what child processes of the tests do.
var roles = make(map[string]labtest.Role)

func TestMain(m *testing.M) { labtest.Main(m, roles) }
