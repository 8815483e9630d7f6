package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/actor"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

func main() {
	actor.Main(play)
	if err := natlab.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
	ctx := context.Background()
	for _, s := range rough {
		if len(os.Args) > 1 && os.Args[1] != s.name {
			continue
		}
		for run := 1; run <= 2; run++ {
			for _, impl := range s.impls {
				b := &bout{scenario: &s, impl: impl, run: run, seed: uint64(run)}
				t := time.Now()
				err := b.prepare(ctx)
				t2 := time.Now()
				if err == nil {
					r, err2 := b.box(ctx)
					err = err2
					json.NewEncoder(os.Stdout).Encode(r)
				}
				t3 := time.Now()
				fmt.Fprintln(os.Stderr, err, t2.Sub(t), t3.Sub(t2))
				fmt.Fprintln(os.Stderr, b.close(), time.Since(t3))
			}
		}
	}
}
