// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"cmp"
	"compress/flate"
	"fmt"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
)

// CallChunk is a part of a namespace's recording: calls that one replica took
// in one after the other.
type CallChunk struct {
	From    instant `json:"f"` // when the first ended
	Until   instant `json:"u"` // when the last ended
	Base    instant `json:"b"` // from when the times in it count
	Count   int     `json:"n"`
	Missing int64   `json:"m,omitempty"` // calls of the same time that were not recorded
	Packed  []byte  `json:"p"`           // the calls, as a packer wrote them
}

// callRetention is how long calls are kept.
const callRetention = 7 * 24 * time.Hour

// DueAt is when the chunk may go.
func (c *CallChunk) DueAt() rules.Instant { return c.Until.Add(callRetention) }

// OrderBy sorts the recording by time.
func (c *CallChunk) OrderBy() int64 { return int64(c.From) }

// ended is a call and when it ended: when it was reported, or when its lease
// was over.
type ended struct {
	at   instant
	call Call
}

// packed is a call in a chunk. Numbers name its fields, so that one may be
// added at any time; a number is never used again.
type packed struct {
	Ended       int64             `cbor:"1,keyasint,omitempty"` // µs after the chunk's Base
	Took        int64             `cbor:"2,keyasint,omitempty"` // µs from the grant to the end
	Lost        bool              `cbor:"3,keyasint,omitempty"`
	Late        bool              `cbor:"4,keyasint,omitempty"`
	Target      string            `cbor:"5,keyasint,omitempty"`
	Chain       string            `cbor:"6,keyasint,omitempty"`
	Level       int               `cbor:"7,keyasint,omitempty"`
	Run         string            `cbor:"8,keyasint,omitempty"`
	Task        string            `cbor:"9,keyasint,omitempty"`
	Operation   string            `cbor:"10,keyasint,omitempty"`
	Idempotency uint8             `cbor:"11,keyasint,omitempty"`
	Credential  string            `cbor:"12,keyasint,omitempty"`
	Reporter    string            `cbor:"13,keyasint,omitempty"`
	Fingerprint string            `cbor:"14,keyasint,omitempty"`
	EstCost     *int64            `cbor:"15,keyasint,omitempty"`
	EstInput    *int64            `cbor:"16,keyasint,omitempty"`
	EstOutput   *int64            `cbor:"17,keyasint,omitempty"`
	Outcome     uint8             `cbor:"18,keyasint,omitempty"`
	HTTPStatus  int               `cbor:"19,keyasint,omitempty"`
	GRPCCode    string            `cbor:"20,keyasint,omitempty"`
	MCPCode     int               `cbor:"21,keyasint,omitempty"`
	Exception   string            `cbor:"22,keyasint,omitempty"`
	Phase       uint8             `cbor:"23,keyasint,omitempty"`
	Headers     map[string]string `cbor:"24,keyasint,omitempty"`
	RetryAfter  *int64            `cbor:"25,keyasint,omitempty"` // ns
	BodyCode    string            `cbor:"26,keyasint,omitempty"`
	Quality     uint8             `cbor:"27,keyasint,omitempty"`
	ClassHint   uint8             `cbor:"28,keyasint,omitempty"`
	Duration    int64             `cbor:"29,keyasint,omitempty"` // ns
	Cost        *int64            `cbor:"30,keyasint,omitempty"`
	Input       *int64            `cbor:"31,keyasint,omitempty"`
	Output      *int64            `cbor:"32,keyasint,omitempty"`
	Cached      *int64            `cbor:"33,keyasint,omitempty"`
	Would       string            `cbor:"34,keyasint,omitempty"`
}

func packCall(e *ended, base instant) packed {
	c, s := &e.call, &e.call.Signal
	p := packed{
		Ended: int64(e.at - base), Took: int64(e.at - c.AcquiredAt), Lost: c.ReportedAt == 0, Late: c.Late,
		Target: c.Target, Chain: c.Chain, Level: c.Level, Run: c.Run, Task: c.Task, Operation: c.Operation,
		Idempotency: uint8(c.Idempotency), Credential: c.Credential, Reporter: c.Reporter, Fingerprint: c.Fingerprint,
		EstCost: c.Estimate.Cost, EstInput: c.Estimate.Input, EstOutput: c.Estimate.MaxOutput,
		Outcome: uint8(s.Outcome), HTTPStatus: s.HTTPStatus, GRPCCode: s.GRPCCode, MCPCode: s.MCPCode, Exception: s.Exception,
		Phase: uint8(s.Phase), Headers: s.Headers, BodyCode: s.BodyCode, Quality: uint8(s.Quality),
		ClassHint: uint8(s.ClassHint), Duration: int64(s.Duration),
		Cost: c.Usage.Cost, Input: c.Usage.Input, Output: c.Usage.Output, Cached: c.Usage.Cached, Would: string(c.Would),
	}
	if s.HasRetryAfter {
		p.RetryAfter = new(int64(s.RetryAfter))
	}
	return p
}

func (p *packed) ended(base instant) ended {
	at := base + instant(p.Ended)
	c := Call{
		AcquiredAt: at - instant(p.Took), ReportedAt: at, Late: p.Late,
		Target: p.Target, Chain: p.Chain, Level: p.Level, Run: p.Run, Task: p.Task, Operation: p.Operation,
		Idempotency: operation.Idempotency(p.Idempotency), Credential: p.Credential, Reporter: p.Reporter, Fingerprint: p.Fingerprint,
		Estimate: budget.Estimate{Cost: p.EstCost, Input: p.EstInput, MaxOutput: p.EstOutput},
		Signal: classify.Signal{
			Outcome: classify.Outcome(p.Outcome), HTTPStatus: p.HTTPStatus, GRPCCode: p.GRPCCode, MCPCode: p.MCPCode,
			Exception: p.Exception, Phase: classify.Phase(p.Phase), Headers: p.Headers, BodyCode: p.BodyCode,
			Quality: classify.QualityVerdict(p.Quality), ClassHint: classify.Class(p.ClassHint), Duration: time.Duration(p.Duration),
		},
		Usage: budget.Usage{Cost: p.Cost, Input: p.Input, Output: p.Output, Cached: p.Cached},
		Would: admit.Reason(p.Would),
	}
	if p.Lost {
		c.ReportedAt = 0
	}
	if p.RetryAfter != nil {
		c.Signal.RetryAfter, c.Signal.HasRetryAfter = time.Duration(*p.RetryAfter), true
	}
	return ended{at, c}
}

// packer writes calls into chunks. It is used by one goroutine at a time.
type packer struct {
	enc   cbor.UserBufferEncMode
	call  packed
	out   bytes.Buffer
	flate *flate.Writer
}

// filling is a chunk that takes calls. The zero filling is empty.
type filling struct {
	plain bytes.Buffer // the calls so far, one CBOR item after the other
	chunk CallChunk    // without Packed
}

// add puts a call into a chunk. Times count from the chunk's first call, and
// may be before it.
func (p *packer) add(f *filling, e *ended) error {
	if p.enc == nil {
		var err error
		if p.enc, err = (cbor.EncOptions{}).UserBufferEncMode(); err != nil {
			return fmt.Errorf("%w: pack calls: %w", ErrInternal, err)
		}
	}
	c := &f.chunk
	if c.Count == 0 {
		c.Base, c.From, c.Until = e.at, e.at, e.at
	}
	before := f.plain.Len()
	p.call = packCall(e, c.Base)
	if err := p.enc.MarshalToBuffer(&p.call, &f.plain); err != nil {
		f.plain.Truncate(before)
		return fmt.Errorf("%w: pack calls: %w", ErrInternal, err)
	}
	c.From, c.Until = min(c.From, e.at), max(c.Until, e.at)
	c.Count++
	return nil
}

// close returns the chunk and makes the filling empty.
func (p *packer) close(f *filling) (*CallChunk, error) {
	p.call = packed{}
	chunk := f.chunk
	f.chunk = CallChunk{}
	if chunk.Count == 0 {
		return &chunk, nil
	}
	p.out.Reset()
	if p.flate == nil {
		var err error
		if p.flate, err = flate.NewWriter(&p.out, flate.BestSpeed); err != nil {
			return nil, fmt.Errorf("%w: pack calls: %w", ErrInternal, err)
		}
	}
	p.flate.Reset(&p.out)
	// Writing to a buffer does not fail.
	_, _ = p.flate.Write(f.plain.Bytes())
	_ = p.flate.Close()
	f.plain.Reset()
	chunk.Packed = bytes.Clone(p.out.Bytes())
	return &chunk, nil
}

// unpack returns the calls of a chunk in the order in which they ended.
func (c *CallChunk) unpack() ([]ended, error) {
	dec := cbor.NewDecoder(flate.NewReader(bytes.NewReader(c.Packed)))
	out := make([]ended, 0, min(c.Count, maxChunk))
	for range c.Count {
		var p packed
		if err := dec.Decode(&p); err != nil {
			return nil, fmt.Errorf("%w: unpack calls: %w", ErrInternal, err)
		}
		out = append(out, p.ended(c.Base))
	}
	slices.SortStableFunc(out, func(a, b ended) int { return cmp.Compare(a.at, b.at) })
	return out, nil
}
