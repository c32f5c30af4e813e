// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/resilienced/resilienced/test/robustness/check"
	"github.com/resilienced/resilienced/test/robustness/cluster"
	"github.com/resilienced/resilienced/test/robustness/history"
)

func main() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "rob")
	bin := os.Args[1]
	c, err := cluster.Start(ctx, cluster.Config{Binary: bin, Dir: dir, Store: os.Args[2], Policy: "version: 1\n"})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	for n := range 3 {
		t := &trial{setup: history.Setup{Trial: n, Fault: "none", Store: os.Args[2], Seed: uint64(n) + 1, Ghost: 500*time.Millisecond}, lengths: lengths{calm: 5 * time.Second}, stories: 400, callers: 32}
		v, err := t.run(ctx, c)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%+v rate %.0f void %q\n", v.figures, v.figures.rate(), v.void)
		began := time.Now()
		check.All(v.history)
		fmt.Println("checks took", time.Since(began))
		for _, r := range v.results {
			fmt.Println(r.Check, r.Checked, r.Note, r.Undecided)
			for _, x := range r.Violations {
				fmt.Println("   ", x)
			}
		}
		f, _ := os.Create("/tmp/robh.json")
		history.Write(f, v.history)
		f.Close()
	}
}
