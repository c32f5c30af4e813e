// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a Report takes. A provider may send anything, and a report that is
// refused for one odd header would lose what the call cost: what does not fit
// is left out.
const (
	maxCode        = 128
	maxName        = 256
	maxHeaders     = 64
	maxHeaderName  = 128
	maxHeaderValue = 4 << 10
	maxAmount      = 1e15
)

// textWithin is the text, or nothing if it is too long or no text.
func textWithin(text string, limit int) string {
	if len(text) > limit || !utf8.ValidString(text) {
		return ""
	}
	return text
}

// nameWithin is textWithin for names, which have no control characters and no
// blanks around them.
func nameWithin(name string, limit int) string {
	name = strings.TrimSpace(textWithin(name, limit))
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	return name
}

// statusOf is the status, or nothing for a number that HTTP does not know.
func statusOf(resp *http.Response) *int32 {
	if resp.StatusCode < 100 || resp.StatusCode > 599 {
		return nil
	}
	status := int32(resp.StatusCode)
	return &status
}
