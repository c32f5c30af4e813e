// SPDX-License-Identifier: Apache-2.0

package page

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// Plot is lines over a number that doubles from mark to mark, such as callers.
type Plot struct {
	Title string
	X, Y  string // what the axes count
	// Write writes a figure of the y axis; nil: Plain.
	Write func(float64) string
	Lines []Line
}

// Line is figures of one thing. Dashed is for what was not measured.
type Line struct {
	Name   string
	X, Y   []float64
	Dashed bool
	Color  int // which of the colours; lines that belong together share one
}

// The picture's measures.
const (
	plotWidth, plotHeight              = 760.0, 420.0
	plotLeft, plotTop, plotRight, foot = 90.0, 50.0, 230.0, 60.0
)

// SVG returns the picture. It is drawn on white, so that it reads in the dark.
func (p *Plot) SVG() string {
	low, high, top := p.bounds()
	write := p.Write
	if write == nil {
		write = Plain
	}
	x := func(v float64) float64 {
		if high == low {
			return plotLeft
		}
		return plotLeft + (math.Log2(v)-math.Log2(low))/(math.Log2(high)-math.Log2(low))*(plotWidth-plotLeft-plotRight)
	}
	y := func(v float64) float64 { return plotHeight - foot - v/top*(plotHeight-plotTop-foot) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="Helvetica, Arial, sans-serif" font-size="13" role="img" aria-label="%s">`+"\n", plotWidth, plotHeight, escape(p.Title))
	fmt.Fprintf(&b, `  <rect width="%g" height="%g" fill="#ffffff"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `  <text x="%g" y="28" font-weight="bold" fill="#1c2b45">%s</text>`+"\n", plotLeft, escape(p.Title))
	const marks = 4
	for i := range marks + 1 {
		v := top * float64(i) / marks
		fmt.Fprintf(&b, `  <path d="M%.1f,%.1f H%.1f" stroke="#dddddd"/><text x="%.1f" y="%.1f" text-anchor="end" fill="#333">%s</text>`+"\n",
			plotLeft, y(v), plotWidth-plotRight, plotLeft-8, y(v)+4, escape(write(v)))
	}
	for _, v := range p.marks() {
		fmt.Fprintf(&b, `  <text x="%.1f" y="%.1f" text-anchor="middle" fill="#333">%s</text>`+"\n", x(v), plotHeight-foot+20, Count(v))
	}
	fmt.Fprintf(&b, `  <text x="%.1f" y="%.1f" text-anchor="middle" fill="#333">%s</text>`+"\n", (plotLeft+plotWidth-plotRight)/2, plotHeight-14, escape(p.X))
	fmt.Fprintf(&b, `  <text x="%.1f" y="44" text-anchor="end" fill="#333" font-size="11">%s</text>`+"\n", plotLeft-8, escape(p.Y))
	for i, line := range p.Lines {
		line.draw(&b, i, x, y)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (l *Line) draw(b *strings.Builder, i int, x, y func(float64) float64) {
	colors := []string{"#1f5fa8", "#c1621b", "#3f8f4f", "#8a4fa3"}
	color, dash := colors[l.Color%len(colors)], ""
	if l.Dashed {
		dash = ` stroke-dasharray="6 4"`
	}
	var path strings.Builder
	for j := range l.X {
		step := "L"
		if j == 0 {
			step = "M"
		}
		fmt.Fprintf(&path, "%s%.1f,%.1f ", step, x(l.X[j]), y(l.Y[j]))
		if !l.Dashed {
			fmt.Fprintf(b, `  <circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x(l.X[j]), y(l.Y[j]), color)
		}
	}
	fmt.Fprintf(b, `  <path d="%s" fill="none" stroke="%s" stroke-width="2"%s/>`+"\n", strings.TrimSpace(path.String()), color, dash)
	const between, keyLength = 22.0, 26.0
	left, top := plotWidth-plotRight+16, plotTop+between*float64(i)
	fmt.Fprintf(b, `  <path d="M%.1f,%.1f h%.1f" stroke="%s" stroke-width="2"%s/><text x="%.1f" y="%.1f" fill="#333">%s</text>`+"\n",
		left, top, keyLength, color, dash, left+keyLength+6, top+4, escape(l.Name))
}

// bounds are the ends of the x axis and a round number above all figures.
func (p *Plot) bounds() (low, high, top float64) {
	low, high = math.Inf(1), 0
	for _, l := range p.Lines {
		for i := range l.X {
			low, high, top = min(low, l.X[i]), max(high, l.X[i]), max(top, l.Y[i])
		}
	}
	if high == 0 || top == 0 {
		return 1, 2, 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(top)))
	return low, high, math.Ceil(top/unit*2) / 2 * unit
}

// marks are the places of the x axis at which there are figures.
func (p *Plot) marks() []float64 {
	seen := map[float64]bool{}
	var all []float64
	for _, l := range p.Lines {
		for _, v := range l.X {
			if !seen[v] {
				seen[v] = true
				all = append(all, v)
			}
		}
	}
	return all
}

func escape(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		return "" // a strings.Builder takes everything
	}
	return b.String()
}
