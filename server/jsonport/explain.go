// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// explain says of a body that protojson refused where and what is wrong. Of
// protojson's error it reads the position and one word, and does without either:
// that text is not made to be relied on.
func explain(data []byte, desc protoreflect.MessageDescriptor, err error) (field, why string) {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return "", "the body is empty; send {} for a request without fields"
	case !utf8.Valid(data):
		return "", "the body is not UTF-8; JSON is"
	case !json.Valid(data):
		return "", notJSON(data)
	case bytes.TrimSpace(data)[0] != '{':
		return "", "the body is JSON but not an object; send the request's fields as {\"name\": value}"
	case strings.Contains(err.Error(), "recursion depth"):
		return "", fmt.Sprintf("the body nests deeper than %d levels, which no request needs", maxDepth)
	}
	offset, where, known := position(data, err)
	if !known {
		text := strings.TrimSpace(strings.TrimPrefix(err.Error(), "proto:"))
		return "", "the body does not fit " + string(desc.FullName()) + ": " + clip(strings.Map(printable, text))
	}
	steps := pathAt(data, offset)
	field = render(steps)
	fd, unknown := follow(desc, steps)
	switch text := err.Error(); {
	case unknown != nil:
		return field, "is no field of " + string(unknown.Name()) + where + "; it has " + fieldNames(unknown)
	case strings.Contains(text, "duplicate"):
		return field, "is sent twice; send it once" + where
	case strings.Contains(text, "oneof"):
		return field, "excludes another field that is sent too; send one of them" + where
	case fd != nil:
		return field, "must be " + expected(fd, len(steps) > 0 && steps[len(steps)-1].inArray) + where
	default:
		return field, "has a value that does not fit" + where
	}
}

// notJSON says where the body stops being JSON.
func notJSON(data []byte) string {
	var into json.RawMessage
	err := json.Unmarshal(data, &into)
	at := len(data)
	if syntax, ok := err.(*json.SyntaxError); ok { //nolint:errorlint // encoding/json wraps nothing here
		at = min(int(max(syntax.Offset-1, 0)), len(data))
	}
	if at >= len(data)-1 && strings.Contains(err.Error(), "unexpected end") {
		return "the body is not JSON: it ends too early, after " + strconv.Itoa(len(data)) + " bytes"
	}
	return fmt.Sprintf("the body is not JSON: %s (%s)", err, lineColumn(data, at))
}

func lineColumn(data []byte, at int) string {
	before := data[:at]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("line %d, column %d", line, column)
}

// position finds the place that protojson's error names.
func position(data []byte, err error) (offset int, where string, known bool) {
	m := regexp.MustCompile(`\(line (\d+):(\d+)\)`).FindStringSubmatch(err.Error())
	if m == nil {
		return 0, "", false
	}
	line, lineErr := strconv.Atoi(m[1])
	column, columnErr := strconv.Atoi(m[2])
	if lineErr != nil || columnErr != nil {
		return 0, "", false
	}
	for ; line > 1; line-- {
		next := bytes.IndexByte(data[offset:], '\n')
		if next < 0 {
			return 0, "", false
		}
		offset += next + 1
	}
	for ; column > 1 && offset < len(data); column-- {
		_, size := utf8.DecodeRune(data[offset:])
		offset += size
	}
	return offset, " (line " + m[1] + ", column " + m[2] + ")", true
}

// step is one level of a path: an object's key or an array's index.
type step struct {
	key     string
	index   int
	inArray bool
	wantKey bool // the next token of the object is a key
}

