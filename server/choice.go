// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// choice checks an enum that tells the service what to do. Zero is allowed if
// it is optional; a number that this version does not know never is, since
// nobody could say what would be done.
func choice[E ~int32](c *checker, field string, value E, names map[int32]string, p presence) {
	if value == 0 && p == optional {
		return
	}
	if _, known := names[int32(value)]; known && value != 0 {
		return
	}
	if value == 0 {
		c.fail(field, "is required: one of %s", allowed(names))
		return
	}
	c.fail(field, "is %d, which is not known here; use one of %s", int32(value), allowed(names))
}

// choices checks a list of enums that select.
func choices[E ~int32](c *checker, field string, values []E, names map[int32]string) {
	if len(values) > len(names) {
		c.fail(field, "has %d entries; %d different ones exist", len(values), len(names)-1)
		return
	}
	for i, v := range values {
		choice(c, fmt.Sprintf("%s[%d]", field, i), v, names, required)
	}
}

// allowed lists the names of an enum but for the unspecified one.
func allowed(names map[int32]string) string {
	var list []string
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if n != 0 {
			list = append(list, names[n])
		}
	}
	return strings.Join(list, ", ")
}
