// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"openai/gpt-x", "openai/gpt-x"},
		{"größe 大きい 🙂", "größe 大きい 🙂"},
		{"a\nb\tc\r", `a\nb\tc\r`},
		{"\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		{"\x1b]0;title\x07", `\x1b]0;title\x07`},
		{"\u009b31m", `\u009b31m`},       // CSI of eight bits
		{"abc\u202edcb", `abc\u202edcb`}, // reorders
		{"a\u2066b\u2069", `a\u2066b\u2069`},
		{"pay\u200bment", `pay\u200bment`}, // does not show
		{"a\u00a0b", `a\u00a0b`},
		{"tag\U000e0041", `tag\U000e0041`},
		{"bad\xff\xfe", `bad\xff\xfe`},
		{"\ufffd", `\ufffd`},
		{`C:\x1b`, `C:\\x1b`},
		{"", ""},
	} {
		if got := Clean(c.text); got != c.want {
			t.Errorf("Clean(%q) = %s, want %s", c.text, got, c.want)
		}
	}
	if got := CleanLines("a\n\x1bb\\c\r\n"); got != "a\n\\x1bb\\c\\r\n" {
		t.Errorf("lines: %q", got)
	}
}

// hostile draws bytes of any kind, with what terminals act upon among them.
func hostile(t *rapid.T, label string) string {
	parts := rapid.SliceOfN(rapid.OneOf(
		rapid.SampledFrom([]string{
			"\x1b[2J", "\x1b]8;;http://x\x07", "\u202e", "\u2067", "\u200f", "\u0085", "\u009b", "\x7f", "\xc3", "\xff",
			"\n", "\r", "\t", "\\", "\\x1b", "大", "e\u0301", "🙂", "\u00ad", "\ufeff", "\u2028", "a", " ",
		}),
		rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 5), func(b []byte) string { return string(b) }),
	), 0, 8).Draw(t, label)
	return strings.Join(parts, "")
}

func harmless(t *rapid.T, text string, lines bool) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Fatalf("%q is not UTF-8", text)
	}
	for _, r := range text {
		if !unicode.IsPrint(r) && (r != '\n' || !lines) {
			t.Fatalf("%q got out in %q", r, text)
		}
	}
}

func TestNothingHarmfulGetsOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := hostile(t, "a"), hostile(t, "b")
		harmless(t, Clean(a), false)
		harmless(t, CleanLines(a), true)
		if a != b && Clean(a) == Clean(b) {
			t.Fatalf("%q and %q look the same: %s", a, b, Clean(a))
		}
		if strings.Count(CleanLines(a), "\n") != strings.Count(a, "\n") {
			t.Fatalf("%q lost a line", a)
		}
	})
}

func TestTableNeverLetsAnythingOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		width := rapid.IntRange(24, 60).Draw(t, "width")
		onTTY := rapid.Bool().Draw(t, "tty")
		screen := New(&out, os.LookupEnv)
		if onTTY {
			screen = Fake(&out, width, false)
		}
		table := NewTable(Columns("NAME", ">N", "REASON")...)
		rows := rapid.IntRange(0, 4).Draw(t, "rows")
		for i := range rows {
			table.Text(hostile(t, "name"), strings.Repeat("9", i), hostile(t, "reason"))
		}
		if err := table.Write(screen); err != nil {
			t.Fatal(err)
		}
		harmless(t, out.String(), true)
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != rows+1 {
			t.Fatalf("%d rows made %d lines:\n%s", rows, len(lines), out.String())
		}
		for _, line := range lines {
			if onTTY && Width(line) > width {
				t.Fatalf("%q takes %d columns of %d", line, Width(line), width)
			}
		}
	})
}

// FuzzClean is for the fuzzer; the seeds run as a test.
func FuzzClean(f *testing.F) {
	for _, seed := range []string{"a", "\x1b[31m", "\u202e", "\xff", `\`, "e\u0301大"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Clean(text)
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(got) {
			t.Errorf("Clean(%q) = %q", text, got)
		}
	})
}
