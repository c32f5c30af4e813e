// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
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
	addCompletion(root)
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
	if e, ok := client.As(err); ok {
		complain(stderr, "resilienced: %s\n", e.Text)
		return exitOf(e.Kind)
	}
	complain(stderr, "resilienced: %v\nSee '%s --help'.\n", err, cmd.CommandPath())
	return exitUsage
}

// complain writes to standard error. If that is gone the exit code remains.
// What a server says may hold what a client sent, so nothing goes out raw.
func complain(stderr io.Writer, format string, args ...any) {
	_, _ = io.WriteString(stderr, terminal.CleanLines(fmt.Sprintf(format, args...)))
}

// lookup finds an environment variable.
type lookup func(name string) (string, bool)

func newRoot(env lookup) *cobra.Command {
	root := &cobra.Command{
		Use:   "resilienced",
		Short: "Ask before a call, tell how it went",
		Long: `resilienced answers "may I call X?" for a fleet of agents, and tells them
what to do after a call: go on, retry, fall back, dead-letter, escalate, stop.

The commands for operators talk to a running service: --addr or RESILIENCED_ADDR
says where it is, --namespace or RESILIENCED_NAMESPACE for whom. -o json and
-o yaml are stable, with the field names of the .proto files. What the exit
codes mean: resilienced help exit-codes.`,
		Example: `  resilienced serve                     start the service on this machine
  resilienced acquire openai/gpt-x      ask, as an agent would
  resilienced exec --target ci/deploy -- ./deploy.sh
  resilienced targets list              how the targets are
  resilienced report                    what was refused, and what would have been
  resilienced drill                     check its rules against the built-in scenarios`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          onlyCommands,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddGroup(
		&cobra.Group{ID: groupService, Title: "The service:"},
		&cobra.Group{ID: groupFleet, Title: "What the fleet does:"},
		&cobra.Group{ID: groupRules, Title: "The rules:"},
		&cobra.Group{ID: groupCall, Title: "One call:"},
	)
	grouped(root, groupService, newServe(), newDoctor(), newStore(), newDrill(), newVersion())
	grouped(root, groupFleet, newTargets(), newRuns(), newReport(), newDecisions(), newExplain())
	grouped(root, groupRules, newPolicy(), newPrices(), newEnforce(), newObserve(), newEnforcement(), newPass())
	grouped(root, groupCall, newAcquire(), newExec())
	root.AddCommand(newExitCodes())
	bindEnv(root, env)
	return root
}

// The groups of commands in help.
const (
	groupService = "service"
	groupFleet   = "fleet"
	groupRules   = "rules"
	groupCall    = "call"
)

// group makes a command that only holds others.
func group(cmd *cobra.Command, children ...*cobra.Command) *cobra.Command {
	cmd.Args = onlyCommands
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(children...)
	return cmd
}

// onlyCommands refuses arguments that are no commands, and says which command
// may have been meant.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return err
}

func grouped(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.GroupID = group
		root.AddCommand(cmd)
	}
}

// envName is the environment variable that stands in for a flag; empty: none.
// Those of serve are the service's settings and have no command in their name;
// what all commands of operators share is named by an annotation; what one of
// them is to do now is no setting and has no variable.
func envName(cmd *cobra.Command, f *pflag.Flag) string {
	if given := f.Annotations[annotationEnv]; len(given) == 1 {
		return given[0]
	}
	name := "RESILIENCED_"
	switch cmd.CommandPath() {
	case "resilienced serve":
	case "resilienced drill", "resilienced version":
		name += cmd.Name() + "_"
	default:
		return ""
	}
	return strings.ToUpper(strings.ReplaceAll(name+f.Name, "-", "_"))
}

// bindEnv lets the environment set flags that the command line does not, in a
// command and all below it.
func bindEnv(cmd *cobra.Command, env lookup) {
	for _, child := range cmd.Commands() {
		bindEnv(child, env)
	}
	for _, flags := range []*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()} {
		flags.VisitAll(func(f *pflag.Flag) {
			// A flag that cobra has merged is in both sets.
			if name := envName(cmd, f); name != "" && !strings.HasSuffix(f.Usage, "["+name+"]") {
				f.Usage += " [" + name + "]"
			}
		})
	}
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return fromEnv(cmd, env) }
}

func fromEnv(cmd *cobra.Command, env lookup) error {
	var wrong error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := envName(cmd, f)
		if f.Changed || f.Name == "help" || name == "" || wrong != nil {
			return
		}
		value, set := env(name)
		if !set {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			wrong = fmt.Errorf("%s=%q cannot be used for --%s: %w", name, value, f.Name, err)
		}
	})
	return wrong
}
