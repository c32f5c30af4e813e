// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"fmt"
	"io"
)

// tableWriter writes one line a drill, for people.
type tableWriter struct{ out io.Writer }

func (w *tableWriter) begin(int) {}

func (w *tableWriter) result(r *Result) {
	verdict := "ok  "
	switch {
	case r.Pending:
		verdict = "n/a "
	case !r.OK():
		verdict = "FAIL"
	}
	_, _ = fmt.Fprintf(w.out, "%s  %s  %s\n", verdict, printable(r.ID), printable(r.Title))
	for _, line := range r.lines() {
		_, _ = fmt.Fprintf(w.out, "        %s\n", line)
	}
}

func (w *tableWriter) end(r *Report) {
	_, _ = fmt.Fprintf(w.out, "\n%s\n\nwhat answered each kind of failure, seen and expected in drills that passed:\n", r.summary())
	for _, line := range r.kindLines() {
		_, _ = fmt.Fprintf(w.out, "  %s\n", line)
	}
}
