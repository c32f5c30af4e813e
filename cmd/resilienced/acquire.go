// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// askFlags are what may be said of a call: those of acquire and of exec.
type askFlags struct {
	req           pb.AcquireRequest
	idempotency   enumValue[pb.Idempotency]
	cost          amount
	input, output amount
	maxWait       span
	deadline      span
	lease         span
	attempts      amount
	labels        pairs
}

func newAskFlags(cmd *cobra.Command) *askFlags {
	f := &askFlags{cost: amount{money: true}}
	flags := cmd.Flags()
	flags.StringVar(&f.req.Chain, "chain", "", "`NAME` of a fallback chain, instead of a target")
	flags.StringVar(&f.req.RunId, "run", "", "the `RUN` that pays")
	flags.StringVar(&f.req.TaskId, "task", "", "the `TASK` that shares a retry budget")
	flags.StringVar(&f.req.OperationId, "operation", "", "`ID` of the logical call, the same over attempts and restarts")
	flags.Var(&f.idempotency, "idempotency", "what a second execution does (default: as policy says)")
	flags.StringVar(&f.req.IdempotencyKey, "idempotency-key", "", "the `KEY` that is sent to the target")
	flags.Var(&f.cost, "estimate-cost", "what the call may cost, such as 0.02")
	flags.Var(&f.input, "estimate-input-tokens", "tokens to be sent")
	flags.Var(&f.output, "estimate-output-tokens", "most tokens to come back")
	flags.Var(&f.maxWait, "max-wait", "up to this delay the answer is WAIT, above it DENIED")
	flags.Var(&f.deadline, "deadline", "what is left for the whole operation, waits included")
	flags.Var(&f.lease, "lease", "how long the permit lives without a heartbeat")
	flags.Var(&f.attempts, "max-attempts", "attempts of the operation, if fewer than policy's")
	flags.StringVar(&f.req.Fingerprint, "fingerprint", "", "a `DIGEST` of what is called with what, to find the same call failing again and again")
	flags.StringVar(&f.req.ReporterId, "reporter", "", "`NAME` of the process that asks")
	flags.StringVar(&f.req.CredentialRef, "credential", "", "`NAME` of the credential that the call uses, never the credential")
	flags.Var(&f.labels, "label", "a label; may be repeated")
	for flag, env := range map[string]string{"run": envRun, "task": envTask} {
		_ = flags.SetAnnotation(flag, annotationEnv, []string{env}) // the flags are there
	}
	_ = cmd.RegisterFlagCompletionFunc("run", completeRuns) // the flag is there
	return f
}

// request is what was asked for, under a new id.
func (f *askFlags) request(target string) (*pb.AcquireRequest, error) {
	if (target == "") == (f.req.GetChain() == "") {
		return nil, errors.New("name a target, or a chain with --chain")
	}
	if n := f.attempts.number; n != nil && (*n < 1 || *n > 1<<30) {
		return nil, fmt.Errorf("--max-attempts is %d; it must be at least 1", *n)
	}
	r := &pb.AcquireRequest{
		RequestId: newRequestID(), RunId: f.req.GetRunId(), TaskId: f.req.GetTaskId(), OperationId: f.req.GetOperationId(),
		Target: target, Chain: f.req.GetChain(), Idempotency: f.idempotency.value, IdempotencyKey: f.req.GetIdempotencyKey(),
		Deadline: f.deadline.wire(), MaxWait: f.maxWait.wire(), Lease: f.lease.wire(), CredentialRef: f.req.GetCredentialRef(),
		Labels: f.labels.values, ReporterId: f.req.GetReporterId(), Fingerprint: f.req.GetFingerprint(), DryRun: f.req.GetDryRun(),
	}
	if f.attempts.number != nil {
		n := int32(*f.attempts.number)
		r.MaxAttempts = &n
	}
	if f.cost.number != nil || f.input.number != nil || f.output.number != nil {
		r.Estimate = &pb.Estimate{CostMicros: f.cost.number, InputTokens: f.input.number, MaxOutputTokens: f.output.number}
	}
	return r, nil
}

