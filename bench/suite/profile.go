// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/process"
)

// profileLines is how much of a profile is shown.
const profileLines = 15

// profile shows what a server does under load, if a goal was missed.
func (s *Suite) profile(ctx context.Context) error {
	missed := slices.ContainsFunc(s.goals, func(g page.Goal) bool { return !g.Met() })
	if s.cfg.Size.Profile == 0 || (!missed && len(s.cfg.Only) == 0) {
		return nil
	}
	section := page.Section{Title: "What stands in the way", Parts: []page.Part{{Text: "" +
		"CPU profiles of the server. The first table of each is what ran, the second what it ran for: our own functions with all that they call."}}}
	for i, c := range []struct {
		title   string
		kind    process.Kind
		callers int
		run     string
		ops     func(*client) load.Callers
	}{
		{"Acquire on memory, 64 callers", process.Memory, 64, "", func(c *client) load.Callers { return c.acquires() }},
		{"Acquire and Report on SQLite, one hot capped run, 256 callers", process.SQLite, 256, hotRun, func(c *client) load.Callers { return c.pairs(hotRun) }},
	} {
		s.say("profile: %s", c.title)
		raw, err := s.profiled(ctx, c.kind, c.callers, c.run, c.ops)
		if err != nil {
			return err
		}
		file := filepath.Join(s.cfg.profiles(), fmt.Sprintf("cpu-%d.pprof", i+1))
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			return err
		}
		flat, err := top(ctx, file)
		if err != nil {
			return err
		}
		ours, err := top(ctx, file, "-cum", "-show=resilienced/", "-focus=resilienced/")
		if err != nil {
			return err
		}
		section.Parts = append(section.Parts, page.Part{Text: c.title + ":"}, page.Part{Code: flat}, page.Part{Code: ours})
	}
	s.sections = append(s.sections, section)
	return nil
}

// profiled takes a profile of a server under a closed loop.
func (s *Suite) profiled(ctx context.Context, kind process.Kind, callers int, run string, ops func(*client) load.Callers) (raw []byte, err error) {
	v, err := s.serve(ctx, kind, callers)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	if run != "" {
		if err := v.client.startRun(ctx, run); err != nil {
			return nil, err
		}
	}
	warm := load.Closed{Callers: callers, For: s.cfg.Size.Warm}
	if _, err := warm.Run(ctx, ops(v.client), nil); err != nil {
		return nil, err
	}
	if err := v.child.StartProfile(); err != nil {
		return nil, err
	}
	closed := load.Closed{Callers: callers, For: s.cfg.Size.Profile}
	_, failed := closed.Run(ctx, ops(v.client), nil)
	raw, err = v.child.StopProfile()
	return raw, errors.Join(failed, err)
}

// top is the head of a profile as Go's own pprof prints it, without the lines
// that name files and times.
func top(ctx context.Context, file string, flags ...string) (string, error) {
	args := append([]string{"tool", "pprof", "-top", fmt.Sprintf("-nodecount=%d", profileLines)}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, file)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go tool pprof: %w: %s", err, stderr.String())
	}
	return tableOf(string(out)), nil
}

// tableOf is the part of pprof's text from the table's head on, with shorter
// names.
func tableOf(text string) string {
	if i := strings.Index(text, "      flat  flat%"); i >= 0 {
		text = text[i:]
	}
	return strings.ReplaceAll(text, "github.com/resilienced/resilienced/", "")
}

// profiles is the folder for profiles.
func (c Config) profiles() string {
	if c.Profiles != "" {
		return c.Profiles
	}
	return c.Folder
}
