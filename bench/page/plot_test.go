// SPDX-License-Identifier: Apache-2.0

package page_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/resilienced/resilienced/bench/page"
)

func TestPlot(t *testing.T) {
	for _, p := range []page.Plot{
		{Title: "empty"},
		{Title: "one", Lines: []page.Line{{Name: "a < b", X: []float64{4}, Y: []float64{2}}}},
		{Title: "A & B", X: "callers", Y: "commands/s", Lines: []page.Line{
			{Name: "measured", X: []float64{1, 16, 256}, Y: []float64{10, 80, 97}},
			{Name: "simulated", X: []float64{1, 16, 256}, Y: []float64{11, 70, 99}, Dashed: true},
		}},
	} {
		svg := p.SVG()
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v in\n%s", p.Title, err, svg)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s: a place that is none:\n%s", p.Title, svg)
		}
		if got, want := strings.Count(svg, `fill="none"`), len(p.Lines); got != want {
			t.Errorf("%s: %d lines, want %d", p.Title, got, want)
		}
	}
}

func TestSplice(t *testing.T) {
	one := &page.Table{Head: []string{"a"}, Rows: [][]string{{"1"}}}
	text := "before\n\n<!-- bench: one -->\nold\n<!-- bench: end -->\n\nafter\n"
	const want = "before\n\n<!-- bench: one -->\n\n| a |\n|---|\n| 1 |\n\n<!-- bench: end -->\n\nafter\n"
	got, err := page.Splice(text, map[string]*page.Table{"one": one})
	if err != nil || got != want {
		t.Fatalf("%v\n%s", err, got)
	}
	if again, err := page.Splice(got, map[string]*page.Table{"one": one}); err != nil || again != got {
		t.Errorf("a second time gives %v\n%s", err, again)
	}
	names, err := page.Marks(got)
	if err != nil || len(names) != 1 || names[0] != "one" {
		t.Errorf("marks %q, %v", names, err)
	}
	for want, c := range map[string]struct {
		text   string
		tables map[string]*page.Table
	}{
		"no marks for one":    {"nothing", map[string]*page.Table{"one": one}},
		"not measured":        {text, nil},
		"has no end":          {"<!-- bench: one -->\n", nil},
		`"a" has no end`:      {"<!-- bench: a -->\n<!-- bench: b -->\n<!-- bench: end -->", nil},
		"not of the form":     {"<!-- bench: end -->\n", nil},
		`marks for "one" twi`: {text + text, map[string]*page.Table{"one": one}},
	} {
		if _, err := page.Splice(c.text, c.tables); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
