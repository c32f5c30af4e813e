// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"errors"
	"os"
	"path/filepath"
)

// SetFaketime moves the clock of a server that was started with
// Options.Faketime, while it runs: "-30s" puts it 30 seconds behind the real
// one. The server's processes follow at their next reading,
// and so do standbys that are made later. Not at the same time as Standby.
func (s *Server) SetFaketime(offset string) error {
	if s.options.Faketime == "" {
		return errors.New("the server has the real clock: start it with Options.Faketime, \"+0s\" to begin without a shift")
	}
	s.options.Faketime = offset // for standbys and restarts
	return s.home.write("faketime", offset+"\n")
}

// clock returns the environment that moves the server's clock.
func (s *Server) clock() ([]string, error) {
	if s.options.Faketime == "" {
		return nil, nil
	}
	library, err := faketime()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.home.dir, "faketime")
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if err := s.SetFaketime(s.options.Faketime); err != nil {
			return nil, err
		}
	}
	return []string{
		"LD_PRELOAD=" + library,
		"FAKETIME_TIMESTAMP_FILE=" + file,
		"FAKETIME_NO_CACHE=1",
		"FAKETIME_DONT_FAKE_MONOTONIC=1",
	}, nil
}
