// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/node"
)

func newStoreMigrate() *cobra.Command {
	f := &storeFlags{}
	dryRun := false
	cmd := &cobra.Command{
		Use:   "migrate [STORE]",
		Short: "Bring the schema of a store up to what this version writes",
		Long: `Bring the schema of a store up to what this version reads and writes, and make the
store if there is none. serve does the same at its start; this is for whoever wants
it done apart, say by a user with more rights. Records stay as they are. There is no
way back but a backup: an older version refuses a newer schema.`,
		Example: `  resilienced store migrate --dry-run
  resilienced store migrate postgres://owner@db.internal/agents --schema resilienced
  resilienced store migrate sqlite:/var/lib/resilienced/resilienced.db`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := node.MigrateStore(cmd.Context(), f.at(argument(args)), dryRun)
			if err != nil {
				return storeError(err)
			}
			s := newSession(cmd, f.form.value)
			if s.form != formTable {
				return s.plain(m)
			}
			return written(s.screen.Line(migrated(m, dryRun)))
		},
	}
	f.bind(cmd, true)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

// migrated says what was done in a sentence.
func migrated(m *node.Migration, dryRun bool) string {
	from := fmt.Sprintf("schema %d", m.From)
	if m.From == 0 {
		from = "no schema"
	}
	switch {
	case m.From == m.To:
		return fmt.Sprintf("%s has schema %d already, nothing is to be done", m.Where, m.To)
	case dryRun:
		return fmt.Sprintf("%s has %s and would be brought to schema %d", m.Where, from, m.To)
	default:
		return fmt.Sprintf("%s had %s and is at schema %d now", m.Where, from, m.To)
	}
}