func newAcquire() *cobra.Command {
	var ask *askFlags
	cmd := talks(&cobra.Command{
		Use:   "acquire [TARGET]",
		Short: "Ask whether a call may be made",
		Long: `Ask whether one call of TARGET, or of a chain, may be made now. Ends with 0 if
it is granted, 75 if it is to wait, 4 if it is denied; -o name prints the permit's
id and nothing else.

Whoever is granted a permit must report it: 'resilienced report PERMIT'. To ask,
run a command and report in one go, use 'resilienced exec'.`,
		Example: `  resilienced acquire openai/gpt-x
  resilienced acquire openai/gpt-x --run nightly --estimate-cost 0.02 --dry-run
  resilienced acquire --chain answer --max-wait 10s
  PERMIT=$(resilienced acquire tool/search -o name) && ./search.sh
  resilienced report "$PERMIT" --outcome success`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeTargets,
	}, named(), func(ctx context.Context, s *session, args []string) error {
		req, err := ask.request(argument(args))
		if err != nil {
			return err
		}
		got, err := s.Permits.Acquire(ctx, req)
		if err != nil {
			return err
		}
		if s.form == formName && got.GetDecision() != pb.Decision_DECISION_GRANTED {
			return fail(decisionCode(got.GetDecision()), errors.New(refusalText(got)))
		}
		err = s.show(got, func() error { return acquireDetails(got).Write(s.screen) }, func() []string {
			if got.GetPermit() == nil {
				return nil // a dry run
			}
			return []string{got.GetPermit().GetPermitId()}
		})
		if err != nil || got.GetDecision() == pb.Decision_DECISION_GRANTED {
			return err
		}
		return fail(decisionCode(got.GetDecision()), errors.New("")) // the answer has said it
	})
	ask = newAskFlags(cmd)
	cmd.Flags().BoolVar(&ask.req.DryRun, "dry-run", false, "decide and change nothing; a grant carries no permit")
	return cmd
}

// decisionCode is the exit code of a refusal. A decision that this version does
// not know is a denial.
func decisionCode(d pb.Decision) int {
	if d == pb.Decision_DECISION_WAIT {
		return exitTemporary
	}
	return exitDenied
}

// refusalText is a refusal on one line.
func refusalText(r *pb.AcquireResponse) string {
	text := dash(enum.Word(r.GetDecision())) + ": " + dash(enum.Word(r.GetReason()))
	if r.GetBlockedBy() != "" {
		text += ", blocked by " + r.GetBlockedBy()
	}
	if d := r.GetDelay().AsDuration(); d > 0 {
		text += ", ask again in " + terminal.Duration(d)
	}
	if a := enum.Word(r.GetAction()); a != "" {
		text += "; the service says " + a
		if r.GetNext() != nil {
			text += " to " + nextLevel(r.GetNext())
		}
	}
	if r.GetTerminal() {
		text += "; asking again does not help by itself"
	}
	return text + " (resilienced explain " + r.GetDecisionId() + ")"
}

func acquireDetails(r *pb.AcquireResponse) details {
	d := newDetails()
	d.styled("decision", enum.Word(r.GetDecision()), decisionStyle(r.GetDecision()))
	d.add("reason", enum.Word(r.GetReason()))
	d.add("rule", r.GetRule())
	d.add("blocked by", r.GetBlockedBy())
	if delay := r.GetDelay().AsDuration(); delay > 0 {
		d.add("ask again in", terminal.Duration(delay))
	}
	d.add("do instead", enum.Word(r.GetAction()))
	d.add("next", nextLevel(r.GetNext()))
	if r.GetTerminal() {
		d.add("terminal", "asking again does not help by itself")
	}
	d.add("would have been", would(r.GetWould()))
	for _, l := range r.GetSkipped() {
		d.add("skipped", skippedLevel(l))
	}
	d.add("result", r.GetResultRef())
	if p := r.GetPermit(); p != nil {
		permitDetails(d, p)
	}
	d.add("run", runSummary(r.GetRun()))
	d.add("decision id", r.GetDecisionId())
	return d
}

func permitDetails(d details, p *pb.Permit) {
	d.add("target", level(p.GetTarget(), p.GetLevel()))
	if p.GetIsProbe() {
		d.add("probe", "this call tells whether the target is well again")
	}
	d.add("attempt", positive(p.GetAttempt()))
	d.add("timeout", terminal.Duration(p.GetTimeoutHint().AsDuration()))
	d.add("lease", terminal.Duration(p.GetLease().AsDuration()))
	if cost := p.GetReserved().GetCostMicros(); cost > 0 {
		d.add("reserved", fmt.Sprintf("%s (%s)", terminal.Money(cost, terminal.Unknown), enum.Word(p.GetEstimateSource())))
	}
	d.add("idempotency key", p.GetIdempotencyKey())
	d.add("operation", p.GetOperationId())
	d.add("fence", strconv.FormatUint(p.GetFence(), 10))
	d.add("permit", p.GetPermitId())
}

// runSummary is a run in a few words. Its currency is not known here.
func runSummary(r *pb.RunSummary) string {
	if r == nil {
		return ""
	}
	text := fmt.Sprintf("%s is %s, %s spent", r.GetRunId(), enum.Word(r.GetState()), terminal.Money(r.GetSpent().GetCostMicros(), terminal.Unknown))
	if left := r.GetRemaining(); left != nil && left.CostMicros != nil {
		text += ", " + terminal.Money(left.GetCostMicros(), terminal.Unknown) + " left"
	}
	return text
}
