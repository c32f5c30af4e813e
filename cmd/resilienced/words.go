// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/resilienced/resilienced/drill/enum"
)

// dash is a word for a cell that must not be empty.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// enumValue is a flag for one value of an enum, in letters of either size, with
// "-" for "_".
type enumValue[E interface {
	~int32
	protoreflect.Enum
}] struct{ value E }

// String returns the word.
func (v *enumValue[E]) String() string { return strings.ToLower(enum.Word(v.value)) }

// Type names the words for help.
func (v *enumValue[E]) Type() string { return strings.Join(enumWords(v.value), "|") }

// Set takes a word of the enum.
func (v *enumValue[E]) Set(text string) error {
	found := enum.Number(v.value, strings.ToUpper(strings.ReplaceAll(text, "-", "_")))
	if found == 0 {
		return fmt.Errorf("use one of %s", strings.Join(enumWords(v.value), ", "))
	}
	v.value = E(found)
	return nil
}

// enumList is a flag for several values, repeated or with commas.
type enumList[E interface {
	~int32
	protoreflect.Enum
}] struct{ values []E }

// String returns the words.
func (v *enumList[E]) String() string {
	all := make([]string, 0, len(v.values))
	for _, e := range v.values {
		all = append(all, strings.ToLower(enum.Word(e)))
	}
	return strings.Join(all, ",")
}

// Type names the words for help.
func (v *enumList[E]) Type() string {
	var e E
	return strings.Join(enumWords(e), "|")
}

// Set adds words.
func (v *enumList[E]) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		var one enumValue[E]
		if err := one.Set(part); err != nil {
			return err
		}
		v.values = append(v.values, one.value)
	}
	return nil
}

// enumWords are the words of an enum, as flags take them.
func enumWords(e protoreflect.Enum) []string {
	all := enum.Words(e)
	for i := range all {
		all[i] = strings.ToLower(all[i])
	}
	return all
}

// listing is a list whose words are too many for the head of a line of help.
type listing struct {
	pflag.Value
	name string
}

// Type names the form for help.
func (l listing) Type() string { return l.name }
