// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/node"
)

// all makes every check. What needs an answer of the gRPC port is left out
// when there is none.
func (d *doctor) all(ctx context.Context) {
	answers := d.health(ctx)
	d.pages(ctx)
	if !answers {
		return
	}
	d.policy(ctx)
	d.enforcing(ctx)
	d.breakers(ctx)
	d.runs(ctx)
}

func (d *doctor) health(ctx context.Context) bool {
	const check = "server"
	got, err := d.Health.Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		d.trouble(check, bad, err)
		return false
	}
	if got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		d.found(check, bad, "wait for it to start, or send calls to another replica", "%s answers and is %s", d.Addr(), got.GetStatus())
		return true
	}
	d.found(check, good, "", "%s answers and serves", d.Addr())
	return true
}

// mostSkew is by how much two clocks may differ before times on the screen
// mislead. Decisions use the store's clock alone.
const mostSkew = 5 * time.Second

// pages looks at the HTTP port: readiness, version, clock.
func (d *doctor) pages(ctx context.Context) {
	var r ready
	page, err := client.GetPage(ctx, d.http, "/readyz", pageTimeout, &r)
	if err != nil {
		d.trouble("json port", warn, err)
		return
	}
	d.found("json port", good, "", "%s answers", d.http)
	if page.Status != http.StatusOK || !r.Ready {
		d.found("ready", bad, "see the checks below", "it says that it is not ready")
	} else {
		d.found("ready", good, "", "it may be sent calls")
	}
	for _, c := range r.Checks {
		v := good
		if !c.OK {
			v = bad
			if c.Advisory {
				v = warn
			}
		}
		d.found("ready/"+c.Name, v, "", "%s", or(c.Detail, "well"))
	}
	if !page.Date.IsZero() {
		d.clock(time.Since(page.Date))
	}
	d.version(ctx)
}

// store looks at the store itself, as a server would use it.
func (d *doctor) store(ctx context.Context, cfg node.StoreConfig) error {
	found, err := node.InspectStore(ctx, cfg)
	for _, f := range found {
		d.found(f.Check, verdict(f.Verdict), f.Cure, "%s", f.Found)
	}
	return err
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// clock judges by how much this machine is ahead. The server's time is cut to
// the second.
func (d *doctor) clock(ahead time.Duration) {
	if ahead < -mostSkew || ahead > mostSkew {
		d.found("clock", warn, "set both by NTP; decisions are not affected, times on the screen are",
			"this machine and the server differ by about %s", terminal.Duration(ahead.Abs()))
		return
	}
	d.found("clock", good, "", "it agrees with this machine's")
}

func (d *doctor) version(ctx context.Context) {
	theirs, err := serverBuild(ctx, d.http)
	if err != nil {
		d.trouble("version", warn, err)
		return
	}
	ours := node.ReadBuild()
	if theirs.Version != ours.Version || theirs.Revision != ours.Revision {
		d.found("version", warn, "run the same version on both sides", "the server is %s, this command is %s", theirs, ours)
		return
	}
	d.found("version", good, "", "both are %s", ours)
}

func (d *doctor) policy(ctx context.Context) {
	got, err := d.Policies.GetPolicy(ctx, &pb.GetPolicyRequest{})
	if err != nil {
		d.trouble("policy", bad, err)
		return
	}
	if got.GetYaml() == "" {
		d.found("policy", warn, "start from deploy/policies/minimal.yaml, and: resilienced policy apply FILE --reason WHY", "%s", policyHead(got))
	} else {
		d.found("policy", good, "", "%s", policyHead(got))
	}
	d.prices(got)
}

// prices looks at how old the prices are, and at what the policy most likely
// does not mean.
func (d *doctor) prices(got *pb.GetPolicyResponse) {
	p, err := parseInForce(got)
	if err != nil {
		d.trouble("prices", warn, err)
		return
	}
	for _, w := range p.Warnings() {
		d.found("policy", warn, "", "%s", w)
	}
	asOf, dated := p.PricesAsOf()
	switch {
	case !dated:
		d.found("prices", good, "", "no table; only what entries of the policy say has a price")
	case p.Stale(time.Now()):
		d.found("prices", warn, "check them, and: resilienced prices import --help", "they are of %s, more than 90 days ago", asOf.Format(time.DateOnly))
	default:
		d.found("prices", good, "", "as of %s", asOf.Format(time.DateOnly))
	}
}

func (d *doctor) enforcing(ctx context.Context) {
	const check = "enforcement"
	got, err := d.Policies.GetEnforcement(ctx, &pb.GetEnforcementRequest{})
	if err != nil {
		d.trouble(check, warn, err)
		return
	}
	e := got.GetEnforcement()
	if p := e.GetPass(); p != nil {
		d.found("pass", warn, "resilienced pass --end", "everything passes for %s (%s: %s)",
			terminal.Duration(p.GetRemaining().AsDuration()), dash(p.GetActor()), p.GetReason())
	}
	var observed, enforced []string
	for _, entry := range e.GetEntries() {
		if entry.GetMode() == pb.EnforcementMode_ENFORCEMENT_MODE_OBSERVE {
			observed = append(observed, entry.GetMatch())
		} else {
			enforced = append(enforced, entry.GetMatch())
		}
	}
	switch {
	case e.GetServerObserves() && !slices.Contains(enforced, "*"):
		d.found(check, warn, "see what it would refuse with: resilienced report", "the server was started with --observe; enforced all the same: %s",
			or(strings.Join(enforced, ", "), "nothing"))
	case len(observed) > 0:
		d.found(check, warn, "see what they would refuse with: resilienced report", "observed only: %s", strings.Join(observed, ", "))
	default:
		d.found(check, good, "", "as the policy says%s", enforcedToo(enforced))
	}
}

func enforcedToo(patterns []string) string {
	if len(patterns) == 0 {
		return ""
	}
	return ", and enforced: " + strings.Join(patterns, ", ")
}

// shown is how many names a finding lists.
const shown = 5

func (d *doctor) breakers(ctx context.Context) {
	got, err := d.listTargets(ctx, "", []pb.BreakerState{pb.BreakerState_BREAKER_STATE_OPEN, pb.BreakerState_BREAKER_STATE_FORCED_OPEN})
	if err != nil {
		d.trouble("breakers", warn, err)
		return
	}
	var names []string
	for _, t := range got.GetTargets() {
		names = append(names, targetName(t))
	}
	if len(names) > 0 {
		d.found("breakers", warn, "resilienced targets get "+quoted(got.GetTargets()[0].GetTarget()), "open: %s", few(names))
		return
	}
	d.found("breakers", good, "", "none is open")
}

func (d *doctor) runs(ctx context.Context) {
	got, err := d.listRuns(ctx, &pb.ListRunsRequest{States: []pb.RunState{pb.RunState_RUN_STATE_EXHAUSTED}})
	if err != nil {
		d.trouble("runs", warn, err)
		return
	}
	if names := runNames(got.GetRuns()); len(names) > 0 {
		d.found("runs", warn, "raise a cap with: resilienced runs adjust "+quoted(names[0])+" --cost +1.00 --reason WHY", "exhausted: %s", few(names))
		return
	}
	d.found("runs", good, "", "none is exhausted")
}

// few lists the first names.
func few(names []string) string {
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + " and " + count(int64(len(names)-shown), "more")
	}
	return strings.Join(names, ", ")
}
