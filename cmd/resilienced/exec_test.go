// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// process is the command as a process of its own.
func process(t *testing.T, addr string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1", "RESILIENCED_ADDR="+addr)
	return cmd
}

func codeOf(t *testing.T, err error) int {
	t.Helper()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

func TestExecPassesStreamsAndCodesThrough(t *testing.T) {
	s := live(t)
	s.must(t, "runs", "start", "r", "--cost", "1")
	cmd := process(t, s.conn.Target(), "exec", "--target", "ci/deploy", "--run", "r", "--task", "k", "--cost", "0.25", "--operation", "op-1", "--",
		"sh", "-c", `cat; echo oops >&2; echo "$RESILIENCE_RUN_ID $RESILIENCE_TASK_ID $RESILIENCE_OPERATION_ID $RESILIENCE_TARGET $RESILIENCE_ATTEMPT"; test -n "$RESILIENCE_PERMIT_ID"`)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader("in\n"), &errs
	out, err := cmd.Output()
	if codeOf(t, err) != 0 || string(out) != "in\nr k op-1 ci/deploy 1\n" || errs.String() != "oops\n" {
		t.Errorf("%v, %q, %q", err, out, errs.String())
	}
	if got := s.must(t, "runs", "get", "r"); !strings.Contains(got, "$0.25 spent of $1.00") || !strings.Contains(got, "calls       1 spent") {
		t.Errorf("the run afterwards:\n%s", got)
	}
	cmd = process(t, s.conn.Target(), "exec", "--target", "ci/deploy", "sh", "-c", "exit 42") // no -- is needed
	cmd.Stderr = &errs
	if out, err := cmd.Output(); codeOf(t, err) != 42 || len(out) != 0 || !strings.Contains(errs.String(), "the command ended with 42; the service says") {
		t.Errorf("%v, %q, %q", err, out, errs.String())
	}
	if got := s.must(t, "targets", "get", "ci/deploy", "-o", "json"); !strings.Contains(got, `"consecutive_failures": 1`) {
		t.Errorf("a failure did not count against the target:\n%s", got)
	}
}

func TestExecRefused(t *testing.T) {
	s := live(t)
	s.must(t, "targets", "open", "t", "--for", "1h", "--reason", "outage")
	code, out, errs := s.op(t, "exec", "--target", "t", "--", "sh", "-c", "echo ran")
	if code != exitTemporary || out != "" || !strings.Contains(errs, "the command was not run: DENIED: FORCED_OPEN, blocked by t, ask again in 59m") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--target", "free", "--", "no-such-command-at-all"}, 127, "no-such-command-at-all"},
		{[]string{"--target", "free", "--", "/"}, 126, "is a directory"},
		{[]string{"--target", "free", "--run", "none", "--", "true"}, exitNotFound, "no such run"},
		{[]string{"--", "true"}, exitUsage, "name a target"},
		{[]string{"--target", "free"}, exitUsage, "at least 1 arg"},
		{[]string{"--target", "free", "--timeout", "0s", "--", "true"}, exitUsage, "above 0"},
		{[]string{"--target", "free", "--means", "0=timeout", "--", "true"}, exitUsage, "CODE=KIND"},
		{[]string{"--target", "free", "--means", "7=9000", "--", "true"}, exitUsage, "no HTTP status"},
		{[]string{"--target", "free", "--fail-open", "--fail-closed", "--", "true"}, exitUsage, "fail-closed"},
	} {
		if code, out, errs := s.op(t, append([]string{"exec"}, c.args...)...); code != c.code || out != "" || !strings.Contains(errs, c.says) {
			t.Errorf("%q: exit %d, %q, %q", c.args, code, out, errs)
		}
	}
	if got := s.must(t, "targets", "get", "free", "-o", "json"); !strings.Contains(got, `"calls": "0"`) {
		t.Errorf("a command that could not be started voted:\n%s", got)
	}
}

