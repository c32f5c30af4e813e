// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

const (
	// pageSize is how much is asked for at once.
	pageSize = 500
	// progressFrom is from how many items on a person is told about progress.
	progressFrom = 2 * pageSize
)

// pages calls next with the token of each page until there is none. It says on
// standard error how far it is, if that is a terminal.
func (s *session) pages(what string, next func(token string) (after string, read int, err error)) error {
	told := false
	for token := ""; ; {
		after, read, err := next(token)
		if err == nil && after == token && after != "" {
			err = fail(exitSoftware, fmt.Errorf("the server answered the same page of %s twice", what))
		}
		if told && (err != nil || after == "") {
			_ = s.stderr.Bytes([]byte("\r\x1b[K")) // only progress
		}
		if err != nil || after == "" {
			return err
		}
		token = after
		if read >= progressFrom && s.stderr.Redraws() {
			told = true
			_ = s.stderr.Bytes(fmt.Appendf(nil, "\r%d %s …", read, what)) // only progress
		}
	}
}
