// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/encode"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/policy"
)

// checkedFile is what came of checking one file, for programs.
type checkedFile struct {
	File     string         `json:"file"`
	Valid    bool           `json:"valid"`
	Problems []checkedFault `json:"problems"`
	Warnings []checkedFault `json:"warnings"`
	More     bool           `json:"more"` // there were more problems
}

type checkedFault struct {
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Path   string `json:"path"`
	Text   string `json:"text"`
	whole  string
}

func newPolicyCheck() *cobra.Command {
	form := oneOf{formTable, answers()}
	strict := false
	cmd := &cobra.Command{
		Use:   "check FILE ...",
		Short: "Say everything that is wrong with a policy, with file, line and column",
		Long: `Check policies without a server. Every fault is a line with file, line, column
and path, and what to do about it; they all come at once, exit code 78. What is
allowed and most likely not meant is a warning, exit code 0, or 1 with --strict.`,
		Example: `  resilienced policy check policy.yaml
  resilienced policy check deploy/policies/*.yaml --strict
  git show HEAD:policy.yaml | resilienced policy check -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []checkedFile
			for _, name := range args {
				text, err := readFile(cmd, name, largestPolicy)
				if err != nil {
					return err
				}
				all = append(all, checkPolicy(fileName(name), text))
			}
			s := newSession(cmd, form.value)
			if err := s.checked(all); err != nil {
				return written(err)
			}
			return verdictOf(all, strict)
		},
	}
	cmd.Flags().VarP(&form, "output", "o", "form of the answer")
	cmd.Flags().BoolVar(&strict, "strict", false, "end with 1 if there is a warning")
	return cmd
}

func checkPolicy(name string, text []byte) checkedFile {
	c := checkedFile{File: name, Problems: []checkedFault{}, Warnings: []checkedFault{}}
	p, err := policy.Parse(name, text, policy.Options{})
	if faults, ok := errors.AsType[*policy.ParseError](err); ok {
		c.Problems, c.More = faultsOf(faults.Problems), faults.More
		return c
	}
	if err != nil {
		c.Problems = []checkedFault{{Text: err.Error(), whole: err.Error()}}
		return c
	}
	c.Valid, c.Warnings = true, faultsOf(p.Warnings())
	return c
}

func faultsOf(problems []policy.Problem) []checkedFault {
	faults := make([]checkedFault, 0, len(problems))
	for _, p := range problems {
		faults = append(faults, checkedFault{Line: p.Line, Column: p.Column, Path: p.Path, Text: p.Text, whole: p.String()})
	}
	return faults
}

// verdictOf is how the command ends. What is wrong was said.
func verdictOf(all []checkedFile, strict bool) error {
	code := exitOK
	for _, c := range all {
		switch {
		case !c.Valid:
			return fail(exitConfig, errors.New(""))
		case strict && len(c.Warnings) > 0:
			code = exitFailed
		}
	}
	if code == exitOK {
		return nil
	}
	return fail(code, errors.New(""))
}

// checked writes faults where a person or an editor finds them: on standard
// error, and the verdict on standard output.
func (s *session) checked(all []checkedFile) error {
	if s.form != formTable {
		text, err := encode.Plain(struct {
			Files []checkedFile `json:"files"`
		}{all})
		if err == nil && s.form == formYAML {
			text, err = encode.FromJSON(text)
		}
		if err != nil {
			return fail(exitSoftware, err)
		}
		return s.screen.Bytes(text)
	}
	for _, c := range all {
		if err := s.checkedFile(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) checkedFile(c checkedFile) error {
	for _, p := range c.Problems {
		if err := s.stderr.Bytes([]byte(s.stderr.Paint(terminal.Bad, p.whole) + "\n")); err != nil {
			return err
		}
	}
	for _, w := range c.Warnings {
		if err := s.stderr.Bytes([]byte(s.stderr.Paint(terminal.Warn, "warning: "+w.whole) + "\n")); err != nil {
			return err
		}
	}
	switch {
	case c.More:
		return s.screen.Line(c.File + " is not valid; mend these first, there are more")
	case !c.Valid:
		return s.screen.Line(fmt.Sprintf("%s is not valid: %s", c.File, count(int64(len(c.Problems)), "fault")))
	case len(c.Warnings) > 0:
		return s.screen.Line(fmt.Sprintf("%s is valid, with %s", c.File, count(int64(len(c.Warnings)), "warning")))
	}
	return s.screen.Line(c.File + " is valid")
}