// The service is never the outage, and a cap that nobody asked for does not
// hold.
func TestExecWithoutTheService(t *testing.T) {
	addr := nobody(t)
	for _, c := range []struct {
		args []string
		code int
		out  string
		says string
	}{
		{[]string{"--target", "t"}, 7, "ran\n", "running the command unguarded (--fail-closed would not): nobody answers"},
		{[]string{"--target", "t", "--fail-closed"}, exitTemporary, "", "the command was not run: nobody answers"},
		{[]string{"--target", "t", "--run", "r"}, exitTemporary, "", "the command was not run: nobody answers"},
		{[]string{"--target", "t", "--run", "r", "--fail-open"}, 7, "ran\n", "unguarded"},
	} {
		code, out, errs := runAt(t, addr, append(append([]string{"exec"}, c.args...), "--", "sh", "-c", "echo ran; exit 7")...)
		if code != c.code || out != c.out || !strings.Contains(errs, c.says) {
			t.Errorf("%q: exit %d, %q, %q", c.args, code, out, errs)
		}
	}
}

func TestExecSendsSignalsOn(t *testing.T) {
	s := live(t)
	for _, c := range []struct {
		sig    syscall.Signal
		script string
		code   int
	}{
		{syscall.SIGTERM, `trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.01; done`, 9},
		{syscall.SIGINT, `trap 'echo caught; exit 8' INT; echo ready; while :; do sleep 0.01; done`, 8},
		{syscall.SIGHUP, `echo ready; while :; do sleep 0.01; done`, 129},
		{syscall.SIGUSR1, `trap 'echo caught; exit 6' USR1; echo ready; while :; do sleep 0.01; done`, 6},
	} {
		cmd := process(t, s.conn.Target(), "exec", "--target", "t", "--operation", "sig-"+c.sig.String(), "--", "sh", "-c", c.script)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		if line, err := lines.ReadString('\n'); line != "ready\n" || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		if err := cmd.Process.Signal(c.sig); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(lines)
		if code := codeOf(t, cmd.Wait()); err != nil || code != c.code || c.code != 129 && string(rest) != "caught\n" {
			t.Errorf("%v: exit %d, want %d; %q, %v", c.sig, code, c.code, rest, err)
		}
	}
}

// scripted is a permit service that answers as told.
type scripted struct {
	acquires, heartbeats, reports atomic.Int32
	acquire                       func(n int, r *pb.AcquireRequest) (*pb.AcquireResponse, error)
	heartbeat                     func(n int) (*pb.HeartbeatResponse, error)
	report                        func(n int, r *pb.ReportRequest) (*pb.ReportResponse, error)
}

func (s *scripted) serve(t *testing.T) string {
	t.Helper()
	return serveFake(t, func(_ context.Context, _ string, req any) (any, error) {
		switch r := req.(type) {
		case *pb.AcquireRequest:
			got, err := s.acquire(int(s.acquires.Add(1)), r)
			return answered(got, err)
		case *pb.HeartbeatRequest:
			got, err := s.heartbeat(int(s.heartbeats.Add(1)))
			return answered(got, err)
		case *pb.ReportRequest:
			got, err := s.report(int(s.reports.Add(1)), r)
			return answered(got, err)
		}
		return nil, nil
	})
}

func answered[T any](got *T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return got, nil
}

func granted(target string, attempt int32) *pb.AcquireResponse {
	return &pb.AcquireResponse{Decision: pb.Decision_DECISION_GRANTED, Permit: &pb.Permit{
		PermitId: "p", Fence: 5, Target: target, Attempt: attempt, OperationId: "made", Lease: durationpb.New(time.Hour), HeartbeatEvery: durationpb.New(time.Hour),
	}}
}

