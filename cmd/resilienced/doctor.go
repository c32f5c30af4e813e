// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/cmd/resilienced/encode"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/node"
)

// verdict is how bad a finding is.
type verdict string

// The verdicts. Only failures change the exit code.
const (
	good verdict = "ok"
	warn verdict = "warn"
	bad  verdict = "fail"
)

// finding is what one check of the doctor found.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Found   string  `json:"found"`
	Cure    string  `json:"cure,omitempty"`
}

func newDoctor() *cobra.Command {
	httpAddr := ""
	var store node.StoreConfig
	cmd := talks(&cobra.Command{
		Use:   "doctor",
		Short: "Look at a running service, and say what is wrong and what cures it",
		Long: `Look at a running service: whether it answers, whether it is ready, whether it
is the same version, its clock, its policy and prices, what is enforced, which
breakers are open and which runs are exhausted. With --store also at the store, over
a connection of its own and without changing it: rights, schema, latency, clock,
connections, durability. Each check says ok, warn or fail, and what to do. Ends with
1 if one fails.`,
		Example: `  resilienced doctor
  resilienced doctor --store postgres://agents@db.internal/agents
  resilienced doctor --addr agents.internal:7070 --http-addr agents.internal:7071
  resilienced doctor -o json | jq -r '.findings[] | select(.verdict != "ok") | .cure'`,
		Args: cobra.NoArgs,
	}, answers(), func(ctx context.Context, s *session, _ []string) error {
		d := &doctor{session: s, http: httpAddr}
		d.all(ctx)
		if store.Store != "" {
			if err := d.store(ctx, store); err != nil {
				return storeError(err)
			}
		}
		if err := d.tell(); err != nil {
			return err
		}
		for _, f := range d.findings {
			if f.Verdict == bad {
				return fail(exitFailed, errors.New("")) // the table has said it
			}
		}
		return nil
	})
	httpFlag(cmd, &httpAddr)
	cmd.Flags().StringVar(&store.Store, "store", "", "also look at this `STORE`: sqlite, sqlite:PATH or postgres://…")
	cmd.Flags().StringVar(&store.DataDir, "data-dir", "", "`FOLDER` of the database that plain sqlite means")
	cmd.Flags().StringVar(&store.Schema, "schema", "", "`SCHEMA` of the tables in PostgreSQL (default resilienced)")
	for _, name := range []string{"store", "data-dir", "schema"} {
		_ = cmd.Flags().SetAnnotation(name, annotationEnv, []string{storeEnv(name)}) // the flag is there
	}
	return cmd
}

// pageTimeout bounds the wait for a page of the HTTP port.
const pageTimeout = 5 * time.Second

// httpFlag names the HTTP port.
func httpFlag(cmd *cobra.Command, addr *string) {
	cmd.Flags().StringVar(addr, "http-addr", client.DefaultHTTPAddr, "`ADDRESS` of the server's JSON port")
	_ = cmd.Flags().SetAnnotation("http-addr", annotationEnv, []string{"RESILIENCED_HTTP_ADDR"}) // the flag is there
}

// doctor collects findings.
type doctor struct {
	*session
	http     string
	findings []finding
}

func (d *doctor) found(check string, v verdict, cure, format string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, Verdict: v, Found: fmt.Sprintf(format, args...), Cure: cure})
}

// trouble is a check that could not be made.
func (d *doctor) trouble(check string, v verdict, err error) {
	text := err.Error()
	if e, ok := client.As(err); ok {
		text = e.Text
	}
	d.found(check, v, "", "%s", text)
}

// tell writes what was found.
func (d *doctor) tell() error {
	if d.form == formTable {
		return written(d.table())
	}
	text, err := encode.Plain(struct {
		Findings []finding `json:"findings"`
	}{d.findings})
	if err == nil && d.form == formYAML {
		text, err = encode.FromJSON(text)
	}
	if err != nil {
		return fail(exitSoftware, err)
	}
	return written(d.screen.Bytes(text))
}

func (d *doctor) table() error {
	for _, f := range d.findings {
		style := map[verdict]terminal.Style{good: terminal.Good, warn: terminal.Warn, bad: terminal.Bad}[f.Verdict]
		line := d.screen.Paint(style, fmt.Sprintf("%-4s", f.Verdict)) + "  " + terminal.Clean(fmt.Sprintf("%-17s  ", f.Check))
		if err := d.screen.Bytes([]byte(line + terminal.CleanLines(indent(f.Found)) + "\n")); err != nil {
			return err
		}
		if f.Cure == "" {
			continue
		}
		if err := d.screen.Text("                         → " + indent(f.Cure)); err != nil {
			return err
		}
	}
	return nil
}

// indent keeps further lines of a finding below its first.
func indent(text string) string {
	var out []byte
	for _, b := range []byte(text) {
		out = append(out, b)
		if b == '\n' {
			out = append(out, "                         "...)
		}
	}
	return string(out)
}

// ready is the JSON port's /readyz.
type ready struct {
	Ready  bool `json:"ready"`
	Checks []struct {
		Name     string `json:"name"`
		OK       bool   `json:"ok"`
		Advisory bool   `json:"advisory"`
		Detail   string `json:"detail"`
	} `json:"checks"`
}
