// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/node"
)

// serveFlags are the settings of the service.
type serveFlags struct {
	cfg        node.Config
	reflection bool
	logFormat  oneOf
	logLevel   oneOf
}

func newServe() *cobra.Command {
	f := &serveFlags{
		logFormat: oneOf{"text", []string{"text", "json"}},
		logLevel:  oneOf{"info", []string{"debug", "info", "warn", "error"}},
	}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Start the service",
		Long: `Start the service. It keeps its records in one SQLite file in the data
directory and listens on this machine only: for gRPC, and on a second port for
JSON over HTTP with /healthz, /readyz, /metrics and /version.

With --store postgres://USER@HOST/DATABASE any number of replicas are one
service. Give the password by PGPASSWORD or a password file, or the whole by
RESILIENCED_STORE: a command line can be read by other users of the machine.

SIGTERM or SIGINT drains: /readyz and health say so, calls under way finish, and
nothing that was answered is lost. A second signal ends the process at once,
which is safe too.

The policy file is applied when it changes; SIGHUP has it looked at at once. A
file with a fault changes nothing: the policy before stays in force, and the log
says what is wrong. Only at the start is such a file fatal (exit code 78).

With --observe nothing is refused: every answer says what it would have been,
and what that would have saved is counted by target. An operator then enforces
target after target.`,
		Example: `  resilienced serve
  resilienced serve --policy policy.yaml --data-dir /var/lib/resilienced
  resilienced serve --observe
  resilienced serve --store 'postgres://resilienced@db.internal/app?sslmode=verify-full'
  resilienced serve --store memory --allow-drills
  RESILIENCED_LOG_FORMAT=json resilienced serve`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.cfg.NoReflection = !f.reflection
			f.cfg.Version = node.ReadBuild().Version
			f.cfg.Logger = newLogger(cmd.ErrOrStderr(), f.logFormat.value, f.logLevel.value)
			return serve(cmd.Context(), f.cfg)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.cfg.Listen, "listen", node.DefaultListen, "`ADDRESS` of the gRPC port")
	flags.StringVar(&f.cfg.HTTPListen, "http-listen", node.DefaultHTTPListen, "`ADDRESS` of the port for JSON, health and metrics over HTTP; "+node.Off+" leaves it out")
	flags.StringVar(&f.cfg.Store, "store", "sqlite", "where records are kept: `STORE` is sqlite, sqlite:PATH, postgres://USER@HOST/DATABASE, which replicas share, or memory, which forgets all at the end")
	flags.StringVar(&f.cfg.Schema, "schema", "", "`SCHEMA` of the tables in a PostgreSQL database; nothing outside it is touched (default: resilienced)")
	flags.StringVar(&f.cfg.ListenDSN, "listen-dsn", "", "`DSN` of the PostgreSQL database itself, where to listen for other replicas if --store leads to a pooler such as PgBouncer")
	flags.StringVar(&f.cfg.DataDir, "data-dir", "", "`FOLDER` of the database (default: the platform's, such as ~/.local/share/resilienced)")
	flags.StringVar(&f.cfg.PolicyFile, "policy", "", "policy `FILE` to apply if it is not the one applied last, at the start and when it changes")
	flags.BoolVar(&f.cfg.Observe, "observe", false, "compute and count everything, and refuse nothing but what an operator enforces")
	flags.BoolVar(&f.cfg.AllowDrills, "allow-drills", false, "let callers make drill namespaces, whose clock they move")
	flags.BoolVar(&f.cfg.NoRecording, "no-recording", false, "keep no reported calls for policy simulate")
	flags.BoolVar(&f.reflection, "reflection", true, "offer gRPC reflection, for grpcurl and its like")
	flags.StringVar(&f.cfg.OTLPEndpoint, "otlp-endpoint", "", "send traces to the OpenTelemetry collector at `URL`, such as http://127.0.0.1:4317; none by default")
	flags.Var(&f.logFormat, "log-format", "form of the log on standard error")
	flags.Var(&f.logLevel, "log-level", "least level that is logged")
	flags.DurationVar(&f.cfg.DrainDelay, "drain-delay", 500*time.Millisecond, "pause between NOT_SERVING and refusing new calls")
	flags.DurationVar(&f.cfg.ShutdownTimeout, "shutdown-timeout", 20*time.Second, "how long calls under way may finish after a signal")
	flags.BoolVar(&f.cfg.InsecureListenAny, "insecure-listen-any", false, "listen in clear text on addresses that others can reach")
	return cmd
}

// serve runs a node until ctx ends.
func serve(ctx context.Context, cfg node.Config) error {
	node.TuneMemory()
	n, err := node.New(ctx, cfg)
	if err != nil {
		return fail(startCode(err), err)
	}
	if cfg.PolicyFile != "" {
		defer onHangup(ctx, n.Reload)()
	}
	if err := n.Serve(ctx); err != nil {
		return fail(startCode(err), err)
	}
	return nil
}

// startCode is the exit code of a service that did not start or did not end
// well.
func startCode(err error) int {
	_, policy := errors.AsType[*node.PolicyError](err)
	_, traces := errors.AsType[*node.TraceError](err)
	switch {
	case policy:
		return exitConfig
	case traces, errors.Is(err, node.ErrClearText), errors.Is(err, node.ErrNoSuchStore):
		return exitUsage
	case errors.Is(err, engine.ErrInternal):
		return exitSoftware
	default:
		return exitUnavailable
	}
}

func newLogger(out io.Writer, format, level string) *slog.Logger {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		least = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: least}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}
