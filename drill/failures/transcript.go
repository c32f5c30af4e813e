// SPDX-License-Identifier: Apache-2.0

package failures

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Transcript is what was played, in order.
type Transcript struct {
	Subject string  `json:"subject"`
	Scenes  []Scene `json:"scenes"`
}

// Scene is one kind of failure.
type Scene struct {
	Kind  string `json:"kind"`
	Story string `json:"story"`
	// Lines are what happened, in order of the drill's time.
	Lines []Line `json:"lines"`
	// Fired are the patterns that answered, in the order in which they first
	// did.
	Fired []Fired `json:"fired"`
	// Missing says why the kind could not be played; empty: it was.
	Missing string `json:"missing,omitempty"`
	// Remarks are what a reviewer should know, such as a rule that is off.
	Remarks []string `json:"remarks,omitempty"`
}

// Line is one step.
type Line struct {
	At     time.Duration `json:"at_ns"` // since the scene began
	Who    string        `json:"who"`   // the operation, or empty for the clock and the target
	What   string        `json:"what"`
	Answer string        `json:"answer,omitempty"`
}

// Fired is a pattern and when it first fired.
type Fired struct {
	Pattern string        `json:"pattern"`
	At      time.Duration `json:"at_ns"`
}

// Unanswered are the kinds that were played and that no pattern answered.
func (t *Transcript) Unanswered() []string {
	var kinds []string
	for i := range t.Scenes {
		if s := &t.Scenes[i]; s.Missing == "" && len(s.Fired) == 0 {
			kinds = append(kinds, s.Kind)
		}
	}
	return kinds
}

// fire notes a pattern; only its first time counts.
func (s *Scene) fire(pattern string, at time.Duration) {
	if !slices.ContainsFunc(s.Fired, func(f Fired) bool { return f.Pattern == pattern }) {
		s.Fired = append(s.Fired, Fired{pattern, at})
	}
}

// remark notes something once.
func (s *Scene) remark(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(s.Remarks, text) {
		s.Remarks = append(s.Remarks, text)
	}
}

// WriteText writes the transcript for people. The same policy gives the same
// text, so that it can be kept beside the policy and compared.
func (t *Transcript) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "The six kinds of failure, played against %s.\n", t.Subject)
	b.WriteString("Times are the drill's. Jitter, the margin after a Retry-After and the slow start are off.\n")
	for i := range t.Scenes {
		t.Scenes[i].write(&b)
	}
	b.WriteString("\nwhat answered each kind, and when first:\n")
	for i := range t.Scenes {
		t.Scenes[i].summarise(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Scene) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s: %s\n", s.Kind, s.Story)
	who, what := 0, 0
	for _, l := range s.Lines {
		who, what = max(who, utf8.RuneCountInString(l.Who)), max(what, utf8.RuneCountInString(l.What))
	}
	for _, l := range s.Lines {
		line := fmt.Sprintf("  %9s  %-*s  %-*s  %s", offset(l.At), who, l.Who, what, l.What, l.Answer)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	for _, r := range s.Remarks {
		b.WriteString("  note: " + r + "\n")
	}
	if s.Missing != "" {
		b.WriteString("  not played: " + s.Missing + "\n")
	}
}

func (s *Scene) summarise(b *strings.Builder) {
	switch {
	case s.Missing != "":
		fmt.Fprintf(b, "  %s: not played: %s\n", s.Kind, s.Missing)
		return
	case len(s.Fired) == 0:
		fmt.Fprintf(b, "  %s: NOTHING FIRED\n", s.Kind)
		return
	}
	fmt.Fprintf(b, "  %s\n", s.Kind)
	for _, f := range s.Fired {
		fmt.Fprintf(b, "  %9s  %s\n", offset(f.At), f.Pattern)
	}
}

// offset writes a time since the beginning.
func offset(d time.Duration) string { return "+" + d.Round(time.Millisecond).String() }
