// SPDX-License-Identifier: Apache-2.0

package signals_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"

	"github.com/resilienced/resilienced/examples/agent/signals"
	"github.com/resilienced/resilienced/examples/agent/upstream"
)

// short is how long the calls of these tests wait for an answer, where they
// are to wait in vain.
const short = 150 * time.Millisecond

// call makes one call with the real SDK and translates what came back.
func call(ctx context.Context, base string, timeout time.Duration, want signals.Expect) signals.Answer {
	client := openai.NewClient(option.WithBaseURL(base), option.WithAPIKey("none"), option.WithMaxRetries(0), option.WithRequestTimeout(timeout))
	ctx, progress := signals.Watch(ctx)
	var resp *http.Response
	chat, err := client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
		Model: "large", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello.")},
	}, option.WithResponseInto(&resp))
	answer := signals.FromChat(chat, resp, err, progress)
	answer.Quality = signals.Judge(chat, want)
	return answer
}

// said is an answer in a line: what the server will look at.
func said(a signals.Answer) string {
	s := a.Signal
	line := fmt.Sprintf("%s %d code=%q exception=%q %s", a.Outcome.String()[len("OUTCOME_"):], s.GetHttpStatus(), s.GetBodyCode(),
		s.GetException(), s.GetPhase().String()[len("CALL_PHASE_"):])
	if v := a.Quality.GetVerdict(); v != 0 {
		line += " " + v.String()[len("QUALITY_VERDICT_"):]
	}
	return line
}

