package soak

import (
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// roles are what child processes of the test do.
var roles = make(map[string]labtest.Role)

func TestMain(m *testing.M) { labtest.Main(m, roles) }
