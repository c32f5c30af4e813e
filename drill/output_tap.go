// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// tapWriter writes the Test Anything Protocol, version 14.
type tapWriter struct {
	out io.Writer
	n   int
}

func (w *tapWriter) begin(n int) { _, _ = fmt.Fprintf(w.out, "TAP version 14\n1..%d\n", n) }

func (w *tapWriter) result(r *Result) {
	w.n++
	verdict := "ok"
	if !r.OK() {
		verdict = "not ok"
	}
	// A # begins a directive, and a \ escapes.
	escape := strings.NewReplacer(`\`, `\\`, `#`, `\#`)
	directive := ""
	if r.Pending {
		directive = " # TODO " + string(r.Reason)
	}
	_, _ = fmt.Fprintf(w.out, "%s %d - %s%s\n", verdict, w.n, escape.Replace(printable(r.ID)+" "+printable(r.Title)), directive)
	if r.OK() {
		return
	}
	_, _ = fmt.Fprintf(w.out, "  ---\n  reason: %s\n  file: %s\n", scalar(string(r.Reason)), scalar(r.File))
	if r.Step > 0 {
		_, _ = fmt.Fprintf(w.out, "  step: %d\n  line: %d\n  verb: %s\n", r.Step, r.Line, scalar(r.Verb))
	}
	if len(r.Mismatches) > 0 {
		_, _ = fmt.Fprintf(w.out, "  mismatches:\n")
	}
	for _, m := range r.Mismatches {
		_, _ = fmt.Fprintf(w.out, "    - {field: %s, want: %s, got: %s}\n", scalar(m.Field), scalar(m.Want), scalar(m.Got))
	}
	if r.Message != "" {
		_, _ = fmt.Fprintf(w.out, "  message: %s\n", scalar(r.Message))
	}
	_, _ = fmt.Fprintf(w.out, "  duration_ms: %d\n  ...\n", r.Took.Milliseconds())
}

// scalar writes a text as YAML on one line: as JSON, which is YAML.
func scalar(text string) string {
	quoted, err := json.Marshal(printableLines(text))
	if err != nil {
		return `""`
	}
	return string(quoted)
}

// printableLines is printable line by line.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

func (w *tapWriter) end(r *Report) {
	for _, line := range append([]string{r.summary()}, r.kindLines()...) {
		_, _ = fmt.Fprintf(w.out, "# %s\n", line)
	}
}
