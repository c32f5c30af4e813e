// SPDX-License-Identifier: Apache-2.0

package resilienced_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var messageField = regexp.MustCompile(`^ {2,4}(optional |repeated )?([A-Za-z0-9_.]+|map<[a-z0-9, ]+>) ([a-z0-9_]+) = \d+( \[.*\])?;$`)

// fields writes a table of a message's fields with their comments.
func fields(t *testing.T, b *strings.Builder, file, message string) {
	t.Helper()
	text, err := os.ReadFile("proto/resilience/v1/" + file)
	if err != nil {
		t.Fatal(err)
	}
	before, body, found := strings.Cut(string(text), "\nmessage "+message+" {\n")
	if !found {
		t.Fatalf("%s has no message %s", file, message)
	}
	body, _, _ = strings.Cut(body, "\n}")
	lead := before[strings.LastIndex(before, "\n\n")+2:]
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n| field | type | it says |\n|---|---|---|\n", message,
		strings.ReplaceAll(strings.TrimPrefix(lead, "// "), "\n// ", " "))
	var comment []string
	n := 0
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\n")
		if says, ok := strings.CutPrefix(strings.TrimLeft(line, " "), "// "); ok {
			comment = append(comment, says)
			continue
		}
		if m := messageField.FindStringSubmatch(line); m != nil {
			n++
			kind := strings.TrimPrefix(m[2], "google.protobuf.")
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", m[3], strings.TrimSpace(m[1]+kind), strings.ReplaceAll(strings.Join(comment, " "), "|", `\|`))
		}
		comment = nil
	}
	if n == 0 {
		t.Fatalf("%s: message %s has no fields", file, message)
	}
}

// TestProtocolPage keeps the tables at the end of docs/protocol.md as the
// contract has them.
func TestProtocolPage(t *testing.T) {
	const file, mark = "docs/protocol.md", "<!-- generated: make docs -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(text), mark)
	if !found {
		t.Fatalf("%s has no line %s", file, mark)
	}
	var b strings.Builder
	b.WriteString(head + mark)
	for _, of := range []struct{ file, message string }{
		{"permit_service.proto", "AcquireRequest"},
		{"permit_service.proto", "Estimate"},
		{"permit_service.proto", "AcquireResponse"},
		{"permit_service.proto", "Permit"},
		{"directive.proto", "NextLevel"},
		{"directive.proto", "SkippedLevel"},
		{"directive.proto", "WouldDecision"},
		{"permit_service.proto", "ReportRequest"},
		{"signal.proto", "Signal"},
		{"signal.proto", "Quality"},
		{"signal.proto", "Usage"},
		{"dead_letter.proto", "DeadLetterEnvelope"},
		{"permit_service.proto", "ReportResponse"},
		{"permit_service.proto", "WouldDirective"},
		{"permit_service.proto", "BreakerView"},
		{"permit_service.proto", "AllowancesLeft"},
		{"permit_service.proto", "HeartbeatRequest"},
		{"permit_service.proto", "HeartbeatResponse"},
		{"permit_service.proto", "ReleaseRequest"},
		{"permit_service.proto", "ReleaseResponse"},
		{"run_service.proto", "StartRunRequest"},
		{"run.proto", "Caps"},
		{"run.proto", "Amounts"},
		{"run.proto", "RunSummary"},
	} {
		fields(t, &b, of.file, of.message)
	}
	generated(t, file, b.String())
}
