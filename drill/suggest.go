// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"fmt"
	"slices"
	"strings"
)

// maxGuessed is the longest word that is compared with others.
const maxGuessed = 64

// didYouMean returns a hint at the one of known that word is most likely meant
// to be, or all of them if none is near.
func didYouMean(word string, known []string) string {
	known = slices.Sorted(slices.Values(known))
	best, least := "", len(word)/3+2
	if i := slices.IndexFunc(known, func(k string) bool { return word != "" && strings.HasPrefix(k, word) }); i >= 0 {
		best, least = known[i], 1
	}
	for _, k := range known {
		if len(word) > maxGuessed {
			break
		}
		if d := edits(strings.ToLower(word), strings.ToLower(k)); d < least && d < len(k) {
			best, least = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf(" (did you mean %q?)", best)
	}
	if len(known) == 0 {
		return ""
	}
	return "; known are " + strings.Join(known, ", ")
}

// edits is how many letters must be put in, left out or changed to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
