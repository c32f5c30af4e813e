// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

const (
	// completionTime is how long a shell's prompt may hang on the server.
	completionTime = 300 * time.Millisecond
	// completionMost is how many names a shell is offered.
	completionMost = 200
)

// addCompletion gives root cobra's command for shells, with an example.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd("completion") // any argument: a root with children has the command
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Short = "Write the completion script of a shell"
		cmd.Example = `  source <(resilienced completion bash)
  resilienced completion zsh > "${fpath[1]}/_resilienced"
  resilienced completion fish > ~/.config/fish/completions/resilienced.fish`
		cmd.Args = onlyCommands
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
}

// completeTargets offers the names of targets for the first argument.
func completeTargets(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return complete(cmd, args, func(ctx context.Context, c *client.Client) ([]string, error) {
		page, err := c.Targets.ListTargets(ctx, &pb.ListTargetsRequest{PageSize: completionMost, NameGlob: typed + "*"})
		if err != nil {
			return nil, err
		}
		var names []string
		for _, t := range page.GetTargets() {
			names = append(names, t.GetTarget())
		}
		return names, nil
	})
}

// completeRuns offers the ids of runs for the first argument.
func completeRuns(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return complete(cmd, args, func(ctx context.Context, c *client.Client) ([]string, error) {
		page, err := c.Runs.ListRuns(ctx, &pb.ListRunsRequest{PageSize: completionMost})
		if err != nil {
			return nil, err
		}
		return runNames(page.GetRuns()), nil
	})
}

// complete asks the server that the command line names, and offers nothing if
// it does not answer at once: nobody wants to read an error at a prompt. Names
// that a shell might take for something else are left out.
func complete(cmd *cobra.Command, args []string, names func(context.Context, *client.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, none
	}
	if cmd.PreRunE != nil {
		if err := cmd.PreRunE(cmd, nil); err != nil {
			return nil, none
		}
	}
	addr, addrErr := cmd.Flags().GetString("addr")
	namespace, nameErr := cmd.Flags().GetString("namespace")
	if addrErr != nil || nameErr != nil {
		return nil, none
	}
	c, err := client.New(client.Options{Addr: addr, Namespace: namespace, Timeout: completionTime})
	if err != nil {
		return nil, none
	}
	defer c.Close() //nolint:errcheck // nothing is lost with it
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	found, err := names(ctx, c)
	if err != nil {
		return nil, none
	}
	var offered []string
	for _, name := range found {
		if terminal.Clean(name) == name {
			offered = append(offered, name)
		}
	}
	return offered, none
}
