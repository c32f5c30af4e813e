// SPDX-License-Identifier: Apache-2.0

package prices

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/budget"
)

// errUndated is what comes of writing prices that have no day.
var errUndated = errors.New("the price table has no day; give it one with Dated")

// WriteYAML writes the table as the section prices of a policy, its names
// sorted. Read and a policy read it. The table needs a day.
func (t *Table) WriteYAML(w io.Writer) error {
	body, err := t.body("  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append([]byte("prices:\n"), body...))
	return err
}

// body writes the lines of updated and models, indented.
func (t *Table) body(indent string) ([]byte, error) {
	if t.updated.IsZero() {
		return nil, errUndated
	}
	var b bytes.Buffer
	b.WriteString(indent + "updated: " + t.updated.Format(time.DateOnly) + "\n" + indent + "models:")
	if t.Len() == 0 {
		b.WriteString(" {}")
	}
	b.WriteByte('\n')
	for _, name := range t.Names() {
		key, err := plain(name)
		if err != nil {
			return nil, err
		}
		b.WriteString(indent + indent + key + ": {" + Line(t.models[name]) + "}\n")
	}
	return b.Bytes(), nil
}

// plain writes a name as a key, quoted if YAML needs that.
func plain(name string) (string, error) {
	simple := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-", r)
	}
	if strings.IndexFunc(name, func(r rune) bool { return !simple(r) }) < 0 && name != "" && strings.ContainsRune(name, '/') && name[0] != '-' {
		return name, nil
	}
	text, err := yaml.Dump(&yaml.Node{Kind: yaml.ScalarNode, Value: name, Style: yaml.DoubleQuotedStyle}, yaml.WithLineWidth(-1))
	return strings.TrimSpace(string(text)), err
}

// Line writes a price as one would in braces: input: 1000, output: 2000.
func Line(p *budget.Price) string {
	var parts []string
	for _, f := range Schema().Fields {
		if shown := f.Show(p); shown != strict.Unknown {
			parts = append(parts, f.Path+": "+shown)
		}
	}
	return strings.Join(parts, ", ")
}
