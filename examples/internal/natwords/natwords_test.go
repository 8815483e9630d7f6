package natwords

import (
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// No two NATs have the same words.
func TestDescribe(t *testing.T) {
	known := make(map[string]string)
	for _, name := range []string{
		"public", "eim-eif", "eim-adf", "eim-apdf", "eim-apdf-rst", "eim-apdf-icmp", "eim-apdf-rst-rstkills", "eim-apdf-nosyn",
		"apdm-apdf", "apdm-apdf-overload", "apdm-apdf-rst-overload-clash", "apdm-apdf-sequential", "apdm-apdf-random", "kernel", "kernel-rst",
	} {
		b, err := natlab.ParseBehaviour(name)
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Join(Describe(b), "; ")
		if other, twice := known[words]; twice {
			t.Errorf("%s and %s are both %q", other, name, words)
		}
		known[words] = name
	}
}
