// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
)

const (
	methodAcquire byte = 1
	methodReport  byte = 2

	decisionVersion = 1
	decisionPrefix  = "d"
	maxDecisionText = 64
)

// decisionID is what the id of a decision says by itself, when its row in the
// log is gone or was never written.
type decisionID struct {
	method    byte
	outcome   byte
	at        instant
	epoch     uint64
	delay     time.Duration
	reason    string
	rule      string
	blockedBy string
}

func (d *decisionID) encode() string {
	var room [160]byte
	raw := append(room[:0], decisionVersion, d.method, d.outcome)
	raw = binary.AppendVarint(raw, int64(d.at))
	raw = binary.AppendUvarint(raw, d.epoch)
	raw = binary.AppendVarint(raw, int64(d.delay))
	for _, s := range [...]string{d.reason, d.rule, d.blockedBy} {
		s = s[:min(len(s), maxDecisionText)]
		raw = binary.AppendUvarint(raw, uint64(len(s)))
		raw = append(raw, s...)
	}
	var text [320]byte
	return string(base64.RawURLEncoding.AppendEncode(append(text[:0], decisionPrefix...), raw))
}

func decodeDecision(id string) (*decisionID, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimPrefix(id, decisionPrefix))
	if err != nil || len(raw) < 3 || raw[0] != decisionVersion || !strings.HasPrefix(id, decisionPrefix) || hasLineBreak(id) {
		return nil, false
	}
	d := &decisionID{method: raw[1], outcome: raw[2]}
	r := reader{rest: raw[3:], whole: string(raw[3:])}
	d.at, d.epoch, d.delay = rules.Instant(r.varint()), r.uvarint(), time.Duration(r.varint())
	for _, s := range [...]*string{&d.reason, &d.rule, &d.blockedBy} {
		*s = strings.ToValidUTF8(r.text(), "?")
	}
	return d, !r.bad && len(r.rest) == 0
}

// DecisionRow is one row of the decision log.
type DecisionRow struct {
	ID        string  `json:"i"`
	At        instant `json:"t"`
	Method    byte    `json:"m"`
	Outcome   byte    `json:"o"`
	Reason    string  `json:"r,omitempty"`
	Rule      string  `json:"ru,omitempty"`
	BlockedBy string  `json:"b,omitempty"`
	Delay     int64   `json:"d,omitempty"`
	Epoch     uint64  `json:"e,omitempty"`
	Run       string  `json:"n,omitempty"`
	Operation string  `json:"op,omitempty"`
	Target    string  `json:"tg,omitempty"`
	Detail    string  `json:"de,omitempty"`
	// Would is what an observed rule would have answered.
	Would *operation.Withheld `json:"w,omitempty"`
}

// decisionRetention is how long rows of the log are kept.
const decisionRetention = 24 * time.Hour

// DueAt is when the row may go.
func (r *DecisionRow) DueAt() rules.Instant { return r.At.Add(decisionRetention) }

// OrderBy sorts the log by time.
func (r *DecisionRow) OrderBy() int64 { return int64(r.At) }

// Bounds of the log, so that it cannot become the load: rows that wait to be
// written, and refusals that are told apart within a second.
const (
	maxPendingRows = 4096
	maxSampled     = 4096
	maxRowsPerTurn = 256
)

// decisionLog collects rows outside of the decisions' transactions.
type decisionLog struct {
	mu      sync.Mutex
	pending []pendingRow
	second  int64
	sampled map[sampleKey]struct{}
	dropped int64  // since the last flush
	lost    uint64 // in all
}

type pendingRow struct {
	namespace string
	row       *DecisionRow
}

// sampleKey: of refusals alike in all of this, one a second is logged.
type sampleKey struct{ namespace, run, target, reason string }

func newDecisionLog() *decisionLog { return &decisionLog{sampled: map[sampleKey]struct{}{}} }

