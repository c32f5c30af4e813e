// SPDX-License-Identifier: Apache-2.0

// Package enum names the values of the wire's enums as people and scenarios
// write them: in capitals, without the prefix that all of an enum share.
package enum

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// prefix is what all names of an enum begin with, such as ACTION_.
func prefix(d protoreflect.EnumDescriptor) string {
	return strings.TrimSuffix(string(d.Values().ByNumber(0).Name()), "UNSPECIFIED")
}

// Word is the name of a value: empty for the unspecified one, and a number for
// one that only a newer server knows.
func Word(e protoreflect.Enum) string {
	value := e.Descriptor().Values().ByNumber(e.Number())
	switch {
	case e.Number() == 0:
		return ""
	case value == nil:
		return strconv.Itoa(int(e.Number()))
	}
	return strings.TrimPrefix(string(value.Name()), prefix(e.Descriptor()))
}

// Words are the names of all values but the unspecified one.
func Words(e protoreflect.Enum) []string {
	values := e.Descriptor().Values()
	var all []string
	for i := range values.Len() {
		if v := values.Get(i); v.Number() != 0 {
			all = append(all, strings.TrimPrefix(string(v.Name()), prefix(e.Descriptor())))
		}
	}
	return all
}

// Number finds the value that a word stands for; 0 if none.
func Number(e protoreflect.Enum, name string) protoreflect.EnumNumber {
	d := e.Descriptor()
	if v := d.Values().ByName(protoreflect.Name(prefix(d) + name)); v != nil {
		return v.Number()
	}
	return 0
}
