// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// summaryFlags select what is summed up.
type summaryFlags struct {
	own   *pflag.FlagSet
	since span
	glob  string
}

// longestSummary is how far back a server counts.
const longestSummary = 7 * 24 * time.Hour

func newSummaryFlags(cmd *cobra.Command) *summaryFlags {
	f := &summaryFlags{since: span{length: time.Hour, set: true}}
	f.own = flagsOf(cmd, func(flags *pflag.FlagSet) {
		flags.Var(&f.since, "since", "without PERMIT: how far back, at most 7d")
		flags.StringVar(&f.glob, "target", "", "without PERMIT: only targets like this `GLOB`")
	})
	_ = cmd.RegisterFlagCompletionFunc("target", completeTargets) // the flag is there
	return f
}

func (f *summaryFlags) unused(why string) error { return noneSet(f.own, why) }

func (s *session) summary(ctx context.Context, f *summaryFlags) error {
	if f.since.length <= 0 || f.since.length > longestSummary {
		return fmt.Errorf("--since is %s; it must be above 0 and at most 7d", f.since.String())
	}
	got, err := s.Decisions.SummarizeCalls(ctx, &pb.SummarizeCallsRequest{Since: durationpb.New(f.since.length), NameGlob: f.glob})
	if err != nil {
		return err
	}
	return s.show(got, func() error {
		if got.GetTotals().GetAcquires() == 0 && len(got.GetTargets()) == 0 {
			return s.screen.Line("nothing was asked since " + moment(got.GetFrom().AsTime()) + "; point a client at " + s.Addr() + " first")
		}
		if err := s.lines(append(summaryLines(got), "")); err != nil {
			return err
		}
		if err := summaryTable(got.GetTargets()).Write(s.screen); err != nil {
			return err
		}
		return s.lines(switchOn(got.GetTargets()))
	}, nil)
}

// lines writes one line each: no name in them can add another.
func (s *session) lines(all []string) error {
	for _, text := range all {
		if err := s.screen.Line(text); err != nil {
			return err
		}
	}
	return nil
}

func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }

// summaryLines say in sentences what the totals are.
func summaryLines(r *pb.SummarizeCallsResponse) []string {
	t := r.GetTotals()
	lines := []string{
		fmt.Sprintf("%s to %s", moment(r.GetFrom().AsTime()), moment(r.GetUntil().AsTime())),
		fmt.Sprintf("%s asked, %s granted, %s refused%s", count(t.GetAcquires(), "call"), thousands(t.GetGranted()),
			thousands(refusals(t.GetRefused())), reasons(t.GetRefused())),
		fmt.Sprintf("%s reported, %s failed, %s spent", thousands(t.GetReports()), thousands(t.GetFailures()), terminal.Money(t.GetCostMicros(), "")),
	}
	if n := refusals(t.GetWouldRefuse()); n > 0 {
		line := fmt.Sprintf("%s would have been refused%s", count(n, "call"), reasons(t.GetWouldRefuse()))
		if saved := saving(t); saved > 0 {
			line += "; it would have saved you " + terminal.Money(saved, "")
		}
		if t.GetUnpriced() > 0 {
			line += fmt.Sprintf(" (and what %s cost nobody knows)", count(t.GetUnpriced(), "more"))
		}
		lines = append(lines, line)
	} else if slices.ContainsFunc(r.GetTargets(), (*pb.CallSummary).GetObserved) {
		lines = append(lines, "no call would have been refused")
	}
	if t.GetEarly() > 0 {
		lines = append(lines, count(t.GetEarly(), "call")+" came before a wait was over that the target or a directive had named")
	}
	return append(lines, openings(r.GetTargets())...)
}

