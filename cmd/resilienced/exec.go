// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/child"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// execAsk is how long exec waits for one answer of the service, unless told
// otherwise: a command should not stand still because the service does.
const execAsk = "2s"

// execFlags are what exec does around the command.
type execFlags struct {
	target     string
	ask        *askFlags
	timeout    span
	cost       amount
	means      meanings
	obey       bool
	failOpen   bool
	failClosed bool
}

func newExec() *cobra.Command {
	f := &execFlags{cost: amount{money: true}}
	cmd := talks(&cobra.Command{
		Use:   "exec --target TARGET -- COMMAND [ARG ...]",
		Short: "Ask, run a command, and report how it went",
		Long: `Ask whether TARGET may be called, run a command if so, and report its exit
code and how long it took. Its streams are its own: exec writes to standard error
only. Its exit code is passed on; 128 and the signal's number if a signal ended
it. If the call is refused, the command is not run and the exit code is 75.

While it runs, the permit is kept alive. Signals are sent on. It finds what it is
part of in RESILIENCE_RUN_ID, RESILIENCE_TASK_ID, RESILIENCE_OPERATION_ID,
RESILIENCE_PERMIT_ID, RESILIENCE_TARGET (of a chain: the one to call),
RESILIENCE_ATTEMPT and RESILIENCE_IDEMPOTENCY_KEY. A resilienced command below it
takes its run and its task from there.

Exit code 0 is a success, any other a failure whose kind nobody knows, which the
service does not retry. --means says what codes mean: an HTTP status, or the kind
of a local error such as timeout, connect, dns, reset.

With --obey the directive of the service is carried out: it waits and runs the
command again, for this target or the next. What the command has read of its
standard input is gone then.

If the service cannot be reached, the command is run and standard error says so:
the service is never the outage. With a run it is not run, exit code 75, because a
cap that is not asked for does not hold. --fail-closed and --fail-open say it the
other way.`,
		Example: `  resilienced exec --target ci/deploy -- ./deploy.sh
  resilienced exec --target tool/search --run nightly --cost 0.002 -- ./search.sh 'a question'
  resilienced exec --target http/pay --obey --deadline 2m --idempotency idempotent \
    --means 28=timeout --means 7=connect --means 22=503 -- curl -fsS https://pay.example/health`,
		Args: cobra.MinimumNArgs(1),
	}, nil, func(ctx context.Context, s *session, args []string) error { return f.exec(ctx, s, args) })
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringVar(&f.target, "target", "", "the `TARGET` that the command calls")
	f.ask = newAskFlags(cmd)
	flags.Var(&f.timeout, "timeout", "longest that the command may run; then it is asked to end, and killed 10 s later")
	flags.Var(&f.cost, "cost", "what one run of the command costs: estimated before it and reported after it")
	flags.Var(&f.means, "means", "what an exit code means; may be repeated")
	flags.BoolVar(&f.obey, "obey", false, "wait, retry and fall back as the service says")
	flags.BoolVar(&f.failOpen, "fail-open", false, "run the command if the service cannot be reached, though it has a run")
	flags.BoolVar(&f.failClosed, "fail-closed", false, "do not run the command if the service cannot be reached")
	cmd.MarkFlagsMutuallyExclusive("fail-open", "fail-closed")
	timeout := cmd.PersistentFlags().Lookup("rpc-timeout")
	_ = timeout.Value.Set(execAsk) // it is a time span
	timeout.DefValue = execAsk
	_ = cmd.RegisterFlagCompletionFunc("target", completeTargets) // the flag is there
	return cmd
}

func (f *execFlags) exec(ctx context.Context, s *session, args []string) error {
	req, err := f.ask.request(f.target)
	if err != nil {
		return err
	}
	if f.cost.number != nil && req.GetEstimate() == nil { // what it costs is known
		req.Estimate = &pb.Estimate{CostMicros: f.cost.number}
	}
	if f.timeout.set && f.timeout.length <= 0 {
		return errors.New("--timeout must be above 0")
	}
	if req.GetReporterId() == "" {
		req.ReporterId = "exec " + newRequestID()
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, child.Forwarded()...)
	defer signal.Stop(signals)
	g := &guarded{session: s, flags: f, args: args, signals: signals, begun: time.Now(), deadline: f.ask.deadline.length, open: f.opens(req)}
	return g.loop(ctx, req)
}

// opens tells whether the command is run without the service.
func (f *execFlags) opens(req *pb.AcquireRequest) bool {
	return f.failOpen || !f.failClosed && req.GetRunId() == ""
}

// meanings is a flag for CODE=KIND.
type meanings struct{ kinds map[int]string }

// String returns the meanings.
func (m *meanings) String() string {
	all := make([]string, 0, len(m.kinds))
	for code, kind := range m.kinds {
		all = append(all, strconv.Itoa(code)+"="+kind)
	}
	return strings.Join(all, ",")
}

// Type names the form for help.
func (m *meanings) Type() string { return "CODE=KIND" }

// Set reads 28=timeout and 22=503.
func (m *meanings) Set(text string) error {
	code, kind, ok := strings.Cut(text, "=")
	n, err := strconv.Atoi(code)
	if !ok || err != nil || n < 1 || n > 255 || kind == "" {
		return errors.New("write CODE=KIND, such as 28=timeout or 22=503")
	}
	if status, err := strconv.Atoi(kind); err == nil && (status < 100 || status > 599) {
		return fmt.Errorf("%d is no HTTP status", status)
	}
	if m.kinds == nil {
		m.kinds = map[int]string{}
	}
	m.kinds[n] = kind
	return nil
}

// signal is what the wire would have said.
func (m *meanings) signal(r child.Result) *pb.Signal {
	if r.TimedOut {
		return &pb.Signal{Exception: "timeout"}
	}
	if r.Signal != 0 {
		return &pb.Signal{Exception: "signal: " + r.Signal.String()}
	}
	kind, known := m.kinds[r.Code]
	if !known {
		return &pb.Signal{Exception: fmt.Sprintf("exit status %d", r.Code)}
	}
	if status, err := strconv.ParseInt(kind, 10, 32); err == nil {
		code := int32(status)
		return &pb.Signal{HttpStatus: &code}
	}
	return &pb.Signal{Exception: kind}
}
