// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxProblems is how many problems one Parse reports.
const maxProblems = 50

// Problem is one thing that is wrong with a policy, and where.
type Problem struct {
	File   string
	Line   int    // from 1
	Column int    // from 1, in characters
	Path   string // such as targets[2].retry.max_attempts; empty for the whole file
	Text   string // what is wrong and what to do about it
}

// String returns the problem on one line, in the form that editors can jump to.
func (p Problem) String() string {
	where := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path != "" {
		where += p.Path + ": "
	}
	return where + p.Text
}

// ParseError is what Parse returns for a policy that is not valid: all that is
// wrong with it, in the order of the file.
type ParseError struct {
	Problems []Problem // at least 1, at most 50
	More     bool      // there were more
}

// Error lists the problems, one a line.
func (e *ParseError) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	if e.More {
		fmt.Fprintf(&b, "\nand more: only the first %d problems are listed", len(e.Problems))
	}
	return b.String()
}

// position is a place in a file. The zero position is none.
type position struct{ line, column int }

func at(n *yaml.Node) position { return position{n.Line, n.Column} }

// decoder collects what is wrong with one file while it is read.
type decoder struct {
	file     string
	problems []Problem
	seen     map[Problem]bool
	more     bool
}

func newDecoder(file string) *decoder {
	return &decoder{file: file, seen: make(map[Problem]bool)}
}

// fail notes a problem. The same problem in the same place is noted once.
func (d *decoder) fail(pos position, path, format string, args ...any) {
	if d.full() {
		return
	}
	p := Problem{
		File: d.file, Line: max(pos.line, 1), Column: max(pos.column, 1),
		Path: path, Text: fmt.Sprintf(format, args...),
	}
	if d.seen[p] {
		return
	}
	d.seen[p] = true
	d.problems = append(d.problems, p)
}

// full notes that there is another problem and tells whether there are too
// many to list it. It saves the work of describing what nobody reads.
func (d *decoder) full() bool {
	d.more = d.more || len(d.problems) == maxProblems
	return d.more
}

// err returns what was noted as an error, nil if nothing was.
func (d *decoder) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &ParseError{Problems: d.problems, More: d.more}
}
