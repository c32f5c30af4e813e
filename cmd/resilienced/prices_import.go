// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/policy/prices"
)

// largestPrices is the largest price list that is read.
const largestPrices = 32 << 20

// importFlags say what is imported, and where it goes.
type importFlags struct {
	format  oneOf
	only    []string
	into    string
	updated string
	verbose bool
}

func newPricesImport() *cobra.Command {
	f := &importFlags{format: oneOf{"litellm", []string{"litellm"}}}
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Make a table of prices out of a public price list",
		Long: `Read a price list and write it as the section prices of a policy: to standard
output, or with --into into a policy file, whose other text stays as it is.

The format litellm is the public model_prices_and_context_window.json of that
project. Prices become whole micro-USD for a million tokens, rounded up. A model
whose price is not known, or is in units that a policy has not, is left out and never
gets a guess; standard error says how many were and why. Nothing is fetched: name a
file that you have.`,
		Example: `  resilienced prices import --format litellm model_prices.json --only 'openai/*' --only 'anthropic/*'
  resilienced prices import model_prices.json --only 'openai/gpt-4o*' --into policy.yaml
  resilienced policy diff policy.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Var(&f.format, "format", "form of the list")
	flags.StringArrayVar(&f.only, "only", nil, "only models whose name, provider/model, is like this `GLOB`; may be repeated")
	flags.StringVar(&f.into, "into", "", "replace the prices in this policy `FILE`")
	flags.StringVar(&f.updated, "updated", "", "the `DAY` of the prices, such as 2026-11-01 (default: today)")
	flags.BoolVar(&f.verbose, "verbose", false, "name every model that was left out, and why")
	return cmd
}

func (f *importFlags) run(cmd *cobra.Command, name string) error {
	day := time.Now().UTC()
	if f.updated != "" {
		var err error
		if day, err = time.Parse(time.DateOnly, f.updated); err != nil {
			return fmt.Errorf("--updated is %q; write a day such as 2026-11-01", f.updated)
		}
	}
	text, err := readFile(cmd, name, largestPrices)
	if err != nil {
		return err
	}
	got, err := prices.ImportLiteLLM(fileName(name), bytes.NewReader(text), f.only...)
	if err != nil {
		return fail(exitConfig, err)
	}
	s := newSession(cmd, formTable)
	if err := f.tell(s, got); err != nil {
		return written(err)
	}
	if got.Table.Len() == 0 {
		return fail(exitConfig, errors.New("no model was imported, so nothing was written; look at --only, and at --verbose"))
	}
	table := got.Table.Dated(day)
	if f.into != "" {
		return f.splice(s, table)
	}
	var out bytes.Buffer
	if err := table.WriteYAML(&out); err != nil {
		return fail(exitSoftware, err)
	}
	return written(s.screen.Bytes(out.Bytes()))
}

// tell says on standard error what was not taken, and what should be known of
// what was.
func (f *importFlags) tell(s *session, got *prices.Import) error {
	text := count(int64(got.Table.Len()), "model") + " imported"
	if n := len(got.Skipped); n > 0 {
		text += ", " + thousands(int64(n)) + " left out"
	}
	if n := len(got.Notes); n > 0 {
		text += ", " + thousands(int64(n)) + " with a note"
	}
	if !f.verbose && len(got.Skipped)+len(got.Notes) > 0 {
		text += " (--verbose says why)"
	}
	if err := s.stderr.Line(text); err != nil || !f.verbose {
		return err
	}
	table := terminal.NewTable(terminal.Columns("=MODEL", "WHAT")...)
	for _, skip := range got.Skipped {
		table.Text(skip.Model, "left out: "+skip.Why)
	}
	for _, note := range got.Notes {
		table.Text(note.Model, note.Text)
	}
	return table.Write(s.stderr)
}

// splice puts the table into a policy file. The file is replaced whole, and
// only by a policy that is valid.
func (f *importFlags) splice(s *session, table *prices.Table) error {
	old, err := os.ReadFile(f.into)
	if err != nil {
		return fail(exitUsage, err)
	}
	text, err := prices.Splice(old, table)
	if err != nil {
		return fail(exitConfig, fmt.Errorf("%s was not changed: %w", f.into, err))
	}
	if _, err := policy.Parse(f.into, text, policy.Options{}); err != nil {
		return fail(exitConfig, fmt.Errorf("%s was not changed; with these prices it would not be valid:\n%w", f.into, err))
	}
	if err := replaceFile(f.into, text); err != nil {
		return fail(exitUnavailable, fmt.Errorf("%s was not changed: %w", f.into, err))
	}
	return written(s.stderr.Line(f.into + " has the new prices; see what changes with: resilienced policy diff " + quoted(f.into)))
}

// replaceFile puts a text in a file's place at once, with the file's rights. A
// link is followed, so that it stays one.
func replaceFile(name string, text []byte) error {
	path, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".policy-")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(info.Mode().Perm()), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