// TestChat is the translation of every shape, with what the SDK really returns.
func TestChat(t *testing.T) {
	p := upstream.Start()
	t.Cleanup(p.Close)
	plan := func(text string) error {
		if text != "plan" {
			return errors.New("not a plan")
		}
		return nil
	}
	for _, c := range []struct {
		name   string
		answer upstream.Answer
		want   string
	}{
		{"text", upstream.Text("plan"), `SUCCESS 200 code="" exception="" COMPLETE`},
		{"tool call", upstream.ToolCall("weather", `{"city":"Oslo"}`), `SUCCESS 200 code="" exception="" COMPLETE`},
		{"no usage", upstream.Used("plan", upstream.Tokens{}), `SUCCESS 200 code="" exception="" COMPLETE`},

		{"refusal", upstream.Refusal("No."), `SUCCESS 200 code="" exception="" COMPLETE REFUSAL`},
		{"empty", upstream.Text(""), `SUCCESS 200 code="" exception="" COMPLETE EMPTY`},
		{"no choices", upstream.NoChoices(), `SUCCESS 200 code="" exception="" COMPLETE EMPTY`},
		{"truncated", upstream.Finished("length", "pl"), `SUCCESS 200 code="" exception="" COMPLETE TRUNCATED`},
		{"not a plan", upstream.Text("prose"), `SUCCESS 200 code="" exception="" COMPLETE SCHEMA_VIOLATION`},
		{"bad arguments", upstream.ToolCall("weather", `{"city":`), `SUCCESS 200 code="" exception="" COMPLETE BAD_TOOL_ARGS`},
		{"unknown tool", upstream.ToolCall("teleport", `{}`), `SUCCESS 200 code="" exception="" COMPLETE HALLUCINATED_TOOL`},
		{"filtered", upstream.Finished("content_filter", ""), `SUCCESS 200 code="content_filter" exception="" COMPLETE`},

		{"code", upstream.RateLimited(), `FAILURE 429 code="rate_limit_exceeded" exception="" FIRST_BYTE`},
		{"code is null", upstream.Error(429, "insufficient_quota", ""), `FAILURE 429 code="insufficient_quota" exception="" FIRST_BYTE`},
		{"code is the status", upstream.JSON(429, `{"error":{"code":429,"type":"requests"}}`), `FAILURE 429 code="requests" exception="" FIRST_BYTE`},
		{"error is a string", upstream.JSON(500, `{"error":"boom"}`), `FAILURE 500 code="" exception="" FIRST_BYTE`},
		{"error is a page", upstream.Page(502, "Bad Gateway"), `FAILURE 502 code="" exception="" FIRST_BYTE`},
		{"error is cut", upstream.Cut(500), `FAILURE 500 code="" exception="" FIRST_BYTE`},
		{"error with a 200", upstream.JSON(200, `{"error":{"code":"x","type":"rate_limit_error"}}`), `FAILURE 200 code="x" exception="" COMPLETE`},
		{"error with a 200, code is a number", upstream.JSON(200, `{"error":{"code":5,"type":"rate_limit_error"}}`), `FAILURE 200 code="rate_limit_error" exception="" COMPLETE`},
		{"error with a 200 is a string", upstream.JSON(200, `{"error":"boom"}`), `FAILURE 200 code="" exception="" COMPLETE`},
		{"overlong code", upstream.Error(400, "", string(make([]byte, 200))), `FAILURE 400 code="" exception="" FIRST_BYTE`},

		{"page", upstream.Page(200, "Welcome"), `FAILURE 200 code="" exception="malformed" FIRST_BYTE`},
		{"bad JSON", upstream.JSON(200, `{"id":]`), `FAILURE 200 code="" exception="malformed" FIRST_BYTE`},
		{"half JSON", upstream.JSON(200, `{"id":`), `FAILURE 200 code="" exception="stream_broken" FIRST_BYTE`},
		{"cut", upstream.Cut(200), `FAILURE 200 code="" exception="stream_broken" FIRST_BYTE`},
		{"reset", upstream.Reset(), `FAILURE 0 code="" exception="reset" BODY_SENT`},
		{"hang-up", upstream.HangUp(), `FAILURE 0 code="" exception="reset" BODY_SENT`},
		{"silence", upstream.Silence(), `FAILURE 0 code="" exception="timeout" BODY_SENT`},
		{"stall", upstream.Stall(), `FAILURE 200 code="" exception="timeout" FIRST_BYTE`},
	} {
		t.Run(c.name, func(t *testing.T) {
			timeout := time.Minute
			if c.name == "silence" || c.name == "stall" {
				timeout = short
			}
			a := call(t.Context(), p.Script(c.answer), timeout, signals.Expect{Tools: []string{"weather"}, Check: plan})
			if got := said(a); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestNoConnection is the translation where nothing ever left.
func TestNoConnection(t *testing.T) {
	p := upstream.Start()
	t.Cleanup(p.Close)
	for base, want := range map[string]string{
		upstream.Nowhere: `FAILURE 0 code="" exception="connect" BEFORE_SEND`,
		p.Untrusted():    `FAILURE 0 code="" exception="certificate" BEFORE_SEND`,
	} {
		if got := said(call(t.Context(), base, time.Minute, signals.Expect{})); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", base, got, want)
		}
	}
}

func TestCallerLeaves(t *testing.T) {
	p := upstream.Start()
	t.Cleanup(p.Close)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(short, cancel)
	const want = `CANCELLED 0 code="" exception="cancelled" BODY_SENT`
	if got := said(call(ctx, p.Script(upstream.Silence()), time.Minute, signals.Expect{})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestHeaders(t *testing.T) {
	p := upstream.Start()
	t.Cleanup(p.Close)
	a := call(t.Context(), p.Script(upstream.RateLimited(
		"Retry-After", "1", "Retry-After-Ms", "250", "X-Should-Retry", "true", "X-RateLimit-Reset-Tokens", "6m0s",
		"Anthropic-RateLimit-Requests-Remaining", "0", "Set-Cookie", "session=1", "X-Request-Id", "req_1",
	)), time.Minute, signals.Expect{})
	got := a.Signal.GetHeaders()
	if got["date"] == "" {
		t.Error("the answer's own date is missing: a Retry-After that is a date counts from it")
	}
	delete(got, "date")
	want := map[string]string{
		"retry-after": "1", "retry-after-ms": "250", "x-should-retry": "true", "x-ratelimit-reset-tokens": "6m0s",
		"anthropic-ratelimit-requests-remaining": "0",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("headers %v, want %v", got, want)
	}
}

func TestUsage(t *testing.T) {
	p := upstream.Start()
	t.Cleanup(p.Close)
	usage := func(answer upstream.Answer) *pb.Usage {
		return call(t.Context(), p.Script(answer), time.Minute, signals.Expect{}).Usage
	}
	u := usage(upstream.Used("Done.", upstream.Tokens{Input: 1200, Cached: 1024, Output: 150}))
	if u.GetInputTokens() != 1200 || u.GetCachedTokens() != 1024 || u.GetOutputTokens() != 150 || u.GetModel() != "large" {
		t.Errorf("usage is %v", u)
	}
	if u := usage(upstream.Used("Done.", upstream.Tokens{})); u != nil {
		t.Errorf("usage is %v where the provider said nothing", u)
	}
	u = usage(upstream.JSON(200, `{"model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":null}}`))
	if u.GetInputTokens() != 7 || u.OutputTokens != nil || u.CachedTokens != nil {
		t.Errorf("usage is %v, want 7 tokens in and no more", u)
	}
	u = usage(upstream.JSON(200, `{"model":" bad\nname","choices":[],"usage":{"prompt_tokens":-7,"completion_tokens":1e18}}`))
	if u.InputTokens != nil || u.OutputTokens != nil || u.GetModel() != "" {
		t.Errorf("usage is %v, want nothing of what a report may not have", u)
	}
}