func TestExecReports(t *testing.T) {
	for _, c := range []struct {
		args   []string
		script string
		want   func(r *pb.ReportRequest) bool
	}{
		{nil, "exit 0", func(r *pb.ReportRequest) bool {
			return r.GetOutcome() == pb.Outcome_OUTCOME_SUCCESS && r.GetSignal() == nil
		}},
		{nil, "exit 3", func(r *pb.ReportRequest) bool {
			return r.GetOutcome() == pb.Outcome_OUTCOME_FAILURE && r.GetSignal().GetException() == "exit status 3"
		}},
		{nil, "kill -9 $$", func(r *pb.ReportRequest) bool { return r.GetSignal().GetException() == "signal: killed" }},
		{[]string{"--timeout", "30ms"}, "sleep 60", func(r *pb.ReportRequest) bool {
			return r.GetOutcome() == pb.Outcome_OUTCOME_FAILURE && r.GetSignal().GetException() == "timeout" && r.GetDuration().AsDuration() >= 30*time.Millisecond
		}},
		{[]string{"--means", "22=503", "--means", "28=timeout"}, "exit 22", func(r *pb.ReportRequest) bool {
			return r.GetSignal().GetHttpStatus() == 503 && r.GetSignal().GetException() == ""
		}},
		{[]string{"--means", "22=503", "--means", "28=timeout"}, "exit 28", func(r *pb.ReportRequest) bool { return r.GetSignal().GetException() == "timeout" }},
		{[]string{"--cost", "0.5"}, "exit 0", func(r *pb.ReportRequest) bool { return r.GetUsage().GetCostMicros() == 500_000 }},
	} {
		var seen *pb.ReportRequest
		s := &scripted{
			acquire: func(int, *pb.AcquireRequest) (*pb.AcquireResponse, error) { return granted("t", 1), nil },
			report: func(n int, r *pb.ReportRequest) (*pb.ReportResponse, error) {
				seen = r
				if n == 1 { // the first answer is lost on the way
					return nil, status.Error(codes.Unavailable, "gone")
				}
				return &pb.ReportResponse{Action: pb.Action_ACTION_STOP}, nil
			},
		}
		runAt(t, s.serve(t), append(append([]string{"exec", "--target", "t"}, c.args...), "--", "sh", "-c", c.script)...)
		if seen == nil || !c.want(seen) || seen.GetPermitId() != "p" || seen.GetFence() != 5 || s.reports.Load() != 2 {
			t.Errorf("%q %q: reported %d times: %v", c.args, c.script, s.reports.Load(), seen)
		}
	}
}

// With --obey: WAIT, then a failure with RETRY, a refusal with FALLBACK, then
// success on the other target, all of one operation.
func TestExecObeys(t *testing.T) {
	var asked []*pb.AcquireRequest
	s := &scripted{
		acquire: func(n int, r *pb.AcquireRequest) (*pb.AcquireResponse, error) {
			asked = append(asked, r)
			switch n {
			case 1:
				return &pb.AcquireResponse{Decision: pb.Decision_DECISION_WAIT, Reason: pb.DecisionReason_DECISION_REASON_COOLDOWN, Delay: durationpb.New(time.Millisecond)}, nil
			case 3:
				return &pb.AcquireResponse{
					Decision: pb.Decision_DECISION_DENIED, Reason: pb.DecisionReason_DECISION_REASON_BREAKER_OPEN,
					Action: pb.Action_ACTION_FALLBACK, Next: &pb.NextLevel{Target: "spare"},
				}, nil
			}
			return granted(r.GetTarget(), int32(n)), nil
		},
		report: func(_ int, r *pb.ReportRequest) (*pb.ReportResponse, error) {
			if r.GetOutcome() == pb.Outcome_OUTCOME_SUCCESS {
				return &pb.ReportResponse{Action: pb.Action_ACTION_CONTINUE}, nil
			}
			return &pb.ReportResponse{Action: pb.Action_ACTION_RETRY, Delay: durationpb.New(time.Millisecond)}, nil
		},
	}
	code, out, errs := runAt(t, s.serve(t), "exec", "--target", "main", "--obey", "--deadline", "1m", "--", "sh", "-c", `echo "$RESILIENCE_TARGET"; test "$RESILIENCE_TARGET" = spare`)
	if code != exitOK || out != "main\nspare\n" || len(asked) != 4 {
		t.Fatalf("exit %d, %q, %d acquires\n%s", code, out, len(asked), errs)
	}
	ids := map[string]bool{}
	for i, r := range asked {
		ids[r.GetRequestId()] = true
		if wantOp := map[bool]string{true: "made"}[i >= 2]; r.GetOperationId() != wantOp || r.GetDeadline().AsDuration() <= 0 || r.GetDeadline().AsDuration() > time.Minute {
			t.Errorf("acquire %d: %v", i+1, r)
		}
	}
	if len(ids) != 4 {
		t.Error("two acquires have one request id")
	}
}

