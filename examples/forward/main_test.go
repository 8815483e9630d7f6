package main

import (
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }
