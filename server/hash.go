// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// digest sums up the content of a request, so that a repeat under the same
// request id is told from a reuse of the id. It is the same after a restart
// and on every replica. It is no secret and resists no attack: who finds two
// contents with one sum is given the answer to the first.
//
// Every field is written with its length or a mark for its absence, in the
// order of its number, so that no two different requests write the same bytes.
// It allocates nothing.
type digest struct {
	sum  xxhash.Digest
	buf  [256]byte // what is not in sum yet: many small writes cost more than one
	used int
}

// begin names the method, so that no two methods share a sum.
func (d *digest) begin(method string) {
	d.sum.Reset()
	d.text(method)
}

// flush gives what is in the buffer to the sum.
func (d *digest) flush() {
	d.sum.Write(d.buf[:d.used]) //nolint:errcheck // a Digest never fails
	d.used = 0
}

// room makes room for n bytes in the buffer, and reports whether they fit.
func (d *digest) room(n int) bool {
	if d.used+n > len(d.buf) {
		d.flush()
	}
	return n <= len(d.buf)
}

// number writes a number as encoding/binary's varint does.
func (d *digest) number(n int64) {
	if d.used > len(d.buf)-binary.MaxVarintLen64 {
		d.flush()
	}
	if n >= 0 && n < 64 {
		d.buf[d.used] = byte(n) << 1
		d.used++
		return
	}
	d.used += binary.PutVarint(d.buf[d.used:], n)
}

func (d *digest) text(s string) {
	d.number(int64(len(s)))
	if d.room(len(s)) {
		d.used += copy(d.buf[d.used:], s)
		return
	}
	d.sum.WriteString(s) //nolint:errcheck // a Digest never fails
}

func (d *digest) blob(b []byte) {
	d.number(int64(len(b)))
	if d.room(len(b)) {
		d.used += copy(d.buf[d.used:], b)
		return
	}
	d.sum.Write(b) //nolint:errcheck // a Digest never fails
}

func (d *digest) flag(b bool) {
	if b {
		d.number(1)
		return
	}
	d.number(0)
}

// amount tells an absent number from zero.
func (d *digest) amount(n *int64) {
	d.flag(n != nil)
	if n != nil {
		d.number(*n)
	}
}

func (d *digest) small(n *int32) {
	d.flag(n != nil)
	if n != nil {
		d.number(int64(*n))
	}
}

func (d *digest) duration(v *durationpb.Duration) {
	d.flag(v != nil)
	if v != nil {
		d.number(v.GetSeconds())
		d.number(int64(v.GetNanos()))
	}
}

// entries adds a map whatever its order: by the sum of its entries' sums.
func (d *digest) entries(m map[string]string) {
	total := uint64(0)
	for name, value := range m {
		var e digest
		e.sum.Reset()
		e.text(name)
		e.text(value)
		total += e.raw()
	}
	d.number(int64(len(m)))
	d.number(int64(total))
}

func (d *digest) amounts(a *pb.Amounts) {
	d.flag(a != nil)
	for _, n := range [...]int64{a.GetCostMicros(), a.GetTokens(), a.GetCalls(), a.GetWallMs()} {
		d.number(n)
	}
}

func (d *digest) caps(c *pb.Caps) {
	d.flag(c != nil)
	if c != nil {
		d.amount(c.CostMicros)
		d.amount(c.Tokens)
		d.amount(c.Calls)
		d.amount(c.WallMs)
	}
}

func (d *digest) raw() uint64 {
	d.flush()
	return d.sum.Sum64()
}

// value returns the sum; 0 stands for "not hashed" and is never returned.
func (d *digest) value() uint64 {
	if v := d.raw(); v != 0 {
		return v
	}
	return 1
}

func hashAcquire(r *pb.AcquireRequest) uint64 {
	var d digest
	d.begin("acquire")
	for _, s := range [...]string{
		r.GetRunId(), r.GetTaskId(), r.GetOperationId(), r.GetTarget(), r.GetChain(), r.GetIdempotencyKey(),
		r.GetReplayOf(), r.GetCredentialRef(), r.GetReporterId(), r.GetFingerprint(),
	} {
		d.text(s)
	}
	d.number(int64(r.GetIdempotency()))
	e := r.GetEstimate()
	d.flag(e != nil)
	if e != nil {
		d.amount(e.CostMicros)
		d.amount(e.InputTokens)
		d.amount(e.MaxOutputTokens)
	}
	d.duration(r.GetDeadline())
	d.duration(r.GetMaxWait())
	d.duration(r.GetLease())
	d.small(r.PinLevel)
	d.small(r.MaxAttempts)
	d.flag(r.GetDryRun())
	d.entries(r.GetLabels())
	return d.value()
}

// hashReport takes the headers as they go on, without the secret ones.
func hashReport(r *pb.ReportRequest, headers map[string]string) uint64 {
	var d digest
	d.begin("report")
	d.text(r.GetPermitId())
	d.number(int64(r.GetFence()))
	d.number(int64(r.GetOutcome()))
	d.duration(r.GetDuration())
	d.number(int64(r.GetClassHint()))
	d.text(r.GetResultRef())
	d.signal(r.GetSignal(), headers)
	q := r.GetQuality()
	d.number(int64(q.GetVerdict()))
	d.text(q.GetDetail())
	u := r.GetUsage()
	d.flag(u != nil)
	if u != nil {
		d.amount(u.CostMicros)
		d.amount(u.InputTokens)
		d.amount(u.OutputTokens)
		d.amount(u.CachedTokens)
		d.text(u.GetModel())
	}
	d.envelope(r.GetDeadLetter())
	return d.value()
}

func (d *digest) signal(s *pb.Signal, headers map[string]string) {
	d.flag(s != nil)
	if s == nil {
		return
	}
	d.small(s.HttpStatus)
	d.small(s.McpCode)
	for _, text := range [...]string{s.GetGrpcCode(), s.GetException(), s.GetBodyCode(), s.GetMessage()} {
		d.text(text)
	}
	d.number(int64(s.GetPhase()))
	d.duration(s.GetRetryAfter())
	d.entries(headers)
}

func (d *digest) envelope(e *pb.DeadLetterEnvelope) {
	d.flag(e != nil)
	if e == nil {
		return
	}
	d.blob(e.GetContext())
	d.blob(e.GetPayload())
	d.blob(e.GetPayloadSha256())
	c, l := e.GetCheckpoint(), e.GetLastError()
	for _, s := range [...]string{
		e.GetContentType(), e.GetPayloadRef(), c.GetStore(), c.GetId(), c.GetVersion(),
		l.GetType(), l.GetCode(), l.GetMessage(), l.GetStack(),
	} {
		d.text(s)
	}
	d.entries(e.GetLabels())
}
