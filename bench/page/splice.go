// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Tables that a program writes stand in a page between two lines:
//
//	<!-- bench: NAME -->
//	<!-- bench: end -->
const (
	markBegin = "<!-- bench: "
	markEnd   = "<!-- bench: end -->"
	markClose = " -->"
)

// Splice puts tables between the marks of a page that people write. Every
// table must have its marks, and every mark its table.
func Splice(text string, tables map[string]*Table) (string, error) {
	var b strings.Builder
	missing := maps.Clone(tables)
	for {
		before, name, after, err := cutMark(text)
		if err != nil {
			return "", err
		}
		b.WriteString(before)
		if name == "" {
			break
		}
		t := tables[name]
		if t == nil {
			return "", fmt.Errorf("the page has marks for %q, which was not measured", name)
		}
		if missing[name] == nil {
			return "", fmt.Errorf("the page has marks for %q twice", name)
		}
		delete(missing, name)
		fmt.Fprintf(&b, "%s%s%s\n\n", markBegin, name, markClose)
		t.write(&b)
		b.WriteString("\n" + markEnd)
		text = after
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("the page has no marks for %s", strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
	}
	return b.String(), nil
}

// Marks are the names of the marks of a page.
func Marks(text string) ([]string, error) {
	var names []string
	for {
		_, name, after, err := cutMark(text)
		if err != nil || name == "" {
			return names, err
		}
		names, text = append(names, name), after
	}
}

// cutMark cuts out the first pair of marks; without one all of the text is
// before it.
func cutMark(text string) (before, name, after string, err error) {
	before, rest, found := strings.Cut(text, markBegin)
	if !found {
		return text, "", "", nil
	}
	name, rest, found = strings.Cut(rest, markClose)
	if !found || name == "" || name == "end" || strings.ContainsAny(name, " \n") {
		return "", "", "", fmt.Errorf("a mark is not of the form %sNAME%s", markBegin, markClose)
	}
	inner, after, found := strings.Cut(rest, markEnd)
	if !found || strings.Contains(inner, markBegin) {
		return "", "", "", fmt.Errorf("the mark %q has no end", name)
	}
	return before, name, after, nil
}
