// SPDX-License-Identifier: Apache-2.0

// Package encode writes the API's messages for programs: as JSON and YAML that
// do not change from call to call, with the names of the .proto files.
//
// The form is that of protobuf's JSON: numbers of 64 bits are strings, times
// are RFC 3339, durations are seconds with an "s", enums are their full names.
// Fields without a value are written, but for those where absence means
// something. Whatever a terminal might take for a command, or for a mark that
// reorders text, is written as an escape; the value is the same.
package encode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// JSON returns a message as indented JSON with a line feed at the end.
func JSON(m proto.Message) ([]byte, error) {
	line, err := compact(m)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, line, "", "  "); err != nil {
		return nil, fmt.Errorf("indent JSON: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// Line returns a message as JSON on one line, for streams of them.
func Line(m proto.Message) ([]byte, error) {
	line, err := compact(m)
	if err != nil {
		return nil, err
	}
	return append(line, '\n'), nil
}

// YAML returns a message as one YAML document, with the fields of JSON in
// their order.
func YAML(m proto.Message) ([]byte, error) {
	line, err := compact(m)
	if err != nil {
		return nil, err
	}
	return FromJSON(line)
}

// compact returns a message as JSON on one line. What protojson writes varies
// in its white space on purpose; this does not.
func compact(m proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return escape(out.Bytes(), surrogates), nil
}

// Plain returns a value of Go's encoding/json as indented JSON.
func Plain(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return escape(out.Bytes(), surrogates), nil
}

// hidden tells whether a rune does something to a terminal, or does not show.
func hidden(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }

// surrogates is how JSON escapes a rune beyond the first plane.
func surrogates(r rune) string {
	high, low := utf16.EncodeRune(r)
	return fmt.Sprintf(`\u%04x\u%04x`, high, low)
}

// escape writes hidden runes as JSON does, which in double quotes YAML does
// too; wide is how the form escapes those beyond the first plane. They occur
// in quotes only: neither form has them in its own syntax.
func escape(text []byte, wide func(rune) string) []byte {
	if !bytes.ContainsFunc(text, hidden) {
		return text
	}
	var out bytes.Buffer
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case !hidden(r):
			out.Write(text[:size])
		case r > 0xffff:
			out.WriteString(wide(r))
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		text = text[size:]
	}
	return out.Bytes()
}
