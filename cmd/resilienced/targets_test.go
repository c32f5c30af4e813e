// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func TestTargets(t *testing.T) {
	s := live(t)
	if code, out, errs := s.op(t, "targets", "list"); code != exitOK || out != "" || !strings.Contains(errs, "no target") {
		t.Errorf("an empty list: exit %d, %q, %q", code, out, errs)
	}
	permit := strings.TrimSpace(s.must(t, "acquire", "openai/gpt-x", "-o", "name"))
	s.must(t, "report", permit, "--outcome", "failure", "--status", "503", "--duration", "250ms")
	wantText(t, "open", scrub(s.must(t, "targets", "open", "openai/gpt-x", "--reason", "outage")),
		"openai/gpt-x is FORCED_OPEN until somebody says: resilienced targets auto openai/gpt-x\n")
	wantText(t, "list", scrub(s.must(t, "targets", "list", "openai/*", "--state", "forced-open,open")), ""+
		"TARGET        STATE        FOR  FAILURES  CALLS  IN USE  COOLDOWN  NOTE\n"+
		"openai/gpt-x  FORCED_OPEN              0      0                    set by op: outage\n")
	wantText(t, "other state", s.must(t, "targets", "list", "--state", "closed", "-o", "name"), "")
	wantText(t, "names", s.must(t, "targets", "list", "-o", "name"), "openai/gpt-x\n")
	wantText(t, "auto", s.must(t, "targets", "auto", "openai/gpt-x", "--reason", "over"), "openai/gpt-x is CLOSED\n")
	if out := s.must(t, "targets", "close", "openai/gpt-x", "--for", "1h", "--reason", "false alarm"); !strings.HasPrefix(out, "openai/gpt-x is FORCED_CLOSED for ") {
		t.Errorf("close: %q", out)
	}
	details := scrub(s.must(t, "targets", "get", "openai/gpt-x"))
	for _, want := range []string{"state         FORCED_CLOSED", "set by        op: false alarm", "changed       AGO: CLOSED → FORCED_OPEN by op: outage"} {
		if !strings.Contains(details, want) {
			t.Errorf("get lacks %q:\n%s", want, details)
		}
	}
}

func TestTargetsJSONIsStable(t *testing.T) {
	s := live(t)
	s.must(t, "targets", "open", "t", "--for", "1h", "--reason", "r")
	var list struct {
		Targets []struct {
			Target         string `json:"target"`
			EffectiveState string `json:"effective_state"`
			Generation     string `json:"generation"` // 64 bits are strings
			Forced         struct {
				By        string `json:"by"`
				Remaining string `json:"remaining"`
			} `json:"forced"`
			LastTransitions []struct {
				At time.Time `json:"at"` // RFC 3339
			} `json:"last_transitions"`
		} `json:"targets"`
	}
	if err := json.Unmarshal([]byte(s.must(t, "targets", "list", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Targets) != 1 || list.Targets[0].EffectiveState != "BREAKER_STATE_FORCED_OPEN" || list.Targets[0].Generation == "" ||
		list.Targets[0].Forced.By != "op" || !strings.HasSuffix(list.Targets[0].Forced.Remaining, "s") ||
		len(list.Targets[0].LastTransitions) != 1 || time.Since(list.Targets[0].LastTransitions[0].At) > time.Hour {
		t.Errorf("%+v", list)
	}
	if out := s.must(t, "targets", "get", "t", "-o", "yaml"); !strings.Contains(out, "\neffective_state: BREAKER_STATE_FORCED_OPEN\n") {
		t.Errorf("yaml:\n%s", out)
	}
}

func TestTargetThatNobodyKnows(t *testing.T) {
	s := live(t)
	code, out, errs := s.op(t, "targets", "get", "opnai/gpt-x")
	if code != exitOK || !strings.Contains(out, "CLOSED") || !strings.Contains(errs, "no policy names opnai/gpt-x, and it was never called") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	s.must(t, "targets", "open", "openai/gpt-x", "--reason", "r")
	if _, _, errs := s.op(t, "targets", "get", "openai/gpt-x"); errs != "" {
		t.Errorf("a target that is known: %q", errs)
	}
}

func TestTargetsUsage(t *testing.T) {
	addr := nobody(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"targets", "open", "t"}, "--reason is required"},
		{[]string{"targets", "open", "t", "--for", "0s", "--reason", "r"}, "above 0"},
		{[]string{"targets", "open", "t", "--for", "soon", "--reason", "r"}, "7d"},
		{[]string{"targets", "auto", "t", "--for", "1h", "--reason", "r"}, "unknown flag"},
		{[]string{"targets", "list", "--state", "ajar"}, "half_open"},
		{[]string{"targets", "list", "a", "b"}, "accepts at most 1"},
		{[]string{"targets", "get"}, "accepts 1 arg"},
		{[]string{"targets", "gett"}, "did you mean get?"},
		{[]string{"targets", "list", "-o", "xml"}, "table, json, yaml, name"},
	} {
		if code, _, errs := runAt(t, addr, c.args...); code != exitUsage || !strings.Contains(errs, c.says) || !strings.Contains(errs, "--help") {
			t.Errorf("%q: exit %d, %q lacks %q", c.args, code, errs, c.says)
		}
	}
	if code, _, errs := runAt(t, addr, "targets", "list"); code != exitUnavailable || !strings.Contains(errs, "start it with: resilienced serve") {
		t.Errorf("nobody there: exit %d, %s", code, errs)
	}
}

