// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/resilienced/resilienced/rules/budget"
)

// The limits of requests, in bytes unless a name says otherwise.
const (
	maxName       = 256
	maxID         = 128
	maxNamespace  = 128
	maxDerivedID  = maxName     // of letters and escalations: a prefix and an operation
	maxPermitID   = 2 << 10     // carries namespace, operation, target, run and credential
	maxDecisionID = maxPermitID // carries rule and blocker
	maxPageToken  = 1 << 10
	maxCode       = 128
	maxNote       = 1 << 10
	maxMessage    = 8 << 10
	maxStack      = 32 << 10
	maxBlob       = 256 << 10
	maxRef        = 2 << 10
	maxResultRef  = 1 << 10
	maxPolicyText = 1 << 20

	maxHeaders     = 64
	maxHeaderName  = 128
	maxHeaderValue = 4 << 10
	maxLabels      = 32
	maxLabelName   = 128
	maxLabelValue  = 256

	maxLevel    = 15 // chains have at most 16 levels
	maxPageSize = 1000
	pageSize    = 50 // when the caller does not say
)

// The longest durations that requests may name.
const (
	maxDeadline = 24 * time.Hour
	maxMaxWait  = 24 * time.Hour // the RPC does not wait, so a long one costs nothing
	maxLease    = time.Hour
	maxDuration = 24 * time.Hour
	maxTTL      = 366 * 24 * time.Hour
	maxAdvance  = 366 * 24 * time.Hour
	maxLifetime = 24 * time.Hour
	maxPoll     = 60 * time.Second
)

// maxViolations is how many faults one answer lists.
const maxViolations = 50

// presence says whether a field must be set.
type presence uint8

const (
	optional presence = iota
	required
)

// violation is one fault of a request: where, and what to do about it.
type violation struct{ field, why string }

// requestError is a request with at least one fault.
type requestError struct{ violations []violation }

// Error lists the faults.
func (e *requestError) Error() string {
	var b strings.Builder
	for i, v := range e.violations {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(v.field + ": " + v.why)
	}
	return b.String()
}

// checker collects the faults of one request. The zero checker has none, and a
// good request makes it allocate nothing.
type checker struct {
	bad  []violation
	more bool
}

// err returns what was found; nil if nothing was.
func (c *checker) err() error {
	if len(c.bad) == 0 {
		return nil
	}
	if c.more {
		c.bad = append(c.bad, violation{"", "there are more faults; mend these first"})
	}
	return &requestError{violations: c.bad}
}

func (c *checker) fail(field, format string, args ...any) {
	if len(c.bad) == maxViolations {
		c.more = true
		return
	}
	c.bad = append(c.bad, violation{field, fmt.Sprintf(format, args...)})
}

// name checks what people give names to: targets, chains, credentials.
func (c *checker) name(field, value string, p presence) {
	if c.sized(field, value, maxName, p) {
		c.word(field, value, unicode.IsPrint)
	}
}

// id checks an id that callers make.
func (c *checker) id(field, value string, p presence) { c.handle(field, value, maxID, p) }

// handle checks an id of another length.
func (c *checker) handle(field, value string, limit int, p presence) {
	if c.sized(field, value, limit, p) {
		c.word(field, value, func(r rune) bool { return !unicode.IsControl(r) })
	}
}

// sized checks presence and length. It reports whether there is anything more
// to check.
func (c *checker) sized(field, value string, limit int, p presence) bool {
	if value == "" {
		if p == required {
			c.fail(field, "is required")
		}
		return false
	}
	if len(value) > limit {
		c.fail(field, "has %d bytes, at most %d are allowed; shorten it", len(value), limit)
		return false
	}
	return true
}

// word checks the characters of a name or id.
func (c *checker) word(field, value string, allowed func(rune) bool) {
	if plain(value) {
		return
	}
	for _, r := range value {
		if r == utf8.RuneError && !utf8.ValidString(value) {
			c.fail(field, "is not UTF-8; encode it as UTF-8")
			return
		}
		if !allowed(r) {
			c.fail(field, "has the character %U, which is not allowed; remove it", r)
			return
		}
	}
	if strings.TrimSpace(value) != value {
		c.fail(field, "begins or ends with a blank; trim it")
	}
}