// offer adds a row unless the log is full.
func (l *decisionLog) offer(ns string, row *DecisionRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) >= maxPendingRows {
		l.dropped++
		l.lost++
		return
	}
	l.pending = append(l.pending, pendingRow{ns, row})
}

// sample reports whether this refusal is the first of its kind in its second.
func (l *decisionLog) sample(k sampleKey, now instant) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if second := int64(now) / int64(time.Second/time.Microsecond); second != l.second {
		l.second = second
		clear(l.sampled)
	}
	if _, seen := l.sampled[k]; seen || len(l.sampled) >= maxSampled {
		return false
	}
	l.sampled[k] = struct{}{}
	return true
}

// logAcquire logs a refusal, and a grant that is one only because a rule is
// observed, one a second of each kind.
func (e *Engine) logAcquire(a *acquire) {
	if e.replay {
		return
	}
	r := a.result
	reason, would := r.Reason, (*operation.Withheld)(nil)
	switch {
	case r.Decision == 0 || (r.Decision == admit.Granted && r.Would == nil):
		return
	case r.Would != nil:
		would = withholding(r.Would)
		if r.Decision == admit.Granted {
			reason = r.Would.Reason
		}
	}
	target := a.chain.Levels[0].Target
	if !e.decisions.sample(sampleKey{a.req.Namespace, a.req.RunID, target, string(reason)}, r.Now) {
		return
	}
	e.decisions.offer(a.req.Namespace, &DecisionRow{
		ID: r.DecisionID, At: r.Now, Method: methodAcquire, Outcome: byte(r.Decision), Reason: string(r.Reason), Rule: r.Rule,
		BlockedBy: r.BlockedBy, Delay: int64(r.Delay), Epoch: a.epoch, Run: a.req.RunID, Operation: a.req.OperationID,
		Target: target, Detail: r.Detail, Would: would,
	})
}

// logReport logs every directive other than to continue.
func (e *Engine) logReport(r *report) {
	if e.replay {
		return
	}
	a := &r.result.Answer
	if a.Action == operation.Continue || a.Action == operation.ActionUnspecified {
		return
	}
	e.decisions.offer(r.req.Namespace, &DecisionRow{
		ID: r.result.DecisionID, At: r.result.Now, Method: methodReport, Outcome: byte(a.Action), Reason: string(a.Reason),
		Rule: a.Rule, BlockedBy: a.RetryDenied, Delay: int64(a.Delay), Epoch: r.epoch, Run: r.claims.Run,
		Operation: r.claims.Operation, Target: r.claims.Target,
	})
}

// flushDecisions writes what the log has collected.
func (e *Engine) flushDecisions(ctx context.Context) {
	l := e.decisions
	l.mu.Lock()
	n := min(len(l.pending), maxRowsPerTurn)
	rows := append([]pendingRow(nil), l.pending[:n]...)
	l.pending = append(l.pending[:0], l.pending[n:]...)
	dropped := l.dropped
	l.dropped = 0
	l.mu.Unlock()
	if dropped > 0 {
		e.log.Warn("the decision log was full; their ids still explain these decisions", "dropped", dropped)
	}
	for part := range slices.Chunk(rows, e.commits.upkeep()) {
		if err := e.writeDecisions(ctx, part); err != nil {
			l.mu.Lock()
			l.lost += uint64(len(part))
			l.mu.Unlock()
			e.complaints.warn("decisions could not be logged; their ids still explain them", "error", err, "rows", len(part))
		}
	}
}

func (e *Engine) writeDecisions(ctx context.Context, rows []pendingRow) error {
	seen := map[statestore.Key]bool{}
	entries := make([]*statestore.Entry, 0, len(rows))
	kept := make([]*DecisionRow, 0, len(rows))
	for _, p := range rows {
		k := statestore.Key{Kind: statestore.KindDecision, Namespace: p.namespace, Name: p.row.ID}
		if !seen[k] {
			seen[k] = true
			entries, kept = append(entries, &statestore.Entry{Key: k, Mode: statestore.Write}), append(kept, p.row)
		}
	}
	return e.store.Update(ctx, entries, func(rules.Instant) (statestore.Durability, error) {
		for i, entry := range entries {
			if entry.Record() == nil { // else another replica has logged the same
				entry.Put(kept[i])
			}
		}
		return statestore.Rebuildable, nil
	})
}

