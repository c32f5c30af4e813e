// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/node"
	"github.com/resilienced/resilienced/statestore/transfer"
)

// copiedStore is what a copy did, for programs.
type copiedStore struct {
	From     string        `json:"from"`
	To       string        `json:"to"`
	Resumed  bool          `json:"resumed"` // it went on with an unfinished copy
	Written  int           `json:"written"`
	Equal    int           `json:"equal"`   // were there already
	Removed  int           `json:"removed"` // that the source no longer has
	Records  int           `json:"records"`
	Verified bool          `json:"verified"` // both say the same
	Families []comparedRow `json:"families"`
}

// comparedRow is the records of one kind in one namespace, in both stores.
type comparedRow struct {
	Namespace string     `json:"namespace"`
	Kind      string     `json:"kind"`
	Equal     bool       `json:"equal"`
	Source    digestText `json:"source"`
	Target    digestText `json:"target"`
}

type digestText struct {
	Records  int    `json:"records"`
	Checksum string `json:"sha256"`
}

func newStoreCopy() *cobra.Command {
	f := &storeFlags{}
	verifyOnly, toSchema := false, ""
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Copy every record of a store to another, and prove that both say the same",
		Long: `Copy every record of one store to another, and compare count and checksum of each
kind and namespace at the end. Runs, permits, money, policy and the key of permit ids
move along, so agents go on with the permits they have.

Stop every replica first: neither store may be in use. TO must be empty. An interrupted
copy goes on with the same command, at any point; until it is verified no server
opens TO. The store's time does not go back: the copy waits for up to 10 s until the
clock of TO has passed the latest time of FROM. Leases run on while nothing serves.

Ends with 1 if TO is refused or the two differ, with 69 if one cannot be opened, and
with 75 if it was interrupted.`,
		Example: `  resilienced store copy sqlite sqlite:/mnt/new/resilienced.db
  resilienced store copy sqlite postgres://agents@db.internal/agents
  resilienced store copy postgres://agents@db.internal/agents sqlite:/mnt/back.db
  resilienced store copy sqlite:old.db sqlite:new.db --verify-only`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := newSession(cmd, f.form.value)
			work := node.CopyStore
			if verifyOnly {
				work = node.CompareStores
			}
			t := s.ticker()
			from, to := f.at(args[0]), f.at(args[1])
			to.Schema = cmp.Or(toSchema, to.Schema)
			c, err := work(cmd.Context(), from, to, t.tell)
			t.end()
			if err != nil && !errors.Is(err, transfer.ErrDiffers) {
				return storeError(err)
			}
			return errors.Join(s.copied(copiedStoreOf(c, err == nil), verifyOnly), storeError(err))
		},
	}
	f.bind(cmd, false)
	cmd.Flags().StringVar(&toSchema, "to-schema", "", "`SCHEMA` of TO, if it is another than that of FROM")
	cmd.Flags().BoolVar(&f.cfg.AllowServed, "ignore-connections", false, "begin although connections of a service are open on FROM")
	cmd.Flags().BoolVar(&verifyOnly, "verify-only", false, "only compare the two, and change nothing")
	return cmd
}

func copiedStoreOf(c *node.StoreCopy, verified bool) *copiedStore {
	out := &copiedStore{
		From: c.From, To: c.To, Resumed: c.Resumed, Written: c.Written, Equal: c.Equal, Removed: c.Removed,
		Verified: verified, Families: []comparedRow{},
	}
	for _, family := range c.Families {
		out.Records += family.Target.Records
		out.Families = append(out.Families, comparedRow{
			Namespace: family.Namespace, Kind: family.Kind.String(), Equal: family.Equal(),
			Source: digestText{family.Source.Records, family.Source.Sum}, Target: digestText{family.Target.Records, family.Target.Sum},
		})
	}
	return out
}

func (s *session) copied(c *copiedStore, verifyOnly bool) error {
	if s.form != formTable {
		return s.plain(c)
	}
	head := terminal.NewTable(terminal.Columns("", "=")...)
	head.Text("from", c.From)
	head.Text("to", c.To)
	if !verifyOnly {
		head.Text("copied", copiedLine(c))
	}
	head.Text("records", strconv.Itoa(c.Records))
	verdict := terminal.Cell{Text: "both say the same, by count and checksum", Style: terminal.Good}
	if !c.Verified {
		verdict = terminal.Cell{Text: "they differ", Style: terminal.Bad}
	}
	head.Row(terminal.Cell{Text: "verified"}, verdict)
	if err := head.Write(s.screen); err != nil || len(c.Families) == 0 {
		return written(err)
	}
	table := terminal.NewTable(terminal.Columns("NAMESPACE", "KIND", ">SOURCE", ">TARGET", "SHA-256", "")...)
	for _, f := range c.Families {
		mark := terminal.Cell{Text: "equal", Style: terminal.Good}
		if !f.Equal {
			mark = terminal.Cell{Text: "differs", Style: terminal.Bad}
		}
		table.Row(terminal.Cell{Text: namespaceName(f.Namespace)}, terminal.Cell{Text: f.Kind}, terminal.Cell{Text: strconv.Itoa(f.Source.Records)},
			terminal.Cell{Text: strconv.Itoa(f.Target.Records)}, terminal.Cell{Text: shortSum(f.Target.Checksum)}, mark)
	}
	if err := s.screen.Line(""); err != nil {
		return written(err)
	}
	return written(table.Write(s.screen))
}

func copiedLine(c *copiedStore) string {
	line := fmt.Sprintf("%d written", c.Written)
	if c.Resumed {
		line += fmt.Sprintf(", %d were there from before, %d removed", c.Equal, c.Removed)
	}
	return line
}