// openings tells breakers that opened from those that would have.
func openings(targets []*pb.CallSummary) []string {
	var opened, would int64
	for _, t := range targets {
		if t.GetObserved() {
			would += t.GetOpened()
		} else {
			opened += t.GetOpened()
		}
	}
	var lines []string
	if opened > 0 {
		lines = append(lines, "breakers opened "+count(opened, "time"))
	}
	if would > 0 {
		lines = append(lines, "breakers of observed targets would have opened "+count(would, "time"))
	}
	return lines
}

func refusals(counts []*pb.RefusalCount) int64 {
	var n int64
	for _, c := range counts {
		n += c.GetCalls()
	}
	return n
}

func saving(t *pb.CallSummary) int64 {
	var micros int64
	for _, c := range t.GetWouldRefuse() {
		micros += c.GetCostMicros()
	}
	return micros
}

// reasons lists what calls were refused for, the most frequent first.
func reasons(counts []*pb.RefusalCount) string {
	sorted := slices.Clone(counts)
	slices.SortStableFunc(sorted, func(a, b *pb.RefusalCount) int { return cmp.Compare(b.GetCalls(), a.GetCalls()) })
	var parts []string
	for _, c := range sorted {
		if c.GetCalls() > 0 {
			parts = append(parts, dash(enum.Word(c.GetReason()))+" "+thousands(c.GetCalls()))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func summaryTable(targets []*pb.CallSummary) *terminal.Table {
	table := terminal.NewTable(terminal.Columns("=TARGET", "RULES", ">ASKED", ">REFUSED", ">WOULD REFUSE", ">EARLY", ">FAILED", ">OPENED", ">SPENT", ">WOULD SAVE", "REASONS")...)
	for _, t := range targets {
		mode := terminal.Cell{Text: "enforced"}
		if t.GetObserved() {
			mode = terminal.Cell{Text: "observed", Style: terminal.Warn}
		}
		all := slices.Concat(t.GetRefused(), t.GetWouldRefuse())
		table.Row(terminal.Cell{Text: t.GetTarget()}, mode,
			terminal.Cell{Text: thousands(t.GetAcquires())}, terminal.Cell{Text: thousands(refusals(t.GetRefused()))},
			terminal.Cell{Text: thousands(refusals(t.GetWouldRefuse()))}, terminal.Cell{Text: thousands(t.GetEarly())},
			terminal.Cell{Text: thousands(t.GetFailures())}, terminal.Cell{Text: thousands(t.GetOpened())},
			terminal.Cell{Text: terminal.Money(t.GetCostMicros(), "")}, terminal.Cell{Text: moneyOrNone(saving(t), "")},
			terminal.Cell{Text: strings.Trim(reasons(all), " ()")})
	}
	return table
}

// otherTargets is the name under which servers sum up what they do not tell
// apart. It cannot be switched on.
const otherTargets = "__other__"

// adviceFor is how many targets are named to be switched on first.
const adviceFor = 3

// switchOn names the observed targets that gain most, in the server's order,
// with the command for each.
func switchOn(targets []*pb.CallSummary) []string {
	var lines []string
	for _, t := range targets {
		if !t.GetObserved() || refusals(t.GetWouldRefuse()) == 0 || t.GetTarget() == otherTargets || len(lines) >= 2+adviceFor {
			continue
		}
		if len(lines) == 0 {
			lines = append(lines, "", "Switch these on first:")
		}
		if terminal.Clean(t.GetTarget()) != t.GetTarget() {
			lines = append(lines, "  "+t.GetTarget()+" (it cannot be copied from here: its name is in -o json)")
			continue
		}
		lines = append(lines, "  resilienced enforce "+quoted(t.GetTarget()))
	}
	return lines
}

// quoted is a word for a POSIX shell, without backslashes.
func quoted(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-/:@%+=,", r)
	}) && text[0] != '-' {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'"'"'`) + "'"
}

func count(n int64, what string) string {
	if n == 1 || what == "more" {
		return thousands(n) + " " + what
	}
	return thousands(n) + " " + what + "s"
}

// thousands writes a count with separators.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(text) - 3; i > first; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
