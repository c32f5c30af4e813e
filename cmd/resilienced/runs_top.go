// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// leastRefresh keeps a live table from becoming the load.
const leastRefresh = 500 * time.Millisecond

func newRunsTop() *cobra.Command {
	limit, every := 20, 2*time.Second
	cmd := talks(&cobra.Command{
		Use:   "top",
		Short: "Show the runs that spend most",
		Long: `Show the runs that are not over, those that spent most first. On a terminal the
table is drawn anew until it is interrupted; piped, it is written once.`,
		Example: `  resilienced runs top
  resilienced runs top --limit 5 -o json`,
		Args: cobra.NoArgs,
	}, named(), func(ctx context.Context, s *session, _ []string) error {
		if limit < 1 {
			return fmt.Errorf("--limit is %d; it must be at least 1", limit)
		}
		live := s.form == formTable && s.screen.Redraws()
		for {
			top, err := s.topRuns(ctx, limit)
			if err != nil {
				return interrupted(ctx, err)
			}
			if live {
				if err := s.screen.Clear(); err != nil {
					return written(err)
				}
			}
			if err := s.showTop(top); err != nil || !live {
				return err
			}
			timer := time.NewTimer(max(every, leastRefresh))
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
			}
		}
	})
	cmd.Flags().IntVar(&limit, "limit", limit, "how many `RUNS`")
	cmd.Flags().DurationVar(&every, "every", every, "how often the table is drawn anew on a terminal")
	return cmd
}

// interrupted is no error if a person has seen enough.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *session) topRuns(ctx context.Context, limit int) (*pb.ListRunsResponse, error) {
	all, err := s.listRuns(ctx, &pb.ListRunsRequest{States: []pb.RunState{
		pb.RunState_RUN_STATE_ACTIVE, pb.RunState_RUN_STATE_PRESSURE, pb.RunState_RUN_STATE_EXHAUSTED,
	}})
	if err != nil {
		return nil, err
	}
	spent := func(r *pb.Run) int64 { return r.GetSpent().GetCostMicros() + r.GetAssumed().GetCostMicros() }
	slices.SortStableFunc(all.Runs, func(a, b *pb.Run) int {
		return cmp.Or(cmp.Compare(spent(b), spent(a)), cmp.Compare(calls(b), calls(a)), cmp.Compare(a.GetRunId(), b.GetRunId()))
	})
	all.Runs = all.Runs[:min(limit, len(all.Runs))]
	return all, nil
}

func (s *session) showTop(top *pb.ListRunsResponse) error {
	return s.show(top, func() error {
		if len(top.GetRuns()) == 0 {
			return s.noRows("no run is under way; start one with: resilienced runs start")
		}
		return runsTable(top.GetRuns()).Write(s.screen)
	}, func() []string { return runNames(top.GetRuns()) })
}
