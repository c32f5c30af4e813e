// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/process"
)

// page puts everything together.
func (s *Suite) page(ctx context.Context, about about) *page.Page {
	met := 0
	for _, g := range s.goals {
		if g.Met() {
			met++
		}
	}
	facts := &page.Table{Head: []string{"", ""}, Rows: s.where(ctx)}
	for _, f := range about.facts {
		facts.Add(f...)
	}
	facts.Add("command", "`"+about.command+"`")
	facts.Add("other processes", s.others())
	facts.Add("took", time.Since(s.begin).Round(time.Second).String())
	facts.Add("control", s.controlWords())
	facts.Add("void sittings", s.voidWords())
	facts.Add("calls that got no answer in time and were made again", page.Count(float64(s.passed)))
	return &page.Page{
		Title: about.title,
		Lead: append([]string{
			"Written by `" + about.command + "`; change nothing by hand.",
			"Server and load generator are processes of their own on one machine and speak gRPC over loopback TCP. " +
				"Absolute figures drift with the machine, so every goal is a ratio: in each round of a sitting each subject gets a slice of load of " +
				s.cfg.Size.Slice.String() + " right after the other, and the median over the rounds counts (its quartiles in brackets). " +
				"Two of the subjects are the same; a sitting in which they differ by more than a tenth is void and is held again.",
		}, about.lead...),
		Sections: append([]page.Section{
			{Title: "Sitting", Parts: []page.Part{{Table: facts}}},
			{Title: "Goals", Parts: []page.Part{
				{Text: fmt.Sprintf("%d of %d are met.", met, len(s.goals))},
				{Table: page.Goals(s.goals)},
			}},
		}, s.sections...),
	}
}

// where says what was measured, when, and on what.
func (s *Suite) where(ctx context.Context) [][]string {
	return [][]string{
		{"date", time.Now().UTC().Format(time.DateOnly)},
		{"commit", commit(ctx)},
		{"machine", fmt.Sprintf("%d cores, %s, %s/%s, kernel %s", runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH, kernel())},
		{"software", runtime.Version() + ", grpc-go " + grpc.Version},
	}
}

// about is what a page says of itself.
type about struct {
	title, command string
	lead           []string   // further paragraphs
	facts          [][]string // of the sitting
}

// about is asked before the servers end.
func (s *Suite) about() about {
	if s.shared != nil {
		return s.shared.about()
	}
	return about{
		title: "Performance", command: "make bench",
		lead: []string{"What several replicas do on one PostgreSQL is on [a page of its own](PERFORMANCE-POSTGRESQL.md)."},
	}
}

// others says how much of the machine's processors other processes had.
func (s *Suite) others() string {
	busy, ours := process.MachineTime()-s.busy, process.OwnTime()-s.own
	whole := time.Since(s.begin) * time.Duration(runtime.NumCPU())
	if s.busy == 0 || ours == 0 {
		return "not known"
	}
	text := fmt.Sprintf("took %.0f %% of the processors, the benchmark %.0f %%", 100*float64(max(busy-ours, 0))/float64(whole), 100*float64(ours)/float64(whole))
	if nice := process.Niceness(); nice != 0 {
		text += fmt.Sprintf(" (which ran at niceness %d)", nice)
	}
	return text
}

// controlWords says where the controls were.
func (s *Suite) controlWords() string {
	if len(s.controls) == 0 {
		return "none"
	}
	return fmt.Sprintf("%s to %s over %d sittings", page.Ratio(slices.Min(s.controls)), page.Ratio(slices.Max(s.controls)), len(s.controls))
}

// voidWords names the void sittings.
func (s *Suite) voidWords() string {
	if len(s.voids) == 0 {
		return "none"
	}
	words := make([]string, 0, len(s.voids))
	for _, v := range s.voids {
		word := v.Name
		if v.Control > 0 {
			word += " (" + page.Ratio(v.Control) + ")"
		}
		words = append(words, word)
	}
	return strings.Join(words, "; ")
}

// commit names what was measured.
func commit(ctx context.Context) string {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	text := strings.TrimSpace(string(head))
	changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--", ".", ":!docs").Output()
	if err != nil || len(changed) > 0 {
		text += " with changes"
	}
	return text
}

// processor is the processor's name, where the system says it as Linux does.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
