// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/respjson"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// Answer is what one call came to, in the words of a Report.
type Answer struct {
	Outcome pb.Outcome
	Signal  *pb.Signal
	Quality *pb.Quality // nil: no complaint
	Usage   *pb.Usage   // nil: nobody said, which is not zero
}

// FromChat translates what Chat.Completions.New returned. The response is the
// one of option.WithResponseInto and may be nil, as may the completion.
func FromChat(c *openai.ChatCompletion, resp *http.Response, err error, p *Progress) Answer {
	s := fromResponse(resp, p)
	if err != nil {
		code := ""
		if api := (*openai.Error)(nil); errors.As(err, &api) {
			code = errorCode(api)
		}
		return failed(s, err, code)
	}
	if c == nil {
		return Answer{Outcome: pb.Outcome_OUTCOME_FAILURE, Signal: s}
	}
	s.Phase = pb.CallPhase_CALL_PHASE_COMPLETE
	a := Answer{Outcome: pb.Outcome_OUTCOME_SUCCESS, Signal: s, Usage: usageOf(c)}
	if field, ok := c.JSON.ExtraFields["error"]; ok && len(c.Choices) == 0 && field.Raw() != "null" {
		a.Outcome, s.BodyCode = pb.Outcome_OUTCOME_FAILURE, codeInside(field.Raw())
	}
	if len(c.Choices) > 0 && c.Choices[0].FinishReason == finishFilter {
		s.BodyCode = finishFilter
	}
	return a
}

// FromHTTP translates a call that net/http made, such as a tool's. The code is
// the one that the body names, if the caller knows where.
func FromHTTP(resp *http.Response, err error, code string, p *Progress) Answer {
	s := fromResponse(resp, p)
	if err != nil {
		return failed(s, err, code)
	}
	s.Phase, s.BodyCode = pb.CallPhase_CALL_PHASE_COMPLETE, code
	if s.GetHttpStatus() >= http.StatusBadRequest {
		return Answer{Outcome: pb.Outcome_OUTCOME_FAILURE, Signal: s}
	}
	return Answer{Outcome: pb.Outcome_OUTCOME_SUCCESS, Signal: s}
}

// finishFilter is the finish reason of an answer that a filter stopped, and
// the code of the same as an error.
const finishFilter = "content_filter"

func fromResponse(resp *http.Response, p *Progress) *pb.Signal {
	s := &pb.Signal{Phase: p.Phase()}
	if resp != nil {
		s.HttpStatus, s.Headers = statusOf(resp), headers(resp.Header)
	}
	return s
}

// failed adds an error. A bad status says it all; without one, and after a
// good one, the kind of the error is all there is.
func failed(s *pb.Signal, err error, code string) Answer {
	s.BodyCode = code
	if s.GetHttpStatus() < http.StatusBadRequest {
		s.Exception = exception(err, s.Phase)
	}
	if errors.Is(err, context.Canceled) {
		return Answer{Outcome: pb.Outcome_OUTCOME_CANCELLED, Signal: s}
	}
	return Answer{Outcome: pb.Outcome_OUTCOME_FAILURE, Signal: s}
}

// errorCode is the machine-readable name of an error: its code, else its type.
// Some gateways put the status there once more, which names nothing.
func errorCode(e *openai.Error) string { return pick(e.Code, e.Type) }

// codeInside is errorCode for an error object that came with a 200.
func codeInside(raw string) string {
	var e struct {
		Code any    `json:"code"`
		Type string `json:"type"`
	}
	if json.Unmarshal([]byte(raw), &e) != nil {
		return ""
	}
	code, _ := e.Code.(string)
	return pick(code, e.Type)
}

func pick(code, kind string) string {
	if _, err := strconv.Atoi(code); err == nil || code == "" {
		code = kind
	}
	return textWithin(code, maxCode)
}

// usageOf reads the tokens. What the provider did not say stays absent.
func usageOf(c *openai.ChatCompletion) *pb.Usage {
	if !c.JSON.Usage.Valid() {
		return nil
	}
	from := c.Usage
	return &pb.Usage{
		Model:        nameWithin(c.Model, maxName),
		InputTokens:  amount(from.PromptTokens, from.JSON.PromptTokens),
		OutputTokens: amount(from.CompletionTokens, from.JSON.CompletionTokens),
		CachedTokens: amount(from.PromptTokensDetails.CachedTokens, from.PromptTokensDetails.JSON.CachedTokens),
	}
}

func amount(n int64, field respjson.Field) *int64 {
	if !field.Valid() || n < 0 || n > maxAmount {
		return nil
	}
	return &n
}
