// SPDX-License-Identifier: Apache-2.0

package glob

import "strings"

// maxFills bounds how many names of a pattern are tried.
const maxFills = 512

// CoveredBy tells whether every name that the pattern matches is matched by one
// of the others too, and names one that does. It is exact, as long as the work
// is within bounds: each match that is tried takes its length from work, and
// without work left, or with very many wildcards, the answer is false.
//
// It tries names in which each star stands for none, one, … up to as many
// characters as any of the others tells apart, all of a kind that no pattern
// has: what matches such a name does so with its wildcards only, and so matches
// every other name of that shape.
func (g Pattern) CoveredBy(others []Pattern, work *int) (covered bool, by string) {
	most := 1
	for _, o := range others {
		most = max(most, o.singles+1)
	}
	stars := strings.Count(g.text, "*")
	fills := 1
	for range stars {
		if fills *= most + 1; fills > maxFills {
			return false, ""
		}
	}
	lengths := make([]int, stars)
	for i := range lengths {
		lengths[i] = most // the likeliest to be matched by no other
	}
	for range fills {
		if by, covered = g.matchedBy(others, lengths, work); !covered {
			return false, ""
		}
		for i := range lengths {
			if lengths[i]--; lengths[i] >= 0 {
				break
			}
			lengths[i] = most
		}
	}
	return true, by
}

// matchedBy is one of the others that matches the name in which the stars are
// so long, false if none does.
func (g Pattern) matchedBy(others []Pattern, lengths []int, work *int) (string, bool) {
	const fresh = "\U0010fffd" // a character that nobody writes
	var name strings.Builder
	star := 0
	for _, r := range g.text {
		switch r {
		case '*':
			name.WriteString(strings.Repeat(fresh, lengths[star]))
			star++
		case '?':
			name.WriteString(fresh)
		default:
			name.WriteRune(r)
		}
	}
	for _, o := range others {
		if *work -= len(o.text) + name.Len(); *work < 0 {
			return "", false
		}
		if o.Match(name.String()) {
			return o.text, true
		}
	}
	return "", false
}

// Overlaps tells whether there is a name that both patterns match.
func (g Pattern) Overlaps(other Pattern) bool {
	a, b := []rune(g.text), []rune(other.text)
	// reach[j]: the rest of a from i, and of b from j, have a name in common.
	next := make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		reach := make([]bool, len(b)+1)
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a) && j == len(b):
				reach[j] = true
			case i < len(a) && a[i] == '*':
				reach[j] = next[j] || j < len(b) && reach[j+1]
			case j < len(b) && b[j] == '*':
				reach[j] = reach[j+1] || i < len(a) && next[j]
			case i < len(a) && j < len(b):
				reach[j] = (a[i] == '?' || b[j] == '?' || a[i] == b[j]) && next[j+1]
			}
		}
		next = reach
	}
	return next[0]
}
