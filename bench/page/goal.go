// SPDX-License-Identifier: Apache-2.0

package page

// Goal is a figure that is held against a limit.
type Goal struct {
	What string // is measured
	Unit string // of the figure, if it has one
	Got  float64
	Want float64
	// AtMost says that Want is the largest good figure, not the smallest.
	AtMost bool
	// Void says that the control was out of bounds in every attempt.
	Void bool
}

// Met reports whether the goal is reached.
func (g Goal) Met() bool {
	if g.Void {
		return false
	}
	if g.AtMost {
		return g.Got <= g.Want
	}
	return g.Got >= g.Want
}

// Verdict is met, not met or void.
func (g Goal) Verdict() string {
	switch {
	case g.Void:
		return "void"
	case g.Met():
		return "met"
	default:
		return "**not met**"
	}
}

// Limit writes what is wanted.
func (g Goal) Limit() string {
	if g.AtMost {
		return "≤ " + Plain(g.Want) + g.Unit
	}
	return "≥ " + Plain(g.Want) + g.Unit
}

// Goals is a table of goals.
func Goals(goals []Goal) *Table {
	t := &Table{Head: []string{"what", "goal", "measured", ""}}
	for _, g := range goals {
		t.Add(g.What, g.Limit(), Plain(g.Got)+g.Unit, g.Verdict())
	}
	return t
}
