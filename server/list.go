// SPDX-License-Identifier: Apache-2.0

package server

import "github.com/resilienced/resilienced/engine"

// maxScan and maxFetches are how many records, and how many pages of the
// engine, one call of a list looks at before it answers with what it has. A
// page may so be short, or empty, and still have a token to go on with.
const (
	maxScan    = 10_000
	maxFetches = 500
)

// asked is how a page was asked for.
type asked struct {
	size  int32
	token string
}

// collect fills a page with the items that keep wants. It asks fetch for no
// more than what is missing, so that the engine's token is always at the end
// of the page, and is content with a page that is nearly full.
func collect[T any](a asked, fetch func(size int, token string) (engine.Page[T], error), keep func(T) bool) (engine.Page[T], error) {
	want, token := int(a.size), a.token
	if want == 0 {
		want = pageSize
	}
	var found engine.Page[T]
	scanned := 0
	for range maxFetches {
		page, err := fetch(want-len(found.Items), token)
		if err != nil {
			return engine.Page[T]{}, err
		}
		for _, item := range page.Items {
			if keep(item) {
				found.Items = append(found.Items, item)
			}
		}
		scanned += len(page.Items)
		found.Next, token = page.Next, page.Next
		if missing := want - len(found.Items); token == "" || 8*missing <= want || scanned >= maxScan {
			break
		}
	}
	return found, nil
}

// globMatch tells whether a pattern stands for the whole name: * for any run
// of characters, ? for one, all others for themselves, as in a policy.
func globMatch(pattern, name string) bool {
	p, n, star, retry := []rune(pattern), []rune(name), -1, 0
	i, j := 0, 0
	for j < len(n) {
		switch {
		case i < len(p) && p[i] == '*':
			star, retry = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == n[j]):
			i++
			j++
		case star >= 0:
			retry++
			i, j = star+1, retry
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// globPrefix is what every name that a pattern matches starts with.
func globPrefix(pattern string) string {
	for i := range len(pattern) {
		if pattern[i] == '*' || pattern[i] == '?' {
			return pattern[:i]
		}
	}
	return pattern
}
