package page

import (
	"os"
	"testing"
	"time"
)

func TestZZView(t *testing.T) {
	f := os.Getenv("PAGE_OUT")
	if f == "" {
		t.Skip()
	}
	out, err := os.Create(f)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := madeUp()
	for _, tr := range []trial{
		{a: "eim-apdf", b: "eim-apdf", scenario: "matrix", impl: "simopen"},
		{a: "eim-apdf-rst", b: "eim-apdf-rst", scenario: "matrix", impl: "simopen"},
		{a: "eim-apdf", b: "eim-apdf-rst", scenario: "matrix", impl: "simopen", bWaits: 30 * time.Millisecond},
		{a: "eim-apdf-rst", b: "eim-apdf-rst", scenario: "slow-start", impl: "simopen", bWaits: 700 * time.Millisecond},
		{a: "eim-apdf-icmp", b: "eim-apdf-icmp", scenario: "slow-start", impl: "dcutr", bWaits: 200 * time.Millisecond},
		{a: "eim-apdf", b: "eim-apdf", scenario: "loss5", impl: "simopen", loss: 0.25},
		{a: "public", b: "eim-apdf-random", scenario: "matrix", impl: "dcutr", bWaits: 60 * time.Millisecond},
		{a: "eim-apdf-rst-rstkills", b: "eim-apdf-rst-nosyn", scenario: "matrix", impl: "simopen", window: 3 * time.Second},
	} {
		p.Punches = append(p.Punches, capture(t, tr))
	}
	if err := Write(out, p); err != nil {
		t.Fatal(err)
	}
}
