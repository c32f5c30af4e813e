// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bytes"
	"strings"
	"testing"
)

func noEnv(string) (string, bool) { return "", false }

func TestTable(t *testing.T) {
	table := NewTable(Columns("=TARGET", "STATE", ">SPENT", "REASON")...)
	table.Text("openai/gpt-x", "CLOSED", "$1.00", "")
	table.Text("大きい", "OPEN", "$12.34", "down since\nnoon and for a good while yet")
	table.Row(Cell{"e\u0301", Plain}, Cell{"FORCED_OPEN", Bad})

	var piped bytes.Buffer
	if err := table.Write(New(&piped, noEnv)); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"TARGET        STATE         SPENT  REASON",
		"openai/gpt-x  CLOSED        $1.00",
		`大きい        OPEN         $12.34  down since\nnoon and for a good while yet`,
		"e\u0301             FORCED_OPEN",
		"",
	}, "\n")
	if piped.String() != want {
		t.Errorf("piped:\n%s\nwant:\n%s", piped.String(), want)
	}

	var narrow bytes.Buffer
	if err := table.Write(Fake(&narrow, 50, false)); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(narrow.String()) {
		if w := Width(strings.TrimSuffix(line, "\n")); w > 50 {
			t.Errorf("%q takes %d columns", line, w)
		}
	}
	if !strings.Contains(narrow.String(), "openai/gpt-x") || !strings.Contains(narrow.String(), "…") {
		t.Errorf("cut wrongly:\n%s", narrow.String())
	}
}

func TestColourOnlyWhereThereIsSome(t *testing.T) {
	var out bytes.Buffer
	for screen, want := range map[*Screen]string{
		New(&out, noEnv):      `\x1b`,
		Fake(&out, 80, false): `\x1b`,
		Fake(&out, 80, true):  "\x1b[31m" + `\x1b` + "\x1b[0m",
	} {
		if got := screen.Paint(Bad, "\x1b"); got != want {
			t.Errorf("painted %q, want %q", got, want)
		}
	}
	if s := New(&out, noEnv); s.TTY() || s.Redraws() || s.Clear() != nil || out.Len() != 0 {
		t.Errorf("a buffer is no terminal: %q", out.String())
	}
}

func TestHeadlessTable(t *testing.T) {
	var out bytes.Buffer
	table := NewTable(Columns("", "")...)
	table.Text("id", "x")
	table.Text("longer", "y", "dropped")
	if err := table.Write(New(&out, noEnv)); err != nil || out.String() != "id      x\nlonger  y\n" || table.Len() != 2 {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestRaggedColumn(t *testing.T) {
	var out bytes.Buffer
	table := NewTable(Columns("A", "~B", "C")...)
	table.Text("a", "short", "c")
	table.Text("a", strings.Repeat("long", 10), "c")
	if err := table.Write(New(&out, noEnv)); err != nil || out.String() != "A  B      C\na  short  c\na  "+strings.Repeat("long", 10)+"  c\n" {
		t.Errorf("%v\n%s", err, out.String())
	}
}