// plain reports whether a value that is not empty has nothing but visible
// ASCII characters, as nearly all have.
func plain(value string) bool {
	for i := range len(value) {
		if value[i] <= ' ' || value[i] >= 0x7f {
			return false
		}
	}
	return true
}

// text checks free text, in which every character is allowed.
func (c *checker) text(field, value string, limit int, p presence) {
	if c.sized(field, value, limit, p) && !utf8.ValidString(value) {
		c.fail(field, "is not UTF-8; encode it as UTF-8")
	}
}

// blob checks opaque bytes.
func (c *checker) blob(field string, value []byte, limit int) {
	if len(value) > limit {
		c.fail(field, "has %d bytes, at most %d are allowed; keep it elsewhere and send a reference", len(value), limit)
	}
}

// entries checks a map of names to values.
func (c *checker) entries(field string, m map[string]string, count, nameLimit, valueLimit int) {
	if len(m) > count {
		c.fail(field, "has %d entries, at most %d are allowed; send fewer", len(m), count)
		return
	}
	for name, value := range m {
		c.entry(field, name, value, nameLimit, valueLimit)
	}
}

func (c *checker) entry(field, name, value string, nameLimit, valueLimit int) {
	if len(name) <= nameLimit && len(value) <= valueLimit && name != "" && plain(name) && (value == "" || plain(value)) {
		return
	}
	at := field + "[" + strconv.QuoteToASCII(name[:min(len(name), nameLimit)]) + "]"
	if name == "" {
		c.fail(at, "has an empty name; give it one")
	}
	c.handle(at, name, nameLimit, optional)
	c.text(at, value, valueLimit, optional)
}

// labels checks the caller's labels.
func (c *checker) labels(field string, m map[string]string) {
	c.entries(field, m, maxLabels, maxLabelName, maxLabelValue)
}

// amount checks a quantity that may be absent; zero is not absent.
func (c *checker) amount(field string, value *int64) {
	if value != nil {
		c.quantity(field, *value)
	}
}

func (c *checker) quantity(field string, value int64) {
	switch {
	case value < 0:
		c.fail(field, "is %d; it must not be negative", value)
	case value > budget.MaxAmount:
		c.fail(field, "is %d; at most %d is allowed", value, int64(budget.MaxAmount))
	}
}

// change checks a quantity that may be negative.
func (c *checker) change(field string, value int64) {
	if value < -budget.MaxAmount || value > budget.MaxAmount {
		c.fail(field, "is %d; it must lie between %d and %d", value, int64(-budget.MaxAmount), int64(budget.MaxAmount))
	}
}

// duration checks a duration from 0 on.
func (c *checker) duration(field string, d *durationpb.Duration, limit time.Duration) {
	switch {
	case d == nil:
	case d.CheckValid() != nil:
		c.fail(field, "is not a valid duration: seconds and nanos need the same sign and must lie in range")
	case d.GetSeconds() < 0 || d.GetNanos() < 0:
		c.fail(field, "is negative; it must be 0 or more")
	case d.AsDuration() > limit:
		c.fail(field, "is %v; at most %v is allowed", d.AsDuration(), limit)
	}
}

// span checks a duration above 0.
func (c *checker) span(field string, d *durationpb.Duration, limit time.Duration) {
	if d != nil && d.GetSeconds() == 0 && d.GetNanos() == 0 {
		c.fail(field, "is 0; it must be above 0, or absent")
		return
	}
	c.duration(field, d, limit)
}

// instant checks a point in time of a filter.
func (c *checker) instant(field string, t *timestamppb.Timestamp) {
	if t != nil && t.CheckValid() != nil {
		c.fail(field, "is not a valid time; use one between the years 1 and 9999")
	}
}

// between checks a number with both bounds.
func (c *checker) between(field string, value *int32, low, high int32) {
	if value != nil && (*value < low || *value > high) {
		c.fail(field, "is %d; it must lie between %d and %d", *value, low, high)
	}
}

// page checks how a list is asked for.
func (c *checker) page(size int32, token string) {
	if size < 0 || size > maxPageSize {
		c.fail("page_size", "is %d; it must lie between 1 and %d, or be 0 for %d", size, maxPageSize, pageSize)
	}
	c.handle("page_token", token, maxPageToken, optional)
}
