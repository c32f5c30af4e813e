// SPDX-License-Identifier: Apache-2.0

// Package page writes what was measured as Markdown. It adds no figure of its
// own.
package page

import (
	"fmt"
	"strings"
)

// Page is a document.
type Page struct {
	Title    string
	Lead     []string // paragraphs before the first section
	Sections []Section
}

// Section is a part of a page under a heading.
type Section struct {
	Title  string
	Parts  []Part
	Nested bool // one level deeper
}

// Part is a paragraph, a table or text as it stands; one of them.
type Part struct {
	Text  string
	Table *Table
	Code  string
}

// Table has a head and rows of as many cells.
type Table struct {
	Head []string
	Rows [][]string
}

// Add appends a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// String returns the page as Markdown.
func (p *Page) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", p.Title)
	for _, text := range p.Lead {
		fmt.Fprintf(&b, "\n%s\n", text)
	}
	for _, s := range p.Sections {
		mark := "##"
		if s.Nested {
			mark = "###"
		}
		fmt.Fprintf(&b, "\n%s %s\n", mark, s.Title)
		for _, part := range s.Parts {
			b.WriteString("\n")
			part.write(&b)
		}
	}
	return b.String()
}

func (p Part) write(b *strings.Builder) {
	switch {
	case p.Table != nil:
		p.Table.write(b)
	case p.Code != "":
		fmt.Fprintf(b, "```text\n%s\n```\n", strings.TrimRight(p.Code, "\n"))
	default:
		fmt.Fprintf(b, "%s\n", p.Text)
	}
}

func (t *Table) write(b *strings.Builder) {
	row(b, t.Head)
	for i := range t.Head {
		if i == 0 {
			b.WriteString("|---|")
		} else {
			b.WriteString("---:|")
		}
	}
	b.WriteString("\n")
	for _, cells := range t.Rows {
		row(b, cells)
	}
}

func row(b *strings.Builder, cells []string) {
	b.WriteString("|")
	for _, c := range cells {
		fmt.Fprintf(b, " %s |", strings.ReplaceAll(c, "|", `\|`))
	}
	b.WriteString("\n")
}
