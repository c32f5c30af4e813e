// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/policy"
)

func newPolicyCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE ...",
		Short: "Say everything that is wrong with a policy, with file, line and column",
		Long: `Check policies without a server. Every fault is a line with file, line, column
and path, and what to do about it; they all come at once, exit code 78. What is
allowed and most likely not meant is a warning and changes nothing.`,
		Example: `  resilienced policy check policy.yaml
  resilienced policy check deploy/policies/*.yaml
  git show HEAD:policy.yaml | resilienced policy check -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := newSession(cmd, formTable)
			var faults []string
			code := exitOK
			for _, name := range args {
				p, _, err := readPolicy(cmd, name)
				if f, bad := errors.AsType[*failure](err); bad {
					faults, code = append(faults, f.Error()), max(code, f.code)
					continue
				}
				if err := s.checked(fileName(name), p); err != nil {
					return written(err)
				}
			}
			if code == exitOK {
				return nil
			}
			return fail(code, errors.New(strings.Join(faults, "\n")))
		},
	}
}

// checked says of a policy that it is valid, and what it is about.
func (s *session) checked(name string, p *policy.Policy) error {
	return s.screen.Line(fmt.Sprintf("%s is valid", name))
}
