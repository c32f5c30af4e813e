// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Style is how a piece of text stands out where there is colour.
type Style int

// The styles. They help to see and carry nothing that the text does not say.
const (
	Plain Style = iota
	Good
	Warn
	Bad
	Faint
	Strong
)

// sgr is the escape sequence of a style.
func (s Style) sgr() string {
	switch s {
	case Good:
		return "\x1b[32m"
	case Warn:
		return "\x1b[33m"
	case Bad:
		return "\x1b[31m"
	case Faint:
		return "\x1b[2m"
	case Strong:
		return "\x1b[1m"
	case Plain:
	}
	return ""
}

// narrowest is the least width that tables are cut to.
const narrowest = 20

// Screen is where output goes, with what it can do. The zero Screen cannot be
// written to; make one with New. It is not safe for concurrent use.
type Screen struct {
	out    io.Writer
	width  int // 0: not a terminal, or one that does not say
	tty    bool
	smart  bool // knows escape sequences
	colour bool
}

// New looks at what out is. env finds environment variables: NO_COLOR with any
// value, and TERM=dumb, turn colour off.
func New(out io.Writer, env func(string) (string, bool)) *Screen {
	s := &Screen{out: out}
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return s
	}
	s.tty = true
	if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
		s.width = max(width, narrowest)
	}
	kind, known := env("TERM")
	s.smart = known && kind != "" && kind != "dumb"
	unwanted, set := env("NO_COLOR")
	s.colour = s.smart && (!set || unwanted == "")
	return s
}

// Fake is a terminal for tests and for output that is one by other means.
func Fake(out io.Writer, width int, colour bool) *Screen {
	return &Screen{out: out, width: width, tty: true, smart: true, colour: colour}
}

// TTY tells whether a person may be looking.
func (s *Screen) TTY() bool { return s.tty }

// Redraws tells whether the screen can be cleared and written anew.
func (s *Screen) Redraws() bool { return s.tty && s.smart }

// Paint cleans one line of text and gives it a style where there is colour.
func (s *Screen) Paint(style Style, text string) string {
	return s.style(style, Clean(text))
}

func (s *Screen) style(style Style, clean string) string {
	if !s.colour || style == Plain || clean == "" {
		return clean
	}
	return style.sgr() + clean + "\x1b[0m"
}

// Line writes one line, cleaned.
func (s *Screen) Line(text string) error { return s.raw(Clean(text) + "\n") }

// Text writes several lines, cleaned, and ends the last one.
func (s *Screen) Text(text string) error {
	return s.raw(CleanLines(strings.TrimSuffix(text, "\n")) + "\n")
}

// Clear empties the screen where Redraws, and does nothing elsewhere.
func (s *Screen) Clear() error {
	if !s.Redraws() {
		return nil
	}
	return s.raw("\x1b[H\x1b[2J")
}

// Renew writes one line over the one that Renew wrote before, where Redraws; an
// empty one takes that away. Elsewhere it is Line.
func (s *Screen) Renew(text string) error {
	if !s.Redraws() {
		return s.Line(text)
	}
	line := Clean(text)
	if s.width > 0 {
		line = cut(line, s.width-1) // in the last column some terminals go on below
	}
	return s.raw("\r\x1b[K" + line)
}

// Bytes writes what is clean already, such as JSON.
func (s *Screen) Bytes(clean []byte) error { return s.raw(string(clean)) }

func (s *Screen) raw(text string) error {
	_, err := io.WriteString(s.out, text)
	return err
}
