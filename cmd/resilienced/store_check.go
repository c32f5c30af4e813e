// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/node"
)

// checkedStore is what a check found, for programs.
type checkedStore struct {
	Store  string `json:"store"`
	Schema int    `json:"schema"`
	Latest int    `json:"latest_schema"`
	// Time is the store's, or the floor that its time goes on from.
	Time       string      `json:"time,omitempty"`
	Unfinished string      `json:"unfinished_copy_of,omitempty"`
	Facts      []node.Fact `json:"facts"`
	Records    int         `json:"records"`
	Families   []familyRow `json:"families"`
	Problems   []string    `json:"problems"`
	More       int         `json:"more_problems"` // that are not listed
}

// familyRow is the records of one kind in one namespace.
type familyRow struct {
	Namespace string `json:"namespace"`
	Kind      string `json:"kind"`
	Records   int    `json:"records"`
	Checksum  string `json:"sha256"`
}

func newStoreCheck() *cobra.Command {
	f := &storeFlags{}
	cmd := &cobra.Command{
		Use:   "check [STORE]",
		Short: "Read every record of a store, and say what is in it and what is wrong",
		Long: `Read every record of a store and change nothing in it. The answer says which
schema it has, its time, how many records of each kind each namespace has with a
checksum over them, and each record that cannot be read. The namespace "" is the
server's own. Two stores with the same checksums say the same.

A SQLite file must not be in use: stop the service, or check a copy of the file. In
PostgreSQL the records may change meanwhile, and then each checksum is of its moment.
Ends with 1 if something is wrong, with 69 if the store cannot be opened.`,
		Example: `  resilienced store check
  resilienced store check sqlite:/var/lib/resilienced/resilienced.db
  resilienced store check 'postgres://agents@db.internal/agents?sslmode=verify-full'
  resilienced store check sqlite:backup.db -o json | jq -r '.families[] | [.kind, .records] | @tsv'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := newSession(cmd, f.form.value)
			t := s.ticker()
			r, err := node.CheckStore(cmd.Context(), f.at(argument(args)), t.tell)
			t.end()
			if err != nil {
				return storeError(err)
			}
			return s.checkedStore(r)
		},
	}
	f.bind(cmd, true)
	return cmd
}

func checkedStoreOf(r *node.StoreReport) *checkedStore {
	c := &checkedStore{
		Store: r.Where, Schema: r.Schema, Latest: r.Latest, Facts: r.Facts, Records: r.Records,
		Families: []familyRow{}, Problems: []string{}, More: r.More,
	}
	if c.Facts == nil {
		c.Facts = []node.Fact{}
	}
	if r.Now != 0 {
		c.Time = r.Now.Time().UTC().Format(time.RFC3339Nano)
	}
	for _, family := range r.Families {
		c.Families = append(c.Families, familyRow{family.Namespace, family.Kind.String(), family.Records, family.Sum})
	}
	if r.Schema < r.Latest {
		c.Problems = append(c.Problems, fmt.Sprintf("it has schema %d and this version reads %d; bring it up with: resilienced store migrate", r.Schema, r.Latest))
	}
	if r.Mark != nil {
		c.Unfinished = r.Mark.From
		c.Problems = append(c.Problems, "it is an unfinished copy of "+r.Mark.From+" and is not served; run the same store copy again")
	}
	for _, p := range r.Problems {
		c.Problems = append(c.Problems, p.Error())
	}
	return c
}

func (s *session) checkedStore(r *node.StoreReport) error {
	c := checkedStoreOf(r)
	var err error
	if s.form == formTable {
		err = written(s.storeTable(c))
	} else {
		err = s.plain(c)
	}
	if err == nil && len(c.Problems) > 0 {
		return fail(exitFailed, errors.New("")) // the answer has said it
	}
	return err
}

func (s *session) storeTable(c *checkedStore) error {
	head := terminal.NewTable(terminal.Columns("", "=")...)
	head.Text("store", c.Store)
	head.Text("schema", strconv.Itoa(c.Schema))
	for _, fact := range c.Facts {
		head.Text(fact.Name, fact.Value)
	}
	if c.Time != "" {
		head.Text("time", c.Time)
	}
	head.Text("records", strconv.Itoa(c.Records))
	if len(c.Problems) == 0 {
		head.Row(terminal.Cell{Text: "state"}, terminal.Cell{Text: "whole", Style: terminal.Good})
	}
	for _, p := range c.Problems {
		head.Row(terminal.Cell{Text: "problem"}, terminal.Cell{Text: p, Style: terminal.Bad})
	}
	if c.More > 0 {
		head.Text("", fmt.Sprintf("and %d problems more", c.More))
	}
	if err := head.Write(s.screen); err != nil || len(c.Families) == 0 {
		return err
	}
	table := terminal.NewTable(terminal.Columns("NAMESPACE", "KIND", ">RECORDS", "SHA-256")...)
	for _, f := range c.Families {
		table.Text(namespaceName(f.Namespace), f.Kind, strconv.Itoa(f.Records), shortSum(f.Checksum))
	}
	if err := s.screen.Line(""); err != nil {
		return err
	}
	return table.Write(s.screen)
}

// namespaceName shows the server's own namespace, which is empty, as what it
// is.
func namespaceName(ns string) string {
	if ns == "" {
		return `""`
	}
	return ns
}
