// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc"
)

// Format is a form of output.
type Format string

// The formats.
const (
	// Table is one line a drill, for people.
	Table Format = "table"
	// TAP is the Test Anything Protocol, version 14.
	TAP Format = "tap"
	// JUnit is the XML that build servers read.
	JUnit Format = "junit"
)

// Formats are the formats, for a flag's help.
func Formats() []string { return []string{string(Table), string(TAP), string(JUnit)} }

// Options say how drills are run and reported. The zero value is usable.
type Options struct {
	// Format of the output of Execute. Empty: Table.
	Format Format
	// Out is where Execute writes. Nil: nowhere.
	Out io.Writer
	// CallTimeout bounds each RPC. Zero: one minute.
	CallTimeout time.Duration
	// AllowPending leaves scenarios that need an RPC which this version lacks
	// out of the failures. They are reported as pending, never as passed.
	AllowPending bool
	// Progress, if set, is called after each scenario.
	Progress func(Result)
}

// writer is one format.
type writer interface {
	// begin is called first, with the number of results to come.
	begin(n int)
	// result is called after each scenario.
	result(r *Result)
	// end is called last.
	end(r *Report)
}

// Execute runs the scenarios over conn and writes how they went. It returns how
// many failed. Its error says that the output could not be written, or why
// scenarios were left out; failed drills are no error.
func Execute(ctx context.Context, conn grpc.ClientConnInterface, scenarios []Scenario, opts Options) (int, error) {
	out := opts.Out
	if out == nil {
		out = io.Discard
	}
	buffer := bufio.NewWriter(out)
	w, err := newWriter(opts.Format, buffer)
	if err != nil {
		return 0, err
	}
	w.begin(len(scenarios))
	progress := opts.Progress
	opts.Progress = func(r Result) {
		w.result(&r)
		_ = buffer.Flush() // its error stays with the buffer
		if progress != nil {
			progress(r)
		}
	}
	report := Run(ctx, conn, scenarios, opts)
	w.end(&report)
	err = report.Err
	if flush := buffer.Flush(); flush != nil {
		err = errors.Join(err, fmt.Errorf("write the report: %w", flush))
	}
	return report.Failed(), err
}

func newWriter(f Format, out io.Writer) (writer, error) {
	switch f {
	case "", Table:
		return &tableWriter{out: out}, nil
	case TAP:
		return &tapWriter{out: out}, nil
	case JUnit:
		return &junitWriter{out: out}, nil
	}
	return nil, fmt.Errorf("there is no format %q%s", string(f), didYouMean(string(f), Formats()))
}

// printable escapes what could move a terminal's cursor, end a line or turn
// text around: control characters, and all else that does not show.
func printable(text string) string {
	var b strings.Builder
	for i, r := range text {
		broken := r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError))
		switch {
		case broken:
			b.WriteString(`\x` + strconv.FormatUint(uint64(text[i]), 16))
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// lines are the details of a result that is not ok, each printable.
func (r *Result) lines() []string {
	place := ""
	if r.Step > 0 {
		place = fmt.Sprintf("step %d (line %d) %s: ", r.Step, r.Line, r.Verb)
	}
	var all []string
	for _, m := range r.Mismatches {
		name := ""
		if m.Field != "" {
			name = m.Field + ": "
		}
		all = append(all, place+name+"want "+m.Want+", got "+m.Got)
	}
	if r.Message != "" {
		lines := strings.Split(r.Message, "\n")
		if len(r.Mismatches) == 0 {
			lines[0] = place + lines[0]
		}
		all = append(all, lines...)
	}
	if all == nil && !r.OK() {
		all = []string{string(r.Reason)}
	}
	for i := range all {
		all[i] = printable(all[i])
	}
	return all
}

// summary says in one line how many passed and why the others did not.
func (r Report) summary() string {
	text := fmt.Sprintf("%d of %d drills ok, %d failed", r.count(Passed), len(r.Results), r.Failed())
	if n := r.pending(); n > 0 {
		text += fmt.Sprintf(", %d pending", n)
	}
	var why []string
	for _, reason := range []Reason{Mismatched, Invalid, SetUp, Failed, TearDown, NotInVersion, NotRun} {
		if n := r.count(reason); n > 0 {
			why = append(why, fmt.Sprintf("%d %s", n, reason))
		}
	}
	if len(why) > 0 {
		text += " (" + strings.Join(why, ", ") + ")"
	}
	return text
}

// kindLines say, a line each, what answered every kind of failure.
func (r Report) kindLines() []string {
	var all []string
	for _, k := range r.Kinds {
		var patterns []string
		for _, p := range k.Patterns {
			patterns = append(patterns, p.Name+" ["+strings.Join(p.Drills, " ")+"]")
		}
		slices.Sort(patterns)
		text := strings.Join(patterns, "; ")
		if text == "" {
			text = "NOT EXERCISED"
		}
		all = append(all, printable(fmt.Sprintf("%-13s  %s", k.Kind, text)))
	}
	return all
}
