// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/resilienced/resilienced/drill"
	"github.com/resilienced/resilienced/node"
)

func newDrill() *cobra.Command {
	store := oneOf{"memory", []string{"memory", "sqlite"}}
	format := oneOf{string(drill.Table), append(drill.Formats(), "json")}
	addr, own := "", &policyDrill{}
	cmd := &cobra.Command{
		Use:   "drill [FILE|DIR ...]",
		Short: "Run scenarios, or play failures against a policy of yours",
		Long: `Run scenarios over the real API, each in a namespace of its own whose clock
stands still: against a server made for the occasion, or a running one that was
started with --allow-drills. Without an argument the built-in scenarios run.

With --policy the six kinds of failure are played against your own numbers, for
one target or chain, and a transcript says which pattern fired when. It needs no
server. The same policy gives the same transcript: keep it beside the policy,
and let CI compare with --check.

Exits with 1 if a scenario does not go as written, a kind of failure is answered
by nothing, or a transcript is not the one that was kept.`,
		Example: `  resilienced drill
  resilienced drill --store sqlite -o tap
  resilienced drill scenarios/ my-case.yaml
  resilienced drill --addr 127.0.0.1:7070
  resilienced drill --policy policy.yaml --chain answer > answer.transcript
  resilienced drill --policy policy.yaml --chain answer --check answer.transcript`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if format.value == "json" && own.file == "" {
				return fail(exitUsage, errors.New("-o json is for --policy; use tap or junit for scenarios"))
			}
			if own.file != "" || own.target != "" || own.chain != "" || own.check != "" {
				return own.run(cmd, args, store.value, addr, format.value)
			}
			scenarios, err := load(args)
			if err != nil {
				return fail(exitUsage, err)
			}
			options := drill.Options{
				Format: drill.Format(format.value), Out: cmd.OutOrStdout(),
				AllowPending: len(args) == 0, // the built-in ones are ahead of the API; files are the caller's
			}
			if addr != "" {
				return drillAt(cmd.Context(), addr, scenarios, options)
			}
			return drillOwn(cmd.Context(), store.value, scenarios, options, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().Var(&store, "store", "store of the server that is made; its records are thrown away")
	cmd.Flags().StringVar(&addr, "addr", "", "`ADDRESS` of a running server to use instead")
	cmd.Flags().VarP(&format, "output", "o", "form of the report; json is for --policy")
	cmd.Flags().StringVar(&own.file, "policy", "", "policy `FILE` to play the kinds of failure against")
	cmd.Flags().StringVar(&own.target, "target", "", "`NAME` of the target that is called, with --policy")
	cmd.Flags().StringVar(&own.chain, "chain", "", "`NAME` of the chain that is called, with --policy")
	cmd.Flags().StringVar(&own.check, "check", "", "transcript `FILE` that must come out again, with --policy")
	return cmd
}

func load(paths []string) ([]drill.Scenario, error) {
	if len(paths) == 0 {
		return drill.Builtin()
	}
	scenarios, err := drill.Load(paths)
	if err != nil {
		return nil, err
	}
	if len(scenarios) == 0 {
		return nil, errors.New("there is no scenario in what was named; name .yaml files or folders of them")
	}
	return scenarios, nil
}

// drillOwn runs the scenarios against a node of its own.
func drillOwn(ctx context.Context, store string, scenarios []drill.Scenario, options drill.Options, stderr io.Writer) error {
	return withNode(ctx, store, stderr, func(addr string) error { return drillAt(ctx, addr, scenarios, options) })
}

// withNode starts a node whose records are thrown away, and ends it after use.
func withNode(ctx context.Context, store string, stderr io.Writer, use func(addr string) error) error {
	dir, err := os.MkdirTemp("", "resilienced-drill-")
	if err != nil {
		return fail(exitUnavailable, err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what cannot be removed is the system's to clean
	n, err := node.New(ctx, node.Config{
		Store: store, DataDir: dir, AllowDrills: true, Logger: newLogger(stderr, "text", "error"),
	})
	if err != nil {
		return fail(startCode(err), err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fail(exitUnavailable, errors.Join(err, n.Shutdown(ctx)))
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- n.ServeListener(serving, listener) }()
	outcome := use(listener.Addr().String())
	stop()
	if err := <-served; err != nil {
		return errors.Join(outcome, fail(exitUnavailable, err))
	}
	return outcome
}

// drillAt runs the scenarios against the server at an address.
func drillAt(ctx context.Context, addr string, scenarios []drill.Scenario, options drill.Options) error {
	return withConn(ctx, addr, func(conn *grpc.ClientConn) error {
		failed, err := drill.Execute(ctx, conn, scenarios, options)
		switch {
		case err != nil:
			return fail(exitFailed, err)
		case failed > 0:
			return fail(exitFailed, errors.New("")) // the report has said it
		}
		return nil
	})
}

// withConn connects to a server that must answer.
func withConn(ctx context.Context, addr string, use func(*grpc.ClientConn) error) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fail(exitUsage, fmt.Errorf("the address %q cannot be used: %w", addr, err))
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	if err := reachable(ctx, conn); err != nil {
		return fail(exitUnavailable, fmt.Errorf("nobody answers at %s (is resilienced running there? start it with: resilienced serve --allow-drills): %w", addr, err))
	}
	return use(conn)
}

// reachable asks for a sign of life; a server that has no health service gives
// one too by saying so.
func reachable(ctx context.Context, conn *grpc.ClientConn) error {
	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := healthpb.NewHealthClient(conn).Check(bounded, &healthpb.HealthCheckRequest{})
	if code := status.Code(err); code == codes.Unavailable || code == codes.DeadlineExceeded {
		return err
	}
	return nil
}