func TestTargetsWatchPiped(t *testing.T) {
	s := live(t)
	s.must(t, "targets", "open", "a", "--reason", "r")
	for form, want := range map[string]string{"table": "  a  FORCED_OPEN  set by op: r\n", "json": `"effective_state":"BREAKER_STATE_FORCED_OPEN"`} {
		ctx, stop := context.WithCancel(t.Context())
		out := &waiting{want: []string{want, "CLOSED"}, then: []func(){
			func() { s.must(t, "targets", "auto", "a", "--reason", "r") }, stop,
		}}
		code := Run(ctx, []string{"targets", "watch", "--addr", s.conn.Target(), "-o", form}, strings.NewReader(""), out, &locked{})
		out.under.Wait()
		if code != exitOK || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: exit %d\n%s", form, code, out.String())
		}
		stop()
		s.must(t, "targets", "open", "a", "--reason", "r")
	}
}

// waiting is an output that does something when it sees what it waits for.
type waiting struct {
	locked
	want  []string
	then  []func()
	under sync.WaitGroup // of those that were begun
}

func (w *waiting) Write(p []byte) (int, error) {
	n, err := w.locked.Write(p)
	if len(w.want) > 0 && strings.Contains(string(p), w.want[0]) {
		then := w.then[0]
		w.want, w.then = w.want[1:], w.then[1:]
		w.under.Go(then) // the command that writes goes on
	}
	return n, err
}

func TestTargetsHistoryPages(t *testing.T) {
	var asked []*pb.ListTransitionsRequest
	at0 := timestamppb.New(time.Now().Add(-time.Hour))
	addr := serveFake(t, func(_ context.Context, method string, req any) (any, error) {
		r, ok := req.(*pb.ListTransitionsRequest)
		if !ok || method != "ListTransitions" {
			return nil, nil
		}
		asked = append(asked, r)
		if r.GetPageToken() == "" {
			return &pb.ListTransitionsResponse{NextPageToken: "2", Transitions: []*pb.TargetTransition{
				{At: at0, From: pb.BreakerState_BREAKER_STATE_CLOSED, To: pb.BreakerState_BREAKER_STATE_OPEN, Cause: pb.BreakerCause_BREAKER_CAUSE_TRANSPORT},
			}}, nil
		}
		return &pb.ListTransitionsResponse{Transitions: []*pb.TargetTransition{
			{At: at0, From: pb.BreakerState_BREAKER_STATE_OPEN, To: pb.BreakerState_BREAKER_STATE_CLOSED, Actor: "ann", Reason: "fixed"},
		}}, nil
	})
	code, out, errs := runAt(t, addr, "targets", "history", "t", "--since", "7d")
	want := "WHEN    FROM    TO      CAUSE      BY   REASON\n1h ago  CLOSED  OPEN    TRANSPORT\n1h ago  OPEN    CLOSED             ann  fixed\n"
	if code != exitOK || out != want || errs != "" {
		t.Errorf("exit %d\n%s\nwant\n%s%s", code, out, want, errs)
	}
	if len(asked) != 2 || asked[1].GetPageToken() != "2" || time.Until(asked[0].GetSince().AsTime().Add(7*24*time.Hour)).Abs() > time.Minute {
		t.Errorf("asked %v", asked)
	}
}

// A server that answers the same page for ever is not asked for ever.
func TestPagesEnd(t *testing.T) {
	addr := serveFake(t, func(_ context.Context, method string, _ any) (any, error) {
		if method != "ListTargets" {
			return nil, nil
		}
		return &pb.ListTargetsResponse{NextPageToken: "again", Targets: []*pb.Target{{Target: "t", OpenFor: durationpb.New(time.Second)}}}, nil
	})
	if code, _, errs := runAt(t, addr, "targets", "list"); code != exitSoftware || !strings.Contains(errs, "same page") {
		t.Errorf("exit %d, %s", code, errs)
	}
}
