// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/cmd/resilienced/child"
	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// guarded is one `exec` under way.
type guarded struct {
	*session
	flags    *execFlags
	args     []string
	signals  chan os.Signal
	begun    time.Time
	deadline time.Duration // 0: none
	open     bool          // run the command without the service
	last     *child.Result // how the command ended last; nil: it has not run
}

// say tells the person something, on standard error only.
func (g *guarded) say(format string, args ...any) {
	_ = g.stderr.Text("resilienced: " + fmt.Sprintf(format, args...)) // without standard error the exit code remains
}

// loop asks, runs and reports, once or as often as the service says.
func (g *guarded) loop(ctx context.Context, req *pb.AcquireRequest) error {
	for {
		if err := g.left(req); err != nil {
			return g.notAgain(err)
		}
		got, err := g.Permits.Acquire(ctx, req)
		if err != nil {
			return g.without(err)
		}
		if got.GetDecision() != pb.Decision_DECISION_GRANTED || got.GetPermit() == nil {
			if err := g.refused(ctx, req, got); err != nil {
				return g.notAgain(err)
			}
			continue
		}
		req.OperationId = got.GetPermit().GetOperationId()
		r, err := g.attempt(ctx, req, got.GetPermit())
		if err != nil {
			return err
		}
		g.last = &r
		directive := g.report(ctx, got.GetPermit(), r)
		again, err := g.next(ctx, req, r, directive)
		if err != nil || !again {
			return err
		}
	}
}

// notAgain is the end when the command may not run (again): of a command that
// has run, its exit code is passed on.
func (g *guarded) notAgain(err error) error {
	if g.last == nil {
		return err
	}
	g.say("the command is not run again: %v", err)
	return ended(*g.last)
}

// left puts what is left of the deadline, and a new id, into a request.
func (g *guarded) left(req *pb.AcquireRequest) error {
	req.RequestId = newRequestID()
	if g.deadline == 0 {
		return nil
	}
	rest := g.deadline - time.Since(g.begun)
	if rest <= 0 {
		return fail(exitTemporary, errors.New("the deadline is over"))
	}
	req.Deadline = durationpb.New(rest)
	return nil
}

// without decides when the service gave no answer.
func (g *guarded) without(err error) error {
	e, ok := client.As(err)
	switch {
	case !ok || !e.Down() || g.last != nil: // nobody may retry on its own
		return g.notAgain(err)
	case !g.open:
		return fail(exitTemporary, fmt.Errorf("the command was not run: %w", err))
	}
	g.say("running the command unguarded (--fail-closed would not): %s", e.Text)
	r, err := g.run(nil, nil)
	if err != nil {
		return err
	}
	return ended(r)
}

// refused waits if the service says so and may be obeyed; else it is the end.
func (g *guarded) refused(ctx context.Context, req *pb.AcquireRequest, got *pb.AcquireResponse) error {
	wait := got.GetDelay().AsDuration()
	again := got.GetDecision() == pb.Decision_DECISION_WAIT || got.GetAction() == pb.Action_ACTION_RETRY && wait > 0
	switch {
	case g.flags.obey && again:
		g.say("%s", refusalText(got))
		return g.pause(ctx, wait)
	case g.flags.obey && got.GetAction() == pb.Action_ACTION_FALLBACK && g.fallTo(req, got.GetNext()):
		g.say("%s", refusalText(got))
		return nil
	}
	return fail(exitTemporary, errors.New("the command was not run: "+refusalText(got)))
}

// fallTo asks for another target next. A chain is asked for as before: the
// service knows its level.
func (g *guarded) fallTo(req *pb.AcquireRequest, next *pb.NextLevel) bool {
	if next.GetTarget() == "" || next.GetTarget() == req.GetTarget() {
		return false
	}
	if req.GetChain() == "" {
		req.Target = next.GetTarget()
	}
	return true
}

// shortestPause keeps a server that names no wait from being asked in a tight
// loop.
const shortestPause = 50 * time.Millisecond

