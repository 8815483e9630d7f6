package natlab_test

import (
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestMain(m *testing.M) {
	labtest.Parallel(16)
	labtest.Main(m, map[string]labtest.Role{"dial": dial})
}
