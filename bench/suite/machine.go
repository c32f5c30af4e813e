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
func (s *Suite) page(ctx context.Context) *page.Page {
	met := 0
	for _, g := range s.goals {
		if g.Met() {
			met++
		}
	}
	facts := &page.Table{Head: []string{"", ""}}
	facts.Add("date", time.Now().UTC().Format(time.DateOnly))
	facts.Add("commit", commit(ctx))
	facts.Add("machine", fmt.Sprintf("%d cores, %s, %s/%s, kernel %s", runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH, kernel()))
	facts.Add("software", runtime.Version()+", grpc-go "+grpc.Version)
	facts.Add("command", "`make bench`")
	facts.Add("other processes", s.others())
	facts.Add("took", time.Since(s.begin).Round(time.Second).String())
	facts.Add("control", s.controlWords())
	facts.Add("void sittings", s.voidWords())
	return &page.Page{
		Title: "Performance",
		Lead: []string{
			"Written by `make bench`; change nothing by hand.",
			"Server and load generator are processes of their own on one machine and speak gRPC over loopback TCP. " +
				"Absolute figures drift with the machine, so every goal is a ratio: in each round of a sitting each subject gets a slice of load of " +
				s.cfg.Size.Slice.String() + " right after the other, and the median over the rounds counts (its quartiles in brackets). " +
				"Two of the subjects are the same; a sitting in which they differ by more than a tenth is void and is held again.",
		},
		Sections: append([]page.Section{
			{Title: "Sitting", Parts: []page.Part{{Table: facts}}},
			{Title: "Goals", Parts: []page.Part{
				{Text: fmt.Sprintf("%d of %d are met.", met, len(s.goals))},
				{Table: page.Goals(s.goals)},
			}},
		}, s.sections...),
	}
}

// others says how much of the machine's processors other processes had.
func (s *Suite) others() string {
	busy, ours := process.MachineTime()-s.busy, process.OwnTime()
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
		words = append(words, fmt.Sprintf("%s (%s)", v.Name, page.Ratio(v.Control)))
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
