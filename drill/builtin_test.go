// SPDX-License-Identifier: Apache-2.0

package drill_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/resilienced/resilienced/drill"
	"github.com/resilienced/resilienced/node"
)

// serve starts a node in memory and returns a connection to it.
func serve(t *testing.T, cfg node.Config) *grpc.ClientConn {
	t.Helper()
	cfg.Store = "memory"
	n, err := node.New(t.Context(), cfg)
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
		if err := conn.Close(); err != nil {
			t.Errorf("close the connection: %v", err)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("the node: %v", err)
		}
	})
	return conn
}

// TestBuiltinScenarios runs every built-in scenario over the real API. One
// that needs a later version's RPC must say so; all others must pass.
func TestBuiltinScenarios(t *testing.T) {
	scenarios, err := drill.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	report := drill.Run(t.Context(), serve(t, node.Config{AllowDrills: true}), scenarios, drill.Options{})
	if report.Err != nil {
		t.Fatal(report.Err)
	}
	var later []string
	for _, r := range report.Results {
		if r.Reason == drill.NotInVersion {
			later = append(later, r.ID)
			continue
		}
		if !r.OK() {
			t.Errorf("%s: %s in step %d %s: %+v\n%s", r.ID, r.Reason, r.Step, r.Verb, r.Mismatches, r.Message)
		}
	}
	t.Logf("%d scenarios passed; these need a later version: %s", len(report.Results)-report.Failed(), strings.Join(later, " "))
	for _, k := range report.Kinds {
		// Batches are not in this version.
		if exercised := len(k.Patterns) > 0; exercised != (k.Kind != "partial") {
			t.Errorf("kind %s: patterns %+v", k.Kind, k.Patterns)
		}
	}
}

// TestBreakingARule shows that a drill fails when the service does otherwise
// than the scenario says.
func TestBreakingARule(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wrong.yaml")
	text := `
id: W
title: "a second retry waits longer than the first"
targets: {t: {kind: llm}}
steps:
- {acquire: {op: o, target: t, as: a}}
- {report: {permit: a, sig: {http: 503}}, expect: {action: RETRY, delay_ms: 2000}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	scenarios, err := drill.Load([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	failed, err := drill.Execute(t.Context(), serve(t, node.Config{AllowDrills: true}), scenarios, drill.Options{Out: &out})
	if err != nil || failed != 1 {
		t.Errorf("%d failed, error %v", failed, err)
	}
	if want := "step 2 (line 7) report: delay_ms: want 2000, got 1000"; !strings.Contains(out.String(), want) {
		t.Errorf("%q is not in\n%s", want, &out)
	}
}

// TestDrillsOff shows what a server says that was started without drills.
func TestDrillsOff(t *testing.T) {
	scenarios, err := drill.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	report := drill.Run(t.Context(), serve(t, node.Config{}), scenarios, drill.Options{})
	if report.Err == nil || !strings.Contains(report.Err.Error(), "DRILLS_OFF") || report.Failed() != len(scenarios) {
		t.Errorf("%d of %d failed, error %v", report.Failed(), len(scenarios), report.Err)
	}
}