// ExplainDecision says why a decision was made: from the log, else from what
// its id says by itself.
func (e *Engine) ExplainDecision(ctx context.Context, ns, id string) (*DecisionView, error) {
	d, ok := decodeDecision(id)
	if !ok {
		return nil, &InvalidError{Field: "decision_id", Why: "it is not an id that this service made"}
	}
	r, _, err := e.store.Get(ctx, statestore.Key{Kind: statestore.KindDecision, Namespace: ns, Name: id})
	if err != nil {
		return nil, storeError(err)
	}
	if row, ok := r.(*DecisionRow); ok {
		return row.view(), nil
	}
	v := (&DecisionRow{
		ID: id, At: d.at, Method: d.method, Outcome: d.outcome, Reason: d.reason, Rule: d.rule, BlockedBy: d.blockedBy,
		Delay: int64(d.delay), Epoch: d.epoch,
	}).view()
	v.Logged = false
	return v, nil
}

// ExplainPermit explains the grant behind a permit while its operation lives.
func (e *Engine) ExplainPermit(ctx context.Context, ns, permitID string) (*DecisionView, error) {
	c, err := e.claimsFor(ns, permitID, 0)
	if err != nil {
		return nil, err
	}
	op, _, err := get[operation.Operation](ctx, e, operationKey(ns, c.Operation))
	if err != nil {
		return nil, err
	}
	if op == nil || op.Permit == nil || op.Permit.Fence != c.Fence {
		return nil, ErrNotFound
	}
	p := op.Permit
	v := &DecisionView{
		At: p.GrantedAt, Method: "Acquire", Outcome: "GRANTED", Run: c.Run, Operation: c.Operation, Target: p.Target, Logged: true,
		Detail: fmt.Sprintf("attempt %d on level %d, %d micro-USD reserved, lease until %s", p.Attempt, p.Level, p.Reserved.Cost,
			p.Expires.Time().Format(time.RFC3339Nano)),
	}
	if a := op.Answer; a != nil {
		v.Detail += fmt.Sprintf("; its report was answered %s because of %s by rule %s", a.Action, a.Reason, a.Rule)
		if a.Delay > 0 {
			v.Detail += fmt.Sprintf(", in %s", a.Delay)
		}
	}
	return v, nil
}

// ListDecisions returns the log, newest first.
func (e *Engine) ListDecisions(ctx context.Context, q *ListQuery) (Page[*DecisionView], error) {
	return list(ctx, e, q, statestore.KindDecision, true, func(_ string, r statestore.Record, _ instant) *DecisionView {
		row, ok := r.(*DecisionRow)
		if !ok || (q.Run != "" && row.Run != q.Run) || (q.Target != "" && row.Target != q.Target) ||
			(q.Reason != "" && row.Reason != q.Reason) {
			return nil
		}
		return row.view()
	})
}

func (r *DecisionRow) view() *DecisionView {
	v := &DecisionView{
		ID: r.ID, At: r.At, Reason: r.Reason, Rule: r.Rule, BlockedBy: r.BlockedBy, Delay: time.Duration(r.Delay),
		Epoch: r.Epoch, Run: r.Run, Operation: r.Operation, Target: r.Target, Detail: r.Detail, Logged: true,
	}
	v.Would = withheldAnswer(r.Would)
	switch r.Method {
	case methodAcquire:
		v.Method, v.Outcome = "Acquire", admit.Outcome(r.Outcome).String()
	case methodReport:
		v.Method, v.Outcome = "Report", operation.Action(r.Outcome).String()
	}
	return v
}
