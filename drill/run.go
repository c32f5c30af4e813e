// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// defaultCallTimeout bounds one RPC. Nothing blocks in a drill.
const defaultCallTimeout = time.Minute

// Run runs the scenarios one after another over conn. It stops early when ctx
// ends, or when the server starts no drills; what it then left out counts as
// failed.
func Run(ctx context.Context, conn grpc.ClientConnInterface, scenarios []Scenario, opts Options) Report {
	var report Report
	seen := newSightings()
	for _, s := range scenarios {
		result := Result{ID: s.ID, Title: s.Title, File: s.File}
		began := time.Now()
		switch {
		case len(s.Faults) > 0:
			result.Reason, result.Message = Invalid, faultText(s.Faults)
		case report.Err == nil && ctx.Err() != nil:
			report.Err = fmt.Errorf("interrupted: %w", context.Cause(ctx))
			fallthrough
		case report.Err != nil:
			result.Reason = NotRun
		default:
			var found *sightings
			found, report.Err = runScenario(ctx, conn, &s, opts, &result)
			if result.OK() {
				seen.add(s.ID, found)
			} else if ctx.Err() != nil {
				result.Reason, result.Mismatches, result.Message = NotRun, nil, "interrupted"
			}
		}
		result.Took = time.Since(began)
		report.Results = append(report.Results, result)
		if opts.Progress != nil {
			opts.Progress(result)
		}
	}
	report.Kinds = seen.kinds()
	return report
}

func faultText(faults []Fault) string {
	lines := make([]string, 0, len(faults))
	for _, f := range faults {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

// runScenario runs one scenario and fills in its result. Its error says that
// the others need not be tried.
func runScenario(
	ctx context.Context, conn grpc.ClientConnInterface, s *Scenario, opts Options, result *Result,
) (*sightings, error) {
	known := verbs()
	for i, step := range s.steps {
		if v := known[step.verb]; v.do == nil {
			result.at(i, step)
			result.Reason, result.Message = NotInVersion, "this version has no "+v.rpc
			result.Pending = opts.AllowPending
			return nil, nil
		}
	}
	timeout := opts.CallTimeout
	if timeout <= 0 {
		timeout = defaultCallTimeout
	}
	sess := newSession(conn, timeout)
	if err := sess.start(ctx); err != nil {
		result.fail(SetUp, err)
		return nil, hopeless(err)
	}
	defer func() {
		if err := sess.end(ctx); err != nil && result.OK() {
			result.Step, result.Line, result.Verb = 0, 0, ""
			result.fail(TearDown, err)
		}
	}()
	found := newSightings()
	if err := sess.setUp(ctx, s); err != nil {
		result.fail(SetUp, err)
		return nil, nil
	}
	for i, step := range s.steps {
		result.at(i, step)
		if !sess.run(ctx, known[step.verb], step, result) {
			return nil, nil
		}
		found.note(step, sess.events)
	}
	return found, nil
}

// run runs one step and reports whether it went as expected.
func (s *session) run(ctx context.Context, v verb, st step, result *Result) bool {
	s.events = nil
	got, err := v.do(ctx, s, st.args)
	var failed *callError
	switch {
	case err == nil:
		if s.events == nil {
			s.events = []event{{st.verb, "", got}}
		}
	case !errors.As(err, &failed):
		result.fail(Failed, err)
		return false
	case !expects(st, fieldError):
		result.Mismatches = []Mismatch{{Want: "success", Got: err.Error()}}
		result.Reason = Mismatched
		if failed.status.Code() == codes.Unimplemented {
			result.Reason = NotInVersion
		}
		return false
	default:
		if got, err = s.afterError(ctx, v, st, failed); err != nil {
			result.fail(Failed, err)
			return false
		}
	}
	if result.Mismatches = match(st.expect, got); len(result.Mismatches) > 0 {
		result.Reason, result.Message = Mismatched, "answer "+got.String()
	}
	return result.OK()
}

// afterError is the answer of a call that failed as it may have had to: the
// reason, and the object's state if that is expected too.
func (s *session) afterError(ctx context.Context, v verb, st step, failed *callError) (answer, error) {
	got := answer{}
	if v.read != nil && len(st.expect) > 1 {
		var err error
		if got, err = v.read(ctx, s, st.args); err != nil {
			return nil, fmt.Errorf("after %w: read the object: %w", failed, err)
		}
	}
	got[fieldError] = failed.reason()
	if failed.reason() == "" {
		got[fieldError] = "no reason (" + failed.Error() + ")"
	}
	return got, nil
}

// expects reports whether a step says what a field must be.
func expects(st step, name string) bool {
	for _, e := range st.expect {
		if e.field.name == name {
			return true
		}
	}
	return false
}

// start makes the drill's namespace.
func (s *session) start(ctx context.Context) error {
	resp, err := pb.NewDrillServiceClient(s.conn).StartDrill(ctx, &pb.StartDrillRequest{RequestId: s.requestID("")})
	if err != nil {
		return err
	}
	if resp.GetNamespace() == "" {
		return errors.New("DrillService.StartDrill: the answer names no namespace")
	}
	s.conn.namespace = resp.GetNamespace()
	return nil
}

// setUp applies the scenario's policy and starts its runs, parents first.
func (s *session) setUp(ctx context.Context, sc *Scenario) error {
	text, err := policyText(sc)
	if err != nil {
		return err
	}
	if text != "" {
		_, err := pb.NewPolicyServiceClient(s.conn).ApplyPolicy(ctx, &pb.ApplyPolicyRequest{
			RequestId: s.requestID(""), Yaml: text, Reason: auditReason,
		})
		if err != nil {
			return err
		}
	}
	for _, r := range sc.runs {
		req := &pb.StartRunRequest{RequestId: s.requestID(""), RunId: r.id, ParentRunId: r.parent}
		if r.costCap != nil {
			req.Caps = &pb.Caps{CostMicros: r.costCap}
		}
		if _, err := pb.NewRunServiceClient(s.conn).StartRun(ctx, req); err != nil {
			return fmt.Errorf("run %q: %w", r.id, err)
		}
	}
	return nil
}

// end deletes the namespace, also when the drill was interrupted.
func (s *session) end(ctx context.Context) error {
	_, err := pb.NewDrillServiceClient(s.conn).EndDrill(
		context.WithoutCancel(ctx), &pb.EndDrillRequest{RequestId: s.requestID("")})
	return err
}

// hopeless returns the error if no other drill would start either.
func hopeless(err error) error {
	var failed *callError
	if !errors.As(err, &failed) {
		return nil
	}
	for _, c := range []codes.Code{
		codes.Unavailable, codes.Unimplemented, codes.Unauthenticated, codes.PermissionDenied, codes.FailedPrecondition,
	} {
		if failed.status.Code() == c {
			return fmt.Errorf("no drill can be started: %w", err)
		}
	}
	return nil
}
