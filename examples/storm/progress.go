// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/resilienced/resilienced/examples/storm/upstream"
)

// progress says now and then how far an arm is: one line that is drawn again
// and again on a terminal, else a line every few seconds.
type progress struct {
	out      io.Writer
	terminal bool
	arm      string
	tasks    int
}

func newProgress(out io.Writer, sc scenario, guarded bool) *progress {
	p := &progress{out: out, arm: "bare", tasks: sc.tasks}
	if guarded {
		p.arm = "guarded"
	}
	if f, ok := out.(*os.File); ok {
		p.terminal = isatty.IsTerminal(f.Fd())
	}
	return p
}

// watch begins, and returns what ends it.
func (p *progress) watch(s *upstream.Server) func() {
	every := 5 * time.Second
	if p.terminal {
		every = 200 * time.Millisecond
	}
	began, stop, stopped := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.line(s.Figures(), time.Since(began))
			case <-stop:
				p.line(s.Figures(), time.Since(began))
				if p.terminal {
					_, _ = fmt.Fprintln(p.out)
				}
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

// line says how far it is. That nobody can read it does not end the storm.
func (p *progress) line(f upstream.Figures, since time.Duration) {
	before, after := "", "\n"
	if p.terminal {
		before, after = "\r", "\x1b[K"
	}
	_, _ = fmt.Fprintf(p.out, "%s%-7s %4.1f s  %d of %d tasks, %d calls, %d refused with 429, %s%s", before, p.arm, since.Seconds(),
		f.Done, p.tasks, f.Model.Calls+f.Sandbox.Calls, f.Model.Limited+f.Sandbox.Limited, dollars(f.CostMicros), after)
}
