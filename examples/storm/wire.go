// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// This file is the wire on both sides of the guard: what goes into a Report,
// and what a denial looks like. It reads what this example's upstream sends;
// examples/agent/signals has the whole of it for the SDK.

// modelCall reads the target and the estimate off a chat completion's request.
func modelCall(req *http.Request) (string, *pb.Estimate) {
	var q struct {
		Model     string `json:"model"`
		MaxOutput *int64 `json:"max_completion_tokens"`
	}
	if req.GetBody == nil {
		return "openai/unknown", nil
	}
	body, err := req.GetBody()
	if err != nil {
		return "openai/unknown", nil
	}
	text, _ := io.ReadAll(body)
	_ = json.Unmarshal(text, &q) // what it cannot read, the provider cannot either
	input := int64(len(text)) / 3
	return "openai/" + q.Model, &pb.Estimate{InputTokens: &input, MaxOutputTokens: q.MaxOutput}
}

// again is the request with its body from the beginning.
func again(req *http.Request) (*http.Request, error) {
	next := req.Clone(req.Context())
	if req.GetBody == nil {
		return next, nil
	}
	body, err := req.GetBody()
	next.Body = body
	return next, err
}

// reportOf is what came back, as a Report has it: raw, and judged by the server.
func reportOf(resp *http.Response, err error) *pb.ReportRequest {
	s := &pb.Signal{}
	r := &pb.ReportRequest{Outcome: pb.Outcome_OUTCOME_SUCCESS, Signal: s}
	var body []byte
	if err == nil {
		body, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(body))
		s.HttpStatus, s.Headers = new(int32(resp.StatusCode)), headers(resp.Header)
	}
	if err != nil {
		r.Outcome, s.Exception = pb.Outcome_OUTCOME_FAILURE, exception(err)
		if errors.Is(err, context.Canceled) {
			r.Outcome = pb.Outcome_OUTCOME_CANCELLED
		}
		return r
	}
	var a struct {
		Model string
		Error struct{ Code, Type string }
		Usage *struct {
			Input  int64 `json:"prompt_tokens"`
			Output int64 `json:"completion_tokens"`
		}
	}
	_ = json.Unmarshal(body, &a) // a body that is none has no code and no usage
	if resp.StatusCode >= http.StatusBadRequest {
		r.Outcome, s.BodyCode = pb.Outcome_OUTCOME_FAILURE, a.Error.Code
		if s.BodyCode == "" {
			s.BodyCode = a.Error.Type
		}
	}
	if a.Usage != nil {
		r.Usage = &pb.Usage{Model: a.Model, InputTokens: &a.Usage.Input, OutputTokens: &a.Usage.Output}
	}
	return r
}

// headers picks those about limits and retries. All others stay here.
func headers(h http.Header) map[string]string {
	picked := map[string]string{}
	for name := range h {
		switch name = strings.ToLower(name); {
		case name == "date", name == "retry-after", name == "retry-after-ms", name == "x-should-retry",
			strings.HasPrefix(name, "x-ratelimit-"):
			picked[name] = h.Get(name)
		}
	}
	return picked
}

func exception(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "reset"
	}
	return "other"
}

// final marks an answer that is not to be retried, for an SDK whose own retries
// somebody has left on.
func final(resp *http.Response) *http.Response {
	if resp != nil && resp.StatusCode >= http.StatusBadRequest {
		resp.Header.Set("X-Should-Retry", "false")
	}
	return resp
}

// What tells a denial from an answer of the provider's.
const (
	headerReason = "X-Resilience-Reason"
	headerFinal  = "X-Resilience-Final" // asking again never helps
)

// denial is a No in the provider's own form, so that the SDK returns it as its
// usual typed error, at once. An error from here would look like a broken
// connection, which SDKs try again.
func denial(req *http.Request, no *pb.AcquireResponse) *http.Response {
	why := strings.TrimPrefix(no.GetReason().String(), "DECISION_REASON_")
	h := http.Header{"Content-Type": {"application/json"}, "X-Should-Retry": {"false"}, headerReason: {why}}
	if no.GetTerminal() || no.GetReason() == pb.DecisionReason_DECISION_REASON_RUN_BUDGET {
		h.Set(headerFinal, "true")
	}
	body, err := json.Marshal(map[string]any{"error": map[string]any{
		"message": why + " of " + no.GetBlockedBy(), "type": "resilience", "code": "resilience_denied", "param": nil,
	}})
	if err != nil {
		panic(err) // strings always marshal
	}
	if d := no.GetDelay().AsDuration(); d > 0 {
		h.Set("Retry-After", strconv.Itoa(int((d+time.Second-1)/time.Second)))
	}
	return &http.Response{
		Status: "429 Too Many Requests", StatusCode: http.StatusTooManyRequests, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
}

// refused says why the guard refused, if the answer is a denial, and whether it
// will do so for ever, as with a run whose cap is used up.
func refused(resp *http.Response) (why string, forGood, ok bool) {
	why = resp.Header.Get(headerReason)
	return why, resp.Header.Get(headerFinal) != "", why != ""
}
