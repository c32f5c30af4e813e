// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/resilienced/resilienced/bench/process"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// TestMain makes this test binary the program that a child runs.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == process.Serve {
		if err := process.ServeChild(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func start(t *testing.T, s process.Spec) (*process.Child, error) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := process.Start(context.WithoutCancel(t.Context()), program, s, t.Output())
	if err == nil {
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return c, err
}

func acquire(t *testing.T, address string) *pb.AcquireResponse {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing was left on it
	resp, err := pb.NewPermitServiceClient(conn).Acquire(t.Context(), &pb.AcquireRequest{Target: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestEchoes(t *testing.T) {
	canned, err := (&pb.AcquireResponse{DecisionId: "canned"}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []process.Kind{process.Echo, process.Plain} {
		t.Run(string(kind), func(t *testing.T) {
			c, err := start(t, process.Spec{Kind: kind, Acquire: canned})
			if err != nil {
				t.Fatal(err)
			}
			if got := acquire(t, c.Address).GetDecisionId(); got != "canned" {
				t.Errorf("the answer is %q", got)
			}
		})
	}
}

func TestANode(t *testing.T) {
	for _, kind := range []process.Kind{process.Memory, process.SQLite} {
		t.Run(string(kind), func(t *testing.T) {
			policy := filepath.Join(t.TempDir(), "policy.yaml")
			if err := os.WriteFile(policy, []byte("version: 1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := start(t, process.Spec{Kind: kind, DataDir: t.TempDir(), PolicyFile: policy})
			if err != nil {
				t.Fatal(err)
			}
			before, err := c.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := acquire(t, c.Address); got.GetDecision() != pb.Decision_DECISION_GRANTED || got.GetPermit() == nil {
				t.Errorf("the answer is %v", got)
			}
			after, err := c.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if after.Commits <= before.Commits || after.CPU < before.CPU {
				t.Errorf("from %+v to %+v", before, after)
			}
		})
	}
}

func TestAProfile(t *testing.T) {
	c, err := start(t, process.Spec{Kind: process.Echo})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.StartProfile(); err != nil {
		t.Fatal(err)
	}
	if err := c.StartProfile(); err == nil {
		t.Error("two profiles at once")
	}
	raw, err := c.StopProfile()
	if err != nil || !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

func TestAChildThatCannotServe(t *testing.T) {
	for _, s := range []process.Spec{{Kind: "nothing"}, {Kind: process.Echo, Acquire: []byte{0xff}}, {Kind: process.Memory, PolicyFile: "not there"}} {
		if c, err := start(t, s); err == nil {
			t.Errorf("%+v serves at %s", s, c.Address)
		}
	}
}
