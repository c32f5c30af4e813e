// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes, those above 64 after sysexits.h.
const (
	exitOK          = 0
	exitFailed      = 1  // a drill did not go as written
	exitUsage       = 2  // an argument, flag or setting is wrong
	exitUnavailable = 69 // the port, the store or the server cannot be used
	exitSoftware    = 70 // a fault of resilienced itself
	exitConfig      = 78 // the policy file is not valid
)

// failure is an error with the exit code that it leads to. Errors without one
// come from cobra and are about usage.
type failure struct {
	code int
	err  error
}

// Error returns what went wrong.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns the error itself.
func (f *failure) Unwrap() error { return f.err }

// fail gives an error its exit code.
func fail(code int, err error) error {
	if err == nil {
		return nil
	}
	return &failure{code: code, err: err}
}

// Run runs one command line and returns its exit code. It ends when ctx does.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot(os.LookupEnv) //nolint:contextcheck // commands take the context that ExecuteContextC gives them
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if f, ok := errors.AsType[*failure](err); ok {
		if text := f.Error(); text != "" {
			complain(stderr, "resilienced: %s\n", text)
		}
		return f.code
	}
	complain(stderr, "resilienced: %v\nSee '%s --help'.\n", err, cmd.CommandPath())
	return exitUsage
}

// complain writes to standard error. If that is gone the exit code remains.
func complain(stderr io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(stderr, format, args...)
}

// lookup finds an environment variable.
type lookup func(name string) (string, bool)

func newRoot(env lookup) *cobra.Command {
	root := &cobra.Command{
		Use:   "resilienced",
		Short: "Ask before a call, tell how it went",
		Long: `resilienced answers "may I call X?" for a fleet of agents, and tells them
what to do after a call: go on, retry, fall back, dead-letter, escalate, stop.

Exit codes: 0 done, 1 a drill failed, 2 wrong usage, 69 a port, store or server
cannot be used, 70 a fault of resilienced itself, 78 the policy is not valid.`,
		Example: `  resilienced serve                     start the service on this machine
  resilienced drill                     check its rules against the built-in scenarios
  grpcurl -plaintext -d '{"target": "openai/gpt-x"}' \
    127.0.0.1:7070 resilience.v1.PermitService/Acquire`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(newServe(), newDrill(), newVersion())
	for _, cmd := range root.Commands() {
		bindEnv(cmd, env)
	}
	return root
}

// envName is the environment variable that stands in for a flag. Those of
// serve are the service's settings and have no command in their name.
func envName(cmd *cobra.Command, flag string) string {
	name := "RESILIENCED_"
	if cmd.Name() != "serve" {
		name += cmd.Name() + "_"
	}
	return strings.ToUpper(strings.ReplaceAll(name+flag, "-", "_"))
}

// bindEnv lets the environment set every flag that the command line does not.
func bindEnv(cmd *cobra.Command, env lookup) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Usage += " [" + envName(cmd, f.Name) + "]" })
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		var wrong error
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			value, set := env(envName(cmd, f.Name))
			if f.Changed || !set || f.Name == "help" || wrong != nil {
				return
			}
			if err := cmd.Flags().Set(f.Name, value); err != nil {
				wrong = fmt.Errorf("%s=%q cannot be used for --%s: %w", envName(cmd, f.Name), value, f.Name, err)
			}
		})
		return wrong
	}
}

// oneOf is a flag value that is one of a few words.
type oneOf struct {
	value   string
	allowed []string
}

// String returns the word.
func (o *oneOf) String() string { return o.value }

// Type names the words for help.
func (o *oneOf) Type() string { return strings.Join(o.allowed, "|") }

// Set takes a word that is allowed.
func (o *oneOf) Set(value string) error {
	if !slices.Contains(o.allowed, value) {
		return fmt.Errorf("use one of %s", strings.Join(o.allowed, ", "))
	}
	o.value = value
	return nil
}
