// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/encode"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/policy/glob"
)

// priceRow is one price for programs. An absent number is not known, which is
// not zero.
type priceRow struct {
	Model       string `json:"model"`
	Input       *int64 `json:"input,omitempty"`
	Output      *int64 `json:"output,omitempty"`
	CachedInput *int64 `json:"cached_input,omitempty"`
	PerCall     *int64 `json:"per_call,omitempty"`
	Currency    string `json:"currency"`
	Source      string `json:"source"`
}

// priceTable is what is known of prices, for programs: in whole micros of the
// currency, for a million tokens and for a call.
type priceTable struct {
	Updated string     `json:"updated,omitempty"`
	Stale   bool       `json:"stale"`
	Models  []priceRow `json:"models"`
}

func newPricesShow() *cobra.Command {
	file, server := "", false
	var cmd *cobra.Command
	cmd = talks(&cobra.Command{
		Use:   "show [GLOB]",
		Short: "Show the prices of models, and of which day they are",
		Long: `Show the table of prices that comes with this version; with --policy what holds
with a policy file, its own prices and aliases included; with --server what holds on
the server. Prices that an entry of targets gives are in 'policy explain'.

Prices are for a million tokens, and for a call. What has no number is not known,
which is not zero: a run with a cap on money is refused such a call, unless policy
says otherwise. Standard error warns of a table older than 90 days.`,
		Example: `  resilienced prices show
  resilienced prices show '*haiku*'
  resilienced prices show --policy policy.yaml -o json
  resilienced prices show --server`,
		Args: cobra.MaximumNArgs(1),
	}, answers(), func(ctx context.Context, s *session, args []string) error {
		p := policy.Default()
		var err error
		switch {
		case file != "":
			p, _, err = readPolicy(cmd, file)
		case server:
			p, _, err = s.inForce(ctx)
		}
		if err != nil {
			return err
		}
		return s.prices(p, argument(args))
	})
	cmd.Flags().StringVar(&file, "policy", "", "show the prices that hold with this policy `FILE`; - is standard input")
	cmd.Flags().BoolVar(&server, "server", false, "show the prices that hold on the server")
	cmd.MarkFlagsMutuallyExclusive("policy", "server")
	return cmd
}

// prices shows the prices of a policy whose names match.
func (s *session) prices(p *policy.Policy, pattern string) error {
	t := priceTable{Models: []priceRow{}, Stale: p.Stale(time.Now())}
	asOf, dated := p.PricesAsOf()
	if dated {
		t.Updated = asOf.Format(time.DateOnly)
	}
	for _, named := range p.Prices() {
		if pattern != "" && !glob.New(pattern).Match(named.Name) {
			continue
		}
		c := named.Price
		t.Models = append(t.Models, priceRow{named.Name, c.Input, c.Output, c.CachedInput, c.PerCall, c.Currency, named.Source})
	}
	if t.Stale {
		if err := s.stderr.Line(staleText(asOf)); err != nil {
			return written(err)
		}
	}
	if s.form == formTable {
		return written(s.priceTable(&t))
	}
	text, err := encode.Plain(t)
	if err == nil && s.form == formYAML {
		text, err = encode.FromJSON(text)
	}
	if err != nil {
		return fail(exitSoftware, err)
	}
	return written(s.screen.Bytes(text))
}

// staleText is the warning of an old table.
func staleText(asOf time.Time) string {
	return fmt.Sprintf("warning: the prices are of %s, more than 90 days ago; check them, and see: resilienced prices import --help", asOf.Format(time.DateOnly))
}

func (s *session) priceTable(t *priceTable) error {
	if len(t.Models) == 0 {
		return s.noRows("no model of that name has a price")
	}
	table := terminal.NewTable(terminal.Columns("=MODEL", ">INPUT/M", ">OUTPUT/M", ">CACHED/M", ">CALL", "FROM")...)
	for _, r := range t.Models {
		table.Text(r.Model, price(r.Input, r.Currency), price(r.Output, r.Currency), price(r.CachedInput, r.Currency), price(r.PerCall, r.Currency), r.Source)
	}
	if err := table.Write(s.screen); err != nil {
		return err
	}
	if t.Updated == "" {
		return nil
	}
	return s.stderr.Line("as of " + t.Updated)
}

func price(micros *int64, currency string) string {
	if micros == nil {
		return ""
	}
	return terminal.Money(*micros, currency)
}
