// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/cmd/resilienced/encode"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/node"
)

func newVersion() *cobra.Command {
	format := oneOf{"text", []string{"text", "json"}}
	server, addr := false, ""
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is, and which a server is",
		Example: `  resilienced version
  resilienced version --server
  resilienced version -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if server {
				return bothVersions(cmd, addr, format.value)
			}
			b := node.ReadBuild()
			if format.value == "json" {
				return fail(exitUnavailable, json.NewEncoder(cmd.OutOrStdout()).Encode(b))
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), b)
			return fail(exitUnavailable, err)
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "form of the answer")
	cmd.Flags().BoolVar(&server, "server", false, "ask a server too, at its JSON port")
	httpFlag(cmd, &addr)
	return cmd
}

// bothVersions says the version of this command and that of a server.
func bothVersions(cmd *cobra.Command, addr, form string) error {
	s := newSession(cmd, form)
	ours := node.ReadBuild()
	theirs, err := serverBuild(cmd.Context(), addr)
	if err != nil {
		return err
	}
	if form == formJSON {
		text, err := encode.Plain(struct {
			Command node.Build  `json:"command"`
			Server  *node.Build `json:"server"`
		}{ours, theirs})
		if err != nil {
			return fail(exitSoftware, err)
		}
		return written(s.screen.Bytes(text))
	}
	table := terminal.NewTable(terminal.Columns("", "=")...)
	table.Text("command", ours.String())
	table.Text("server", theirs.String())
	return written(table.Write(s.screen))
}

// serverBuild asks a server which version it is.
func serverBuild(ctx context.Context, addr string) (*node.Build, error) {
	var b node.Build
	page, err := client.GetPage(ctx, addr, "/version", pageTimeout, &b)
	if err != nil {
		return nil, err
	}
	if page.Status != http.StatusOK || b.Version == "" {
		return nil, &client.Error{Kind: client.Unavailable, Text: "the server at " + addr + " does not say which version it is"}
	}
	return &b, nil
}
