// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"fmt"
	"slices"
	"strings"
)

// DidYouMean asks for the candidate nearest to word; it returns nothing if none
// is near.
func DidYouMean(word string, candidates []string) string {
	if best := nearest(word, candidates); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

// longestKey is about the length of the longest key.
const longestKey = 32

// nearest returns the candidate that word is most likely meant to be: one that
// differs in few letters, or else one that has the same parts and more or
// fewer (task_retry_budget for task_budget). It returns "" if there is none.
func nearest(word string, candidates []string) string {
	best, least := "", max(2, len(word)/3)+1
	if len(word) > 2*longestKey {
		return ""
	}
	lower := strings.ToLower(word)
	for _, c := range candidates {
		if dist := distance(lower, strings.ToLower(c)); dist < least && dist < len(c) {
			best, least = c, dist
		}
	}
	if best != "" {
		return best
	}
	for _, c := range candidates {
		if subset(lower, c) || subset(c, lower) {
			return c
		}
	}
	return ""
}

// subset tells whether all parts of a, split at _, are parts of b.
func subset(a, b string) bool {
	parts := strings.Split(b, "_")
	for part := range strings.SplitSeq(a, "_") {
		if !slices.Contains(parts, part) {
			return false
		}
	}
	return true
}

// distance is how many letters must be put in, left out, changed or swapped
// with their neighbour to make b of a.
func distance(a, b string) int {
	before, last, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, last[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, last, next = last, next, before
	}
	return last[len(b)]
}
