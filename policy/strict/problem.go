// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// MaxProblems is how many problems are reported of one file.
const MaxProblems = 50

// Problem is one thing that is wrong with a file, and where.
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

// Error is what is returned for a file that is not valid: all that is
// wrong with it, in the order of the file.
type Error struct {
	Problems []Problem // at least 1, at most 50
	More     bool      // there were more
}

// Error lists the problems, one a line.
func (e *Error) Error() string {
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

// Position is a place in a file. The zero position is none.
type Position struct{ Line, Column int }

// At is where a node begins.
func At(n *yaml.Node) Position { return Position{n.Line, n.Column} }

// Decoder collects what is wrong with one file while it is read.
//
// The zero Decoder is not valid: make it with NewDecoder.
type Decoder struct {
	file     string
	kind     Kind
	problems []Problem
	seen     map[Problem]bool
	more     bool
}

// Kind is the kind of file that is read, for the sentences about all of it.
type Kind struct {
	Name  string // such as policy
	Begin string // what it begins with, such as version: 1
	Fewer string // what to do if it is too large
}

// NewDecoder returns a Decoder for one file.
func NewDecoder(file string, kind Kind) *Decoder {
	return &Decoder{file: file, kind: kind, seen: make(map[Problem]bool)}
}

// Count is how many problems were noted.
func (d *Decoder) Count() int { return len(d.problems) }

// TooMany tells whether there are more problems than are listed, so that it is
// not worth going on.
func (d *Decoder) TooMany() bool { return d.more }

// Fail notes a problem. The same problem in the same place is noted once.
func (d *Decoder) Fail(pos Position, path, format string, args ...any) {
	if d.full() {
		return
	}
	p := Problem{
		File: d.file, Line: max(pos.Line, 1), Column: max(pos.Column, 1),
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
func (d *Decoder) full() bool {
	d.more = d.more || len(d.problems) == MaxProblems
	return d.more
}

// Err returns what was noted as an error, nil if nothing was.
func (d *Decoder) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &Error{Problems: d.problems, More: d.more}
}

// Compare orders problems by where they are, and then by what they are about.
func (p Problem) Compare(other Problem) int {
	return cmp.Or(
		cmp.Compare(p.Line, other.Line), cmp.Compare(p.Column, other.Column),
		cmp.Compare(p.Path, other.Path), cmp.Compare(p.Text, other.Text),
	)
}
