// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"
)

// JSON is a JSON Schema, or a part of one: what encoding/json writes as it.
type JSON map[string]any

// TextJSON is the schema of what Decoder.Text takes. Some texts are too long in
// bytes or have rarer control characters, which a pattern cannot say.
func TextJSON() JSON {
	return JSON{
		"type": "string", "minLength": 1, "maxLength": maxText,
		"pattern": `^[^ \x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^ \x00-\x1f\x7f])?$`,
	}
}

// IntegerJSON is the schema of a whole number in lo…hi. Digits with _ between
// them are a number here and a text to YAML 1.2, so they are let through.
func IntegerJSON(lo, hi int64) JSON {
	return JSON{"type": []string{"integer", "string"}, "minimum": lo, "maximum": hi, "pattern": `^-?[0-9]+_[0-9_]*$`}
}

// DurationJSON is the schema of a duration. Its range is in words only: no
// pattern can say it.
func DurationJSON(lo, hi time.Duration, zeroOK bool) JSON {
	j := JSON{
		"type": "string", "pattern": `^(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ms|s|m|h|d))+)$`,
		"description": "A duration from " + FormatDuration(lo) + " to " + FormatDuration(hi) + ".",
	}
	if zeroOK {
		j["type"], j["minimum"], j["maximum"] = []string{"string", "integer"}, 0, 0
		j["description"] = "A duration from " + FormatDuration(lo) + " to " + FormatDuration(hi) + ", or 0 to switch it off."
	}
	return j
}

// EnumJSON is the schema of one of the words.
func EnumJSON(words ...string) JSON { return JSON{"enum": words} }

// BooleanJSON is the schema of true and false.
func BooleanJSON() JSON { return JSON{"type": "boolean"} }

// AnyOf is the schema of what one of the schemas takes.
func AnyOf(schemas ...JSON) JSON { return JSON{"anyOf": schemas} }

// ListJSON is the schema of a list of at least least and at most most items.
func ListJSON(item JSON, least, most int) JSON {
	j := JSON{"type": "array", "items": item}
	if least > 0 {
		j["minItems"] = least
	}
	if most > 0 {
		j["maxItems"] = most
	}
	return j
}

// MapJSON is the schema of a mapping of names to values.
func MapJSON(value JSON) JSON {
	return JSON{"type": "object", "propertyNames": TextJSON(), "additionalProperties": value}
}

// ObjectJSON is the schema of a mapping with these keys and no others.
func ObjectJSON(properties map[string]JSON, required ...string) JSON {
	j := JSON{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		j["required"] = required
	}
	return j
}

// With returns the schema with another description, which comes before the one
// that it has.
func (j JSON) With(description string) JSON {
	out := maps.Clone(j)
	if old, ok := j["description"].(string); ok && old != "" {
		description = strings.TrimSpace(description + " " + old)
	}
	if description != "" {
		out["description"] = description
	}
	return out
}

// Describe says what the schema tells of a field besides what its value is:
// what it is for, and its default in the form of a file; "" if it has none.
type Describe func(path string) (description, byDefault string)

// JSON is the schema of the mapping. extra are the keys beside the fields.
func (s *Schema[T]) JSON(in Place, extra map[string]JSON, describe Describe, required ...string) JSON {
	properties := maps.Clone(extra)
	if properties == nil {
		properties = make(map[string]JSON)
	}
	for _, key := range s.groups[in.Group] {
		path := in.full(key)
		text, byDefault := describe(path)
		f := s.byPath[path]
		if f == nil {
			group := s.JSON(Place{Group: path, Defaults: in.Defaults}, nil, describe)
			if w, ok := s.Words[path]; ok {
				group = AnyOf(w.JSON, group)
			}
			properties[key] = group.With(text)
			continue
		}
		if !s.allowed(f, in) {
			continue
		}
		properties[key] = f.JSON.With(text).WithDefault(byDefault)
	}
	return ObjectJSON(properties, required...)
}

// WithDefault returns the schema with a default, which a file would write so.
func (j JSON) WithDefault(text string) JSON {
	if text == "" {
		return j
	}
	out := maps.Clone(j)
	out["default"] = text
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		out["default"] = n
	} else if text == "true" || text == "false" {
		out["default"] = text == "true"
	}
	return out
}

// Encode writes a schema with its keys in one order, and a newline.
func (j JSON) Encode() []byte {
	text, err := json.MarshalIndent(j, "", "  ")
	if err != nil { // cannot be: it is made of maps, lists, texts and numbers
		panic(err)
	}
	return append(text, '\n')
}