// pause waits, unless a signal ends it or the deadline comes first.
func (g *guarded) pause(ctx context.Context, d time.Duration) error {
	d = max(d, shortestPause)
	if g.deadline > 0 && time.Since(g.begun)+d > g.deadline {
		return fail(exitTemporary, fmt.Errorf("the wait of %s does not fit in the deadline", terminal.Duration(d)))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case sig := <-g.signals:
			if number, ok := sig.(syscall.Signal); ok && ends(number) {
				return fail(signalCode(number), errors.New("interrupted while waiting"))
			}
		case <-ctx.Done():
			return fail(exitTemporary, errors.New("interrupted while waiting"))
		}
	}
}

func ends(s syscall.Signal) bool {
	return s == syscall.SIGINT || s == syscall.SIGTERM || s == syscall.SIGHUP || s == syscall.SIGQUIT
}

func signalCode(s syscall.Signal) int { return 128 + int(s) }

// attempt runs the command under a permit. One that cannot be started gives
// its permit back.
func (g *guarded) attempt(ctx context.Context, req *pb.AcquireRequest, p *pb.Permit) (child.Result, error) {
	beats := g.beat(context.WithoutCancel(ctx), p)
	r, err := g.run(environment(req, p), beats.stop)
	beats.end()
	if err == nil {
		return r, nil
	}
	release := &pb.ReleaseRequest{RequestId: newRequestID(), Permit: &pb.ReleaseRequest_PermitId{PermitId: p.GetPermitId()}, Fence: p.GetFence()}
	if _, releaseErr := g.Permits.Release(context.WithoutCancel(ctx), release); releaseErr != nil {
		g.say("the permit could not be given back, and ends with its lease: %v", releaseErr)
	}
	return r, err
}

func (g *guarded) run(env []string, stop <-chan struct{}) (child.Result, error) {
	r, err := child.Run(child.Spec{
		Args: g.args, Env: env, In: g.in, Out: g.out, Err: g.err,
		Timeout: g.flags.timeout.length, Signals: g.signals, Stop: stop,
	})
	if start, ok := errors.AsType[*child.StartError](err); ok {
		return r, fail(start.Code, err)
	}
	return r, fail(exitSoftware, err)
}

// environment tells the command what it is part of.
func environment(req *pb.AcquireRequest, p *pb.Permit) []string {
	env := []string{
		envPermit + "=" + p.GetPermitId(), envOperation + "=" + p.GetOperationId(), envTarget + "=" + p.GetTarget(),
		envAttempt + "=" + strconv.Itoa(int(p.GetAttempt())),
	}
	for _, v := range [][2]string{{envRun, req.GetRunId()}, {envTask, req.GetTaskId()}, {envKey, p.GetIdempotencyKey()}} {
		if v[1] != "" {
			env = append(env, v[0]+"="+v[1])
		}
	}
	return env
}

// ended is the exit of a command as the exit of exec.
func ended(r child.Result) error {
	if r.Code == exitOK {
		return nil
	}
	return fail(r.Code, errors.New("")) // the command has said what it had to
}

// next carries out a directive, if it is to be obeyed. It tells whether to ask
// again.
func (g *guarded) next(ctx context.Context, req *pb.AcquireRequest, r child.Result, d *pb.ReportResponse) (bool, error) {
	if d == nil || r.Code == exitOK || r.Interrupted {
		return false, ended(r)
	}
	g.say("the command ended with %d; the service says %s", r.Code, directiveText(d))
	if !g.flags.obey {
		return false, ended(r)
	}
	switch d.GetAction() { //nolint:exhaustive // all others end it
	case pb.Action_ACTION_RETRY:
		if err := g.pause(ctx, d.GetDelay().AsDuration()); err != nil {
			return false, g.notAgain(err)
		}
		return true, nil
	case pb.Action_ACTION_FALLBACK:
		if g.fallTo(req, d.GetNext()) {
			return true, nil
		}
	}
	return false, ended(r)
}
