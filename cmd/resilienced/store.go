// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/encode"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/node"
	"github.com/resilienced/resilienced/statestore/transfer"
)

func newStore() *cobra.Command {
	return group(&cobra.Command{
		Use:   "store",
		Short: "Look into a store, bring it up to date, copy it to another",
		Long: `Work on what the service keeps its records in, without a server. STORE is what
serve's --store takes: sqlite, which is the file in the data directory, sqlite:PATH,
or the address of a PostgreSQL database, postgres://USER@HOST/DATABASE. A password
is better given by PGPASSWORD or a password file than on the command line.`,
		Example: `  resilienced store check
  resilienced store migrate --dry-run
  resilienced store copy sqlite postgres://agents@db.internal/agents`,
	}, newStoreCheck(), newStoreMigrate(), newStoreCopy())
}

// storeFlags say which store, as serve's do.
type storeFlags struct {
	cfg  node.StoreConfig
	form oneOf
}

// bind gives a command the flags; with store also the one that an argument
// stands in for.
func (f *storeFlags) bind(cmd *cobra.Command, store bool) {
	flags := cmd.Flags()
	flags.SortFlags = false
	f.form = oneOf{formTable, answers()}
	flags.VarP(&f.form, "output", "o", "form of the answer")
	names := []string{"data-dir"}
	if store {
		flags.StringVar(&f.cfg.Store, "store", "sqlite", "the `STORE`, if no argument names it")
		names = append(names, "store")
	}
	flags.StringVar(&f.cfg.DataDir, "data-dir", "", "`FOLDER` of the database that plain sqlite means")
	flags.StringVar(&f.cfg.Schema, "schema", "", "`SCHEMA` of the tables in PostgreSQL (default resilienced)")
	names = append(names, "schema")
	for _, name := range names {
		_ = flags.SetAnnotation(name, annotationEnv, []string{storeEnv(name)}) // the flag is there
	}
}

// storeEnv is the variable of serve's flag.
func storeEnv(flag string) string {
	return map[string]string{"store": "RESILIENCED_STORE", "data-dir": "RESILIENCED_DATA_DIR", "schema": "RESILIENCED_SCHEMA"}[flag]
}

// at is the configuration with the store that an argument names.
func (f *storeFlags) at(store string) node.StoreConfig {
	cfg := f.cfg
	if store != "" {
		cfg.Store = store
	}
	return cfg
}

// storeError gives an error of a store its exit code.
func storeError(err error) error {
	if err == nil {
		return nil
	}
	for _, refused := range []error{
		transfer.ErrUnfinished, transfer.ErrNotEmpty, transfer.ErrOtherSource, transfer.ErrDiffers, transfer.ErrClockBehind, transfer.ErrUnknownKind,
		node.ErrServed,
	} {
		if errors.Is(err, refused) {
			return fail(exitFailed, err)
		}
	}
	switch {
	case errors.Is(err, node.ErrNoSuchStore), errors.Is(err, node.ErrMemoryStore), errors.Is(err, node.ErrSameStore):
		return fail(exitUsage, err)
	case errors.Is(err, context.Canceled):
		return fail(exitTemporary, errors.New("interrupted; run the same command again, a copy goes on where it stopped"))
	default:
		return fail(exitUnavailable, err)
	}
}

// plain writes a value for programs.
func (s *session) plain(value any) error {
	text, err := encode.Plain(value)
	if err == nil && s.form == formYAML {
		text, err = encode.FromJSON(text)
	}
	if err != nil {
		return fail(exitSoftware, err)
	}
	return written(s.screen.Bytes(text))
}

// progressStep is how often progress is told where the line renews itself, and
// slowStep where each is a new line.
const (
	progressStep = 100 * time.Millisecond
	slowStep     = 5 * time.Second
)

// ticker tells people on standard error how far a long work is.
type ticker struct {
	screen *terminal.Screen
	step   time.Duration
	last   time.Time
	shown  bool
}

func (s *session) ticker() *ticker {
	t := &ticker{screen: s.stderr, step: slowStep, last: time.Now()}
	if s.stderr.Redraws() {
		t.step = progressStep
	}
	return t
}

// tell writes a line if the last one is old enough. What happens to the line
// does not matter to the work.
func (t *ticker) tell(p transfer.Progress) {
	now := time.Now()
	if now.Sub(t.last) < t.step {
		return
	}
	t.last, t.shown = now, true
	_ = t.screen.Renew(progressLine(p))
}

// end takes the line away.
func (t *ticker) end() {
	if t.shown && t.screen.Redraws() {
		_ = t.screen.Renew("")
	}
}

func progressLine(p transfer.Progress) string {
	if p.Phase == transfer.PhaseWait {
		return "waiting for the target's clock to pass the source's, for " + terminal.Duration(p.Elapsed)
	}
	line := fmt.Sprintf("%-6s  %d of %d records", p.Phase, p.Done, p.Total)
	if p.Total > 0 {
		line += fmt.Sprintf(" (%d%%)", min(100*p.Done/p.Total, 100))
	}
	if rate := p.Rate(); rate > 0 {
		line += fmt.Sprintf(", %.0f/s", rate)
	}
	if left := p.Left(); left > 0 {
		line += ", " + terminal.Duration(max(left.Round(time.Second), time.Second)) + " left"
	}
	return line
}

// shownSum is how much of a checksum a table shows; JSON has the whole.
const shownSum = 16

func shortSum(sum string) string { return sum[:min(len(sum), shownSum)] }