// A command that has run is not run again on its own account.
func TestExecObeysOnlyTheService(t *testing.T) {
	down := status.Error(codes.Unavailable, "gone")
	for name, second := range map[string]func() (*pb.AcquireResponse, error){
		"the service went away": func() (*pb.AcquireResponse, error) { return nil, down },
		"refused": func() (*pb.AcquireResponse, error) {
			return &pb.AcquireResponse{Decision: pb.Decision_DECISION_DENIED}, nil
		},
		"a wait too long": func() (*pb.AcquireResponse, error) {
			return &pb.AcquireResponse{Decision: pb.Decision_DECISION_WAIT, Delay: durationpb.New(time.Hour)}, nil
		},
	} {
		s := &scripted{
			acquire: func(n int, _ *pb.AcquireRequest) (*pb.AcquireResponse, error) {
				if n == 1 {
					return granted("t", 1), nil
				}
				return second()
			},
			report: func(int, *pb.ReportRequest) (*pb.ReportResponse, error) {
				return &pb.ReportResponse{Action: pb.Action_ACTION_RETRY}, nil
			},
		}
		code, out, errs := runAt(t, s.serve(t), "exec", "--target", "t", "--obey", "--deadline", "1m", "--", "sh", "-c", "echo ran; exit 5")
		if code != 5 || out != "ran\n" || !strings.Contains(errs, "the command is not run again") {
			t.Errorf("%s: exit %d, %q, %q", name, code, out, errs)
		}
	}
}

func TestExecHeartbeats(t *testing.T) {
	lost, err := status.New(codes.FailedPrecondition, "the permit's lease is over").WithDetails(&errdetails.ErrorInfo{Reason: "LEASE_LOST", Domain: "resilienced"})
	if err != nil {
		t.Fatal(err)
	}
	down := status.Error(codes.Unavailable, "gone")
	short := func(lease time.Duration) *pb.AcquireResponse {
		g := granted("t", 1)
		g.Permit.Lease, g.Permit.HeartbeatEvery = durationpb.New(lease), durationpb.New(10*time.Millisecond)
		return g
	}
	for _, c := range []struct {
		name    string
		args    []string
		lease   time.Duration
		beat    func(n int) (*pb.HeartbeatResponse, error)
		script  string
		code    int
		outcome pb.Outcome
		says    string
	}{
		{"kept alive", nil, time.Minute, func(int) (*pb.HeartbeatResponse, error) {
			return &pb.HeartbeatResponse{Lease: durationpb.New(time.Minute), HeartbeatEvery: durationpb.New(10 * time.Millisecond)}, nil
		}, "sleep 0.1", 0, pb.Outcome_OUTCOME_SUCCESS, ""},
		{"cancelled", nil, time.Minute, func(int) (*pb.HeartbeatResponse, error) {
			return &pb.HeartbeatResponse{CancelRequested: true, CancelReason: pb.DecisionReason_DECISION_REASON_RUN_STOPPED}, nil
		}, "sleep 60", 143, pb.Outcome_OUTCOME_CANCELLED, "RUN_STOPPED"},
		{"lease lost", nil, time.Minute, func(int) (*pb.HeartbeatResponse, error) { return nil, lost.Err() }, "sleep 60", 143, pb.Outcome_OUTCOME_CANCELLED, "lease is over"},
		{"down, open", nil, time.Millisecond, func(int) (*pb.HeartbeatResponse, error) { return nil, down }, "sleep 0.1", 0, pb.Outcome_OUTCOME_SUCCESS, "goes on unguarded"},
		{"down, closed", []string{"--fail-closed"}, time.Millisecond, func(int) (*pb.HeartbeatResponse, error) { return nil, down }, "sleep 60", 143, pb.Outcome_OUTCOME_CANCELLED, "ending the command"},
		{"down for a moment", []string{"--fail-closed"}, time.Minute, func(int) (*pb.HeartbeatResponse, error) { return nil, down }, "sleep 0.1", 0, pb.Outcome_OUTCOME_SUCCESS, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var outcome pb.Outcome
			s := &scripted{
				acquire:   func(int, *pb.AcquireRequest) (*pb.AcquireResponse, error) { return short(c.lease), nil },
				heartbeat: c.beat,
				report: func(_ int, r *pb.ReportRequest) (*pb.ReportResponse, error) {
					outcome = r.GetOutcome()
					return &pb.ReportResponse{Action: pb.Action_ACTION_CONTINUE}, nil
				},
			}
			code, _, errs := runAt(t, s.serve(t), append(append([]string{"exec", "--target", "t"}, c.args...), "--", "sh", "-c", c.script)...)
			if code != c.code || outcome != c.outcome || !strings.Contains(errs, c.says) || c.says == "" && errs != "" || s.heartbeats.Load() == 0 {
				t.Errorf("exit %d, %v, %d heartbeats, %q", code, outcome, s.heartbeats.Load(), errs)
			}
		})
	}
}
