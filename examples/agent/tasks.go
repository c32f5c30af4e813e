// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/resilienced/resilienced/examples/agent/upstream"
)

// task is one thing to do, and what the provider will say to it. A task shows
// one shape of answer; what follows it is plain.
type task struct {
	title   string
	chain   string // the chain to use, or
	target  string // the target
	answers []upstream.Answer
	tools   []upstream.Answer // of the tools, if the model calls any
	check   func(text string) error
	primary string        // base URL of level 0, if it is another than the provider's
	leaves  time.Duration // when the user goes away; 0: not
	most    int64         // tokens that may come back; 0: the usual
	reads   int64         // tokens that are sent; 0: the usual
}

// shaped tells the tasks that show a shape from those that show what it left
// behind.
func (t *task) shaped() bool {
	return len(t.answers) > 1 || t.target != "" || t.primary != "" || t.reads > 0
}

func (t *task) input() int64 {
	if t.reads > 0 {
		return t.reads
	}
	return 1500
}

func (t *task) output() int64 {
	if t.most > 0 {
		return t.most
	}
	return 300
}

// chapter is a group of tasks.
type chapter struct {
	title string
	tasks []task
}

// chapters are all tasks, in order. The last ones are there to run into the cap.
func chapters(p *upstream.Server) []chapter {
	return []chapter{
		{"answers that are good", good()},
		{"429: how long to wait", waits()},
		{"429: no use in waiting", exhausted()},
		{"the provider has trouble", trouble()},
		{"the request is at fault", faults()},
		{"200, and of no use", useless()},
		{"no answer, or half of one", lost(p)},
		{"tools", tools()},
		{"the money ends", money()},
	}
}

// on makes a task of a chain: these answers, and then a plain one.
func on(chain, title string, answers ...upstream.Answer) task {
	return task{title: title, chain: chain, answers: append(answers, upstream.Text("Done."))}
}

// plan is an answer that some tasks want.
const plan = `{"steps":["one","two"]}`

// isPlan is what some tasks want as an answer: an object with steps.
func isPlan(text string) error {
	var plan struct {
		Steps []string `json:"steps"`
	}
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return errors.New("not JSON")
	}
	if len(plan.Steps) == 0 {
		return errors.New("no steps")
	}
	return nil
}

func good() []task {
	planned := on("main", "a plan as JSON, and it is one", upstream.Text(plan))
	planned.check = isPlan
	return []task{
		on("main", "an answer", upstream.Text("Done.")),
		on("main", "an answer, most of its input from the cache", upstream.Used("Done.", upstream.Tokens{Input: 1200, Cached: 1024, Output: 150})),
		on("main", "an answer after some reasoning", upstream.Used("Done.", upstream.Tokens{Input: 1200, Output: 290, Reasoning: 200})),
		on("main", "an answer that does not say what it used", upstream.Used("Done.", upstream.Tokens{})),
		planned,
	}
}

func waits() []task {
	return []task{
		on("main", "Retry-After: 1", upstream.RateLimited("Retry-After", "1")),
		on("main", "Retry-After: 0.3", upstream.RateLimited("Retry-After", "0.3")),
		on("main", "Retry-After as a date", upstream.RetryAt(time.Second)),
		on("main", "retry-after-ms: 250, and a Retry-After that is coarser", upstream.RateLimited("Retry-After-Ms", "250", "Retry-After", "1")),
		on("main", "Retry-After: 0", upstream.RateLimited("Retry-After", "0")),
		on("main", "x-ratelimit-reset-requests: 300ms, none remaining",
			upstream.RateLimited("X-RateLimit-Remaining-Requests", "0", "X-RateLimit-Reset-Requests", "300ms", "X-RateLimit-Remaining-Tokens", "9000", "X-RateLimit-Reset-Tokens", "6m0s")),
		on("main", "slow_down: an overload by another name", upstream.Error(429, "requests", "slow_down")),
		on("long", "Retry-After: 120, longer than it is worth", upstream.RateLimited("Retry-After", "120")),
		on("long", "the next task of that account does not knock"),
		on("tokens", "x-ratelimit-reset-tokens: 6m0s, none remaining", upstream.RateLimited("X-RateLimit-Remaining-Tokens", "0", "X-RateLimit-Reset-Tokens", "6m0s")),
		on("mute", "no Retry-After at all", upstream.RateLimited()),
		on("odd", "Retry-After: soon", upstream.RateLimited("Retry-After", "soon")),
	}
}

func exhausted() []task {
	return []task{
		on("poor", "insufficient_quota", upstream.Error(429, "insufficient_quota", "insufficient_quota")),
		on("poor", "the next task of that account goes elsewhere at once"),
		on("billed", "billing_hard_limit_reached", upstream.Error(429, "invalid_request_error", "billing_hard_limit_reached")),
		on("unpaid", "402, payment required", upstream.Error(402, "billing_error", "")),
	}
}

func trouble() []task {
	down := upstream.Error(500, "server_error", "")
	return []task{
		on("main", "500", upstream.Error(500, "server_error", "")),
		on("main", "502 with a page for people", upstream.Page(502, "Bad Gateway")),
		on("main", "503", upstream.Error(503, "server_error", "")),
		on("main", "503, Retry-After: 1", upstream.Error(503, "server_error", "", "Retry-After", "1")),
		on("main", "503 server_is_overloaded", upstream.Error(503, "server_error", "server_is_overloaded")),
		on("main", "504", upstream.Page(504, "Gateway Timeout")),
		on("main", "520 of a proxy in between", upstream.Page(520, "Web server is returning an unknown error")),
		on("main", "529 overloaded_error", upstream.Error(529, "overloaded_error", "")),
		on("main", "500 whose error is a string", upstream.JSON(500, `{"error":"internal"}`)),
		on("main", "503, x-should-retry: false", upstream.Error(503, "server_error", "", "X-Should-Retry", "false")),
		on("down", "500, and again, and again", down, down, down),
		on("down", "500 for the next one too: the fifth in a row", down, down),
		on("down", "whoever comes after that does not knock"),
		{title: "503 from the only target there is", target: "lone/large", answers: []upstream.Answer{upstream.Error(503, "server_error", "")}},
	}
}

func faults() []task {
	return []task{
		on("main", "400", upstream.Error(400, "invalid_request_error", "")),
		on("main", "401", upstream.Error(401, "invalid_request_error", "invalid_api_key")),
		on("keyless", "403", upstream.Error(403, "invalid_request_error", "insufficient_permissions")),
		on("main", "404, the model is gone", upstream.Error(404, "invalid_request_error", "model_not_found")),
		on("main", "408", upstream.Error(408, "timeout", "")),
		on("main", "409", upstream.Error(409, "conflict_error", "")),
		on("main", "409, x-should-retry: true", upstream.Error(409, "conflict_error", "", "X-Should-Retry", "true")),
		on("main", "413", upstream.Page(413, "Request Entity Too Large")),
		on("main", "422", upstream.Error(422, "invalid_request_error", "")),
		on("main", "context_length_exceeded", upstream.Error(400, "invalid_request_error", "context_length_exceeded")),
		on("main", "content_filter as an error", upstream.Error(400, "", "content_filter")),
		on("main", "content_policy_violation", upstream.Error(400, "invalid_request_error", "content_policy_violation")),
		on("main", "418, which nobody expects", upstream.Error(418, "", "")),
	}
}
