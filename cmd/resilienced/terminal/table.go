// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"slices"
	"strings"
)

// Column heads one column of a Table.
type Column struct {
	// Name is its heading, in capitals.
	Name string
	// Right aligns numbers.
	Right bool
	// Keep is never cut; ids that are to be copied must be whole.
	Keep bool
	// Ragged lets a few long cells stick out, and not widen the column for all.
	Ragged bool
}

// Columns makes left-aligned columns; a name that begins with ">" is aligned
// right, one that begins with "=" is never cut, one with "~" is ragged.
func Columns(names ...string) []Column {
	all := make([]Column, 0, len(names))
	for _, name := range names {
		c := Column{Name: strings.TrimLeft(name, ">=~")}
		c.Right, c.Keep, c.Ragged = strings.HasPrefix(name, ">"), strings.HasPrefix(name, "="), strings.HasPrefix(name, "~")
		all = append(all, c)
	}
	return all
}

// Cell is one field of a table. Its text is cleaned when it is written.
type Cell struct {
	Text  string
	Style Style
}

// Table is aligned by the width that its text has on a terminal.
type Table struct {
	columns []Column
	rows    [][]Cell
}

// NewTable returns an empty table.
func NewTable(columns ...Column) *Table { return &Table{columns: columns} }

// Text adds a row of plain cells. Missing cells are empty.
func (t *Table) Text(cells ...string) {
	row := make([]Cell, 0, len(cells))
	for _, text := range cells {
		row = append(row, Cell{Text: text})
	}
	t.Row(row...)
}

// Row adds a row. Cells beyond the columns are dropped.
func (t *Table) Row(cells ...Cell) {
	row := make([]Cell, len(t.columns))
	copy(row, cells)
	t.rows = append(t.rows, row)
}

// Len is how many rows there are.
func (t *Table) Len() int { return len(t.rows) }

// gap separates columns.
const gap = "  "

// Write writes the table with its heading. On a terminal that says how wide it
// is, the widest columns that may be cut are cut until the table fits.
func (t *Table) Write(s *Screen) error {
	lines := make([][]Cell, 0, len(t.rows)+1)
	head := make([]Cell, len(t.columns))
	named := false
	for i, c := range t.columns {
		head[i] = Cell{c.Name, Faint}
		named = named || c.Name != ""
	}
	if named {
		lines = append(lines, head)
	}
	for _, row := range t.rows {
		cleaned := slices.Clone(row)
		for i := range cleaned {
			cleaned[i].Text = Clean(cleaned[i].Text)
		}
		lines = append(lines, cleaned)
	}
	widths := t.widths(lines, s.width)
	var b strings.Builder
	for _, line := range lines {
		t.line(&b, s, line, widths)
	}
	return s.raw(b.String())
}

// widths measures the columns and, with a limit, cuts the widest.
func (t *Table) widths(lines [][]Cell, limit int) []int {
	widths := make([]int, len(t.columns))
	for _, line := range lines {
		for i, cell := range line {
			if w := Width(cell.Text); !t.columns[i].Ragged || w <= widestRagged || limit > 0 {
				widths[i] = max(widths[i], w)
			}
		}
	}
	total := len(gap) * max(len(widths)-1, 0)
	for _, w := range widths {
		total += w
	}
	for limit > 0 && total > limit {
		widest := -1
		for i, c := range t.columns {
			if !c.Keep && widths[i] > leastColumn && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		total--
	}
	return widths
}

// widestRagged is the width up to which cells widen a ragged column.
const widestRagged = 32

// leastColumn is the width below which a column is not cut.
const leastColumn = 8

func (t *Table) line(b *strings.Builder, s *Screen, cells []Cell, widths []int) {
	last := len(cells) - 1
	for last > 0 && cells[last].Text == "" {
		last--
	}
	for i, cell := range cells[:last+1] {
		if i > 0 {
			b.WriteString(gap)
		}
		text := cell.Text
		if s.width > 0 {
			text = cut(text, widths[i])
		}
		pad := strings.Repeat(" ", max(widths[i]-Width(text), 0))
		if t.columns[i].Right {
			b.WriteString(pad)
		}
		b.WriteString(s.style(cell.Style, text))
		if !t.columns[i].Right && i < last {
			b.WriteString(pad)
		}
	}
	b.WriteByte('\n')
}
