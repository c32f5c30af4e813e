// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// enumPrefix is what all names of an enum begin with, such as ACTION_.
func enumPrefix(d protoreflect.EnumDescriptor) string {
	return strings.TrimSuffix(string(d.Values().ByNumber(0).Name()), "UNSPECIFIED")
}

// word is the name of an enum's value as scenarios write it: without prefix,
// and empty for the unspecified one.
func word(e protoreflect.Enum) string {
	value := e.Descriptor().Values().ByNumber(e.Number())
	switch {
	case e.Number() == 0:
		return ""
	case value == nil: // a newer server's
		return strconv.Itoa(int(e.Number()))
	}
	return strings.TrimPrefix(string(value.Name()), enumPrefix(e.Descriptor()))
}

// words are the names that scenarios may write for an enum.
func words(e protoreflect.Enum) []string {
	values := e.Descriptor().Values()
	var all []string
	for i := range values.Len() {
		if v := values.Get(i); v.Number() != 0 {
			all = append(all, strings.TrimPrefix(string(v.Name()), enumPrefix(e.Descriptor())))
		}
	}
	return all
}

// number finds the value that a word stands for; 0 if none.
func number(e protoreflect.Enum, name string) protoreflect.EnumNumber {
	d := e.Descriptor()
	if v := d.Values().ByName(protoreflect.Name(enumPrefix(d) + name)); v != nil {
		return v.Number()
	}
	return 0
}
