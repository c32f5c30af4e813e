// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// How many rows the text has at most; the JSON has them all.
const (
	textTargets  = 20
	textOpenings = 10
	textRuns     = 10
)

// WriteText writes the result for people: no colours, columns by blanks, and
// nothing in a name that a terminal would act upon. It returns the writer's
// error.
func (r *Result) WriteText(w io.Writer) error {
	out := page{bufio.NewWriter(w)}
	out.say("%s\n", r.Answer)
	if r.Calls > 0 {
		out.say("\n%d calls, %s to %s", r.Calls, stamp(*r.From), stamp(*r.Until))
		if r.Missing > 0 {
			out.say(" (%d more were not recorded)", r.Missing)
		}
		out.say("\n\n")
		r.writeTotals(out)
		r.writeTargets(out)
		r.writeOpenings(out)
		r.writeRuns(out)
		out.say("\nWhat this cannot know\n")
		for _, l := range r.Limits {
			out.say("- %s\n", l)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// page is what is written. The first error stays until it is flushed.
type page struct{ *bufio.Writer }

func (p page) say(format string, args ...any) { _, _ = fmt.Fprintf(p.Writer, format, args...) }

func table(out page) *tabwriter.Writer { return tabwriter.NewWriter(out.Writer, 0, 0, 2, ' ', 0) }

// row writes the cells of a line. The writers of this file do not fail before
// they are flushed.
func row(t io.Writer, cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) }

func number(n int64) string { return strconv.FormatInt(n, 10) }

func (r *Result) writeTotals(out page) {
	was, will := &r.Totals.Old, &r.Totals.New
	t := table(out)
	row(t, "", "OLD", "NEW")
	for _, line := range [...]struct {
		name string
		of   func(*Side) string
	}{
		{"granted", func(s *Side) string { return number(s.Granted) }},
		{"denied", func(s *Side) string { return number(s.Denied) }},
		{"told to wait", func(s *Side) string { return number(s.Waits) }},
		{"early calls held back", func(s *Side) string { return number(s.Early) }},
		{"cost", func(s *Side) string { return dollars(s.CostMicros) }},
		{"not spent (denied)", func(s *Side) string { return dollars(s.NotSpentMicros) }},
		{"put off (wait)", func(s *Side) string { return dollars(s.PutOffMicros) }},
		{"calls of unknown cost", func(s *Side) string { return number(s.Unpriced) }},
		{"breaker openings", func(s *Side) string { return number(s.Opened) }},
		{"breakers open for", func(s *Side) string { return lasting(s.OpenMS) }},
		{"runs stopped by a cap", func(s *Side) string { return number(s.RunsStopped) }},
	} {
		row(t, line.name, line.of(was), line.of(will))
	}
	seen := map[[2]string]bool{}
	for _, s := range [...]*Side{will, was} {
		for _, f := range s.Refusals {
			if key := [2]string{f.Decision, f.Reason}; !seen[key] {
				seen[key] = true
				row(t, "  "+f.Decision+" "+f.Reason, number(refusals(was, key)), number(refusals(will, key)))
			}
		}
	}
	_ = t.Flush() // to a buffer
}

func refusals(s *Side, key [2]string) int64 {
	for _, f := range s.Refusals {
		if f.Decision == key[0] && f.Reason == key[1] {
			return f.Calls
		}
	}
	return 0
}

func (r *Result) writeTargets(out page) {
	out.say("\nTargets, the most affected first (old → new)\n")
	t := table(out)
	row(t, "TARGET", "CALLS", "REFUSED", "COST", "NOT SPENT", "EARLY", "OPENED", "NEWLY REFUSED")
	for i := range r.Targets[:min(len(r.Targets), textTargets)] {
		x := &r.Targets[i]
		row(t, printable(x.Target), number(x.Calls),
			change(number(x.Old.Denied+x.Old.Waits), number(x.New.Denied+x.New.Waits)),
			change(dollars(x.Old.CostMicros), dollars(x.New.CostMicros)),
			change(dollars(x.Old.NotSpentMicros), dollars(x.New.NotSpentMicros)),
			change(number(x.Old.Early), number(x.New.Early)), change(number(x.Old.Opened), number(x.New.Opened)),
			number(x.NewlyRefused))
	}
	_ = t.Flush() // to a buffer
	more(out, len(r.Targets)-textTargets, "targets")
}

func (r *Result) writeOpenings(out page) {
	list := r.Totals.New.Openings
	if len(list) == 0 {
		return
	}
	out.say("\nBreakers that open under the new policy\n")
	t := table(out)
	row(t, "AT", "TARGET", "CAUSE", "FOR")
	for _, o := range list[:min(len(list), textOpenings)] {
		length := lasting(o.ForMS)
		if o.ClosedAt == nil {
			length += ", to the end"
		}
		row(t, stamp(o.At), printable(o.Target), o.Cause, length)
	}
	_ = t.Flush() // to a buffer
	more(out, int(r.Totals.New.Opened)-textOpenings, "openings")
}

func (r *Result) writeRuns(out page) {
	if len(r.Runs) == 0 {
		return
	}
	out.say("\nRuns that a cap stops (calls refused, old → new)\n")
	t := table(out)
	row(t, "RUN", "CALLS", "NOT SPENT", "FIRST (NEW)", "CAP")
	for _, s := range r.Runs[:min(len(r.Runs), textRuns)] {
		was, will, first, limit := RunStop{}, RunStop{}, "-", "-"
		if s.Old != nil {
			was = *s.Old
		}
		if s.New != nil {
			will, first, limit = *s.New, stamp(s.New.At), s.New.Rule
		}
		row(t, printable(s.Run), change(number(was.Calls), number(will.Calls)),
			change(dollars(was.CostMicros), dollars(will.CostMicros)), first, limit)
	}
	_ = t.Flush() // to a buffer
	more(out, len(r.Runs)-textRuns, "runs")
}

func more(out page, n int, what string) {
	if n > 0 {
		out.say("and %d more %s; the JSON has them\n", n, what)
	}
}

// change shows a value once if both policies have it.
func change(was, will string) string {
	if was == will {
		return was
	}
	return was + " → " + will
}

// dollars writes micro-USD exactly: at least two places, at most six.
func dollars(micros int64) string {
	places := strings.TrimRight(fmt.Sprintf("%06d", micros%1_000_000), "0")
	for len(places) < 2 {
		places += "0"
	}
	return "$" + strconv.FormatInt(micros/1_000_000, 10) + "." + places
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// lasting writes a duration in the two units that matter.
func lasting(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d >= time.Minute {
		d = d.Round(time.Second)
	}
	return d.String()
}

// printable shows a name without what a terminal would act upon.
func printable(s string) string {
	if !utf8.ValidString(s) {
		return strconv.QuoteToASCII(s)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}

func quoted(s string) string { return strconv.QuoteToGraphic(s) }
