// SPDX-License-Identifier: Apache-2.0

package page_test

import (
	"testing"
	"time"

	"github.com/resilienced/resilienced/bench/page"
)

func TestPage(t *testing.T) {
	table := &page.Table{Head: []string{"what", "how much"}}
	table.Add("a|b", "1")
	p := page.Page{Title: "T", Lead: []string{"L"}, Sections: []page.Section{
		{Title: "S", Parts: []page.Part{{Text: "text"}, {Table: table}}},
		{Title: "N", Nested: true, Parts: []page.Part{{Code: "code\n"}}},
	}}
	const want = "# T\n\nL\n\n## S\n\ntext\n\n| what | how much |\n|---|---:|\n| a\\|b | 1 |\n\n### N\n\n```text\ncode\n```\n"
	if got := p.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestGoal(t *testing.T) {
	cases := []struct {
		goal    page.Goal
		verdict string
		limit   string
	}{
		{page.Goal{Got: 0.9, Want: 0.9}, "met", "≥ 0.90"},
		{page.Goal{Got: 0.89, Want: 0.9}, "**not met**", "≥ 0.90"},
		{page.Goal{Got: 2.5, Want: 2.5, AtMost: true, Unit: " commits"}, "met", "≤ 2.50 commits"},
		{page.Goal{Got: 2.6, Want: 2.5, AtMost: true}, "**not met**", "≤ 2.50"},
		{page.Goal{Got: 5, Want: 1, Void: true}, "void", "≥ 1.00"},
	}
	for _, c := range cases {
		if got := c.goal.Verdict(); got != c.verdict || c.goal.Met() != (c.verdict == "met") {
			t.Errorf("%+v: %s", c.goal, got)
		}
		if got := c.goal.Limit(); got != c.limit {
			t.Errorf("limit %q, want %q", got, c.limit)
		}
	}
}

func TestWords(t *testing.T) {
	for want, got := range map[string]string{
		"0":                page.Count(0),
		"999":              page.Count(999.4),
		"1,000":            page.Count(999.5),
		"1,234,567":        page.Count(1234567),
		"250 µs":           page.Time(float64(250 * time.Microsecond)),
		"2.50 ms":          page.Time(float64(2500 * time.Microsecond)),
		"25.0 ms":          page.Time(float64(25 * time.Millisecond)),
		"250 ms":           page.Time(float64(250 * time.Millisecond)),
		"2.50 s":           page.Time(float64(2500 * time.Millisecond)),
		"0.97":             page.Ratio(0.9749),
		"0.97 (0.90–1.02)": page.Range(0.9, 0.97, 1.02),
		"12.3":             page.Plain(12.34),
		"1,234":            page.Plain(1234),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
