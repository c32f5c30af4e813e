// SPDX-License-Identifier: Apache-2.0

// Package fallback holds the rules of fallback chains: the kinds of level and
// the order in which levels are tried (semantics §1.8 and §2.3).
package fallback

// Single is the chain of a call that names a target and no chain.
func Single(target string) *Chain {
	return &Chain{Levels: []Level{{Target: target, Kind: Primary}}}
}

// From returns the indexes behind start whose kind is at least k, in order.
func (c *Chain) From(start int, k Kind) []int {
	var found []int
	for i := start + 1; i < len(c.Levels); i++ {
		if kind := c.Levels[i].Kind; kind >= k && kind != HumanQueue {
			found = append(found, i)
		}
	}
	return found
}

// Below returns the indexes behind start whose kind is less than k, in order.
func (c *Chain) Below(start int, k Kind) []int {
	var found []int
	for i := start + 1; i < len(c.Levels); i++ {
		if c.Levels[i].Kind < k {
			found = append(found, i)
		}
	}
	return found
}

// Search is the order in which a FALLBACK of kind k looks for a level that the
// operation has not visited: behind the highest visited first, then, as the
// last resort, before it.
func (c *Chain) Search(k Kind, visited func(int) bool) []int {
	highest := 0
	for i := range c.Levels {
		if visited(i) {
			highest = i
		}
	}
	var behind, before []int
	for i, l := range c.Levels {
		switch {
		case visited(i) || l.Kind < k:
		case i > highest:
			behind = append(behind, i)
		default:
			before = append(before, i)
		}
	}
	return append(behind, before...)
}

// HumanQueue returns the level that is a queue of people, or -1.
func (c *Chain) HumanQueue() int {
	for i, l := range c.Levels {
		if l.Kind == HumanQueue {
			return i
		}
	}
	return -1
}

// String returns the kind in upper snake case.
func (k Kind) String() string {
	names := [...]string{"", "PRIMARY", "SAME_PROVIDER_CHEAPER", "CROSS_PROVIDER", "SELF_HOSTED", "RULE_BASED", "HUMAN_QUEUE"}
	if int(k) >= len(names) {
		return ""
	}
	return names[k]
}

// ParseKind reads a kind in upper snake case.
func ParseKind(s string) (Kind, bool) {
	for k := Primary; k <= HumanQueue; k++ {
		if k.String() == s {
			return k, true
		}
	}
	return 0, false
}
