// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// Clean returns text that shows as what it is on one line: every rune that is
// not a letter, mark, number, sign or plain space is written as an escape of
// Go (\n, \x1b, \u202e), and so is every byte that is not UTF-8. A backslash is
// doubled, so that different texts stay different.
func Clean(text string) string { return clean(text, false) }

// CleanLines is Clean for text of several lines: its line feeds stay.
func CleanLines(text string) string { return clean(text, true) }

func clean(text string, lines bool) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !plain(r, lines) }) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case plain(r, lines):
			b.WriteString(text[i : i+size])
		default:
			b.WriteString(escape(r))
		}
		i += size
	}
	return b.String()
}

// plain tells whether a rune may be written as it is. U+FFFD stands for bytes
// that are no UTF-8 as well, so it is looked at twice.
func plain(r rune, lines bool) bool {
	return unicode.IsPrint(r) && r != '\\' && r != utf8.RuneError || lines && (r == '\n' || r == '\\')
}

func escape(r rune) string {
	switch {
	case r == '\\':
		return `\\`
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < utf8.RuneSelf:
		return fmt.Sprintf(`\x%02x`, r)
	case r > 0xffff:
		return fmt.Sprintf(`\U%08x`, r)
	default:
		return fmt.Sprintf(`\u%04x`, r)
	}
}

// Width is how many columns clean text takes on a terminal.
func Width(text string) int { return columns().StringWidth(text) }

// columns counts the same in every locale.
func columns() *runewidth.Condition {
	return &runewidth.Condition{EastAsianWidth: false, StrictEmojiNeutral: true}
}

// cut shortens clean text to a width, with an ellipsis where it was cut.
func cut(text string, width int) string {
	if Width(text) <= width {
		return text
	}
	return columns().Truncate(text, width, "…")
}
