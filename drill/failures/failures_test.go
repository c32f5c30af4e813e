// SPDX-License-Identifier: Apache-2.0

package failures_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/resilienced/resilienced/drill/failures"
	"github.com/resilienced/resilienced/node"
)

// serve starts a node in memory and returns a connection to it.
func serve(t *testing.T) *grpc.ClientConn {
	t.Helper()
	n, err := node.New(t.Context(), node.Config{Store: "memory", AllowDrills: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	listener := bufconn.Listen(1 << 20)
	done := make(chan error, 1)
	go func() { done <- n.ServeListener(ctx, listener) }()
	conn, err := grpc.NewClient("passthrough:///node",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func play(t *testing.T, conn *grpc.ClientConn, in failures.Input) *failures.Transcript {
	t.Helper()
	got, err := failures.Run(t.Context(), conn, in)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// scene finds a kind; at finds when a pattern first fired in it, -1: never.
func scene(t *testing.T, tr *failures.Transcript, kind string) *failures.Scene {
	t.Helper()
	i := slices.IndexFunc(tr.Scenes, func(s failures.Scene) bool { return s.Kind == kind })
	if i < 0 {
		t.Fatalf("no scene %q", kind)
	}
	return &tr.Scenes[i]
}

func at(s *failures.Scene, pattern string) time.Duration {
	i := slices.IndexFunc(s.Fired, func(f failures.Fired) bool { return f.Pattern == pattern })
	if i < 0 {
		return -1
	}
	return s.Fired[i].At
}

const ms = time.Millisecond

// TestNumbersOfThePolicy: what fires, and when, follows the policy's numbers.
// A call takes 200 ms, operations are a second apart.
func TestNumbersOfThePolicy(t *testing.T) {
	conn := serve(t)
	for _, c := range []struct {
		name, policy, kind, pattern string
		want                        time.Duration
	}{
		{"llm retries after 1 s", "{match: x, preset: llm}", "transient", "success after retries", 3600 * ms},
		{"tool retries after 0.5 s", "{match: x, preset: tool}", "transient", "success after retries", 2100 * ms},
		{"fixed backoff", "{match: x, preset: llm, retry: {backoff: FIXED, initial: 4s}}", "transient", "success after retries", 8600 * ms},
		{"one attempt", "{match: x, preset: llm, retry: {max_attempts: 1}}", "transient", "dead letter", 200 * ms},
		{"opens with the second failure", "{match: x, preset: llm, breaker: {consecutive_failures: 2}}", "persistent", "breaker opened", 1400 * ms},
		{"cooldown of its own", "{match: x, preset: llm, breaker: {consecutive_failures: 2, cooldown_base: 7s}}", "persistent", "one probe", 8400 * ms},
		{"bad answers", "{match: x, preset: llm, breaker: {consecutive_quality: 1}}", "quality", "breaker opened", 200 * ms},
		{"a payment that timed out", "{match: x, preset: action}", "unrecoverable", "a person is asked", 200 * ms},
		{"never opens", "{match: x, preset: llm, breaker: {consecutive_failures: 0, window: 0}}", "persistent", "breaker opened", -1},
	} {
		got := play(t, conn, failures.Input{Policy: "version: 1\ntargets: [" + c.policy + "]\n", Target: "x"})
		s := scene(t, got, c.kind)
		if when := at(s, c.pattern); when != c.want {
			t.Errorf("%s: %q at %v, want %v\n%+v", c.name, c.pattern, when, c.want, s.Fired)
		}
		if c.want < 0 && len(s.Remarks) == 0 {
			t.Errorf("%s: nobody says so", c.name)
		}
	}
}

// TestMoney: a cap stops the run, and a missing price is said.
func TestMoney(t *testing.T) {
	conn := serve(t)
	capped := "version: 1\nruns: {caps: {cost_micros: 1200000}}\ntargets: [{match: x, preset: llm, price: {per_call: 100000}}]\n"
	s := scene(t, play(t, conn, failures.Input{Policy: capped, Target: "x"}), "rate/cost")
	if at(s, "refused at once (RUN_EXHAUSTED)") < 0 {
		t.Errorf("%+v", s.Fired)
	}
	if last := s.Lines[slices.IndexFunc(s.Lines, func(l failures.Line) bool { return strings.HasPrefix(l.What, "the run: ") })]; last.What != "the run: EXHAUSTED, spent $1.20 of $1.20, overrun $0.00" {
		t.Errorf("%q", last.What)
	}
	s = scene(t, play(t, conn, failures.Input{Policy: strings.Replace(capped, ", price: {per_call: 100000}", "", 1), Target: "x"}), "rate/cost")
	if at(s, "refused at once (PRICE_UNKNOWN)") < 0 || len(s.Remarks) == 0 {
		t.Errorf("%+v %q", s.Fired, s.Remarks)
	}
}

// TestSameText: the same policy gives the same transcript, so that it can be
// kept and compared; the shipped example is answered in every kind.
func TestSameText(t *testing.T) {
	conn := serve(t)
	text, err := os.ReadFile("../../deploy/policies/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		tr := play(t, conn, failures.Input{Policy: string(text), Chain: "answer"})
		if err := tr.WriteText(b); err != nil {
			t.Fatal(err)
		}
		if kinds := tr.Unanswered(); len(kinds) > 0 {
			t.Errorf("not answered: %v", kinds)
		}
	}
	if first.String() != second.String() {
		t.Errorf("two transcripts:\n%s\n%s", &first, &second)
	}
}

// TestObserved: a policy that only observes is shown as such.
func TestObserved(t *testing.T) {
	s := scene(t, play(t, serve(t), failures.Input{Policy: "version: 1\ndry_run: true\ntargets: [{match: x, preset: fast}]\n", Target: "x"}), "persistent")
	if at(s, "observed only: BREAKER_OPEN") < 0 || at(s, "refused at once (BREAKER_OPEN)") >= 0 {
		t.Errorf("%+v", s.Fired)
	}
}

func TestWrongInput(t *testing.T) {
	conn := serve(t)
	for _, in := range []failures.Input{{Policy: "version: 1\n"}, {Policy: "version: 1\n", Target: "a", Chain: "b"}, {Policy: "version: 2\n", Target: "a"}, {Policy: "version: 1\n", Chain: "none"}} {
		if _, err := failures.Run(t.Context(), conn, in); err == nil {
			t.Errorf("%+v: no error", in)
		}
	}
}