// pathAt is the path to the token at an offset of a valid JSON text.
func pathAt(data []byte, offset int) []step {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var steps []step
	for {
		token, err := dec.Token()
		if err != nil {
			return steps
		}
		top := len(steps) - 1
		closing := token == json.Delim('}') || token == json.Delim(']')
		if top >= 0 && !closing {
			s := &steps[top]
			switch name, isText := token.(string); {
			case s.inArray:
				s.index++
			case s.wantKey && isText:
				s.key, s.wantKey = name, false
			default:
				s.wantKey = true
			}
		}
		if dec.InputOffset() > int64(offset) {
			return steps
		}
		switch token {
		case json.Delim('{'):
			steps = append(steps, step{wantKey: true})
		case json.Delim('['):
			steps = append(steps, step{inArray: true, index: -1})
		case json.Delim('}'), json.Delim(']'):
			steps = steps[:top]
		}
	}
}

// maxPath bounds what of a path is said: a key may be as long as the body.
const maxPath = 200

func render(steps []step) string {
	var b strings.Builder
	for _, s := range steps {
		switch {
		case s.inArray:
			fmt.Fprintf(&b, "[%d]", max(s.index, 0))
		case b.Len() > 0:
			b.WriteString("." + s.key)
		default:
			b.WriteString(s.key)
		}
	}
	path := strings.Map(printable, b.String())
	if len(path) > maxPath {
		path = strings.ToValidUTF8(path[:maxPath], "") + "…"
	}
	return path
}

// printable keeps keys from moving a terminal's cursor.
func printable(r rune) rune {
	if strconv.IsPrint(r) {
		return r
	}
	return utf8.RuneError
}

// follow walks a message's description along a path and returns the field at
// its end; nil if it cannot be told. Unknown is the message that a key was
// looked up in and not found.
func follow(desc protoreflect.MessageDescriptor, steps []step) (fd protoreflect.FieldDescriptor, unknown protoreflect.MessageDescriptor) {
	owner := desc
	for _, s := range steps {
		if s.inArray {
			continue
		}
		if fd != nil && fd.IsMap() {
			fd = fd.MapValue()
			continue
		}
		if fd != nil {
			owner = fd.Message()
		}
		if owner == nil {
			return nil, nil
		}
		if fd = owner.Fields().ByJSONName(s.key); fd == nil {
			fd = owner.Fields().ByName(protoreflect.Name(s.key))
		}
		if fd == nil {
			return nil, owner
		}
	}
	return fd, nil
}

// fieldNames lists what a message has.
func fieldNames(desc protoreflect.MessageDescriptor) string {
	names := make([]string, desc.Fields().Len())
	for i := range names {
		names[i] = string(desc.Fields().Get(i).Name())
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// expected says in words what JSON a field takes. Element asks about one
// element of a list.
func expected(fd protoreflect.FieldDescriptor, element bool) string {
	switch {
	case fd.IsMap():
		return "an object whose values are each " + expected(fd.MapValue(), true)
	case fd.IsList() && !element:
		return "an array whose elements are each " + expected(fd, true)
	}
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.StringKind:
		return "a string"
	case protoreflect.BytesKind:
		return "a string with base64"
	case protoreflect.EnumKind:
		return "one of " + enumNames(fd.Enum())
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return "a number"
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return "an integer of 32 bits"
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return "an integer of 32 bits that is not negative"
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return "an integer of 64 bits, as a number or in a string"
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return "an integer of 64 bits that is not negative, as a number or in a string"
	default: // MessageKind and GroupKind
		return expectedMessage(fd.Message())
	}
}

func expectedMessage(desc protoreflect.MessageDescriptor) string {
	switch desc.FullName() {
	case "google.protobuf.Duration":
		return `a string with seconds, such as "1.5s"`
	case "google.protobuf.Timestamp":
		return `a string with an instant as RFC 3339 has it, such as "2026-01-31T12:00:00Z"`
	case "google.protobuf.FieldMask":
		return "a string with field names, separated by commas"
	default:
		return "an object with fields of " + string(desc.Name())
	}
}

func enumNames(desc protoreflect.EnumDescriptor) string {
	names := make([]string, 0, desc.Values().Len())
	for i := range desc.Values().Len() {
		if v := desc.Values().Get(i); v.Number() != 0 {
			names = append(names, string(v.Name()))
		}
	}
	return strings.Join(names, ", ")
}
