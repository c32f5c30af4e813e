// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/resilienced/resilienced/examples/agent/upstream"
)

// useless are answers that the wire calls good.
func useless() []task {
	schema := on("judged", "a plan as JSON, and it is prose", upstream.Text("First, one. Then two."), upstream.Text(plan))
	schema.check = isPlan
	return []task{
		on("main", "finish_reason content_filter", upstream.Finished("content_filter", "")),
		on("main", "cut at its length limit", upstream.Finished("length", "It was the best of")),
		on("main", "an empty text", upstream.Text("")),
		on("main", "no choices", upstream.NoChoices()),
		on("judged", "a refusal", upstream.Refusal("I can't help with that.")),
		schema,
		on("judged", "tool arguments that are not JSON, the third bad answer", upstream.ToolCall("weather", `{"city":"Os`)),
		on("judged", "whoever comes after that goes elsewhere at once"),
		on("main", "a tool that nobody offered", upstream.ToolCall("teleport", `{}`)),
		on("main", "an error object", upstream.JSON(200, `{"error":{"code":500,"type":"server_error","message":"try again"}}`)),
		on("main", "a page for people", upstream.Page(200, "Welcome to our network")),
		on("main", "JSON that is none", upstream.JSON(200, `{"id":"chatcmpl-1","choices":[`)),
	}
}

// lost are calls that end without a whole answer.
func lost(p *upstream.Server) []task {
	nowhere := on("nowhere", "nobody listens there")
	nowhere.primary = upstream.Nowhere
	untrusted := on("main", "a certificate that nobody has signed")
	untrusted.primary = p.Untrusted()
	left := on("main", "silence, until the user goes away", upstream.Silence())
	left.leaves = 500 * time.Millisecond
	return []task{
		on("main", "a connection reset", upstream.Reset()),
		on("main", "a connection closed without a word", upstream.HangUp()),
		on("main", "an answer cut in the middle", upstream.Cut(200)),
		on("main", "an error cut in the middle", upstream.Cut(500)),
		on("slow", "silence, once", upstream.Silence()),
		on("slow", "silence, twice", upstream.Silence(), upstream.Silence()),
		on("slow", "an answer that stalls", upstream.Stall()),
		nowhere,
		untrusted,
		left,
	}
}

// tools are tasks in which the model wants something done.
func tools() []task {
	weather := upstream.ToolCall("weather", `{"city":"Oslo"}`)
	sunny := upstream.JSON(200, `{"sky":"clear"}`)
	called := on("main", "a tool call", weather)
	called.tools = []upstream.Answer{sunny}
	retried := on("main", "a tool that fails twice: the model is not asked again", weather)
	retried.tools = []upstream.Answer{upstream.Page(503, "Unavailable"), upstream.Page(503, "Unavailable"), sunny}
	stuck := on("main", "a model that will not take no for an answer", weather, weather, weather, weather, weather)
	stuck.tools = []upstream.Answer{upstream.JSON(422, `{"error":"unknown city"}`)}
	paid := on("main", "money sent, perhaps", upstream.ToolCall("transfer", `{"to":"B","amount":"10"}`))
	paid.tools = []upstream.Answer{upstream.Page(502, "Bad Gateway")}
	return []task{called, retried, stuck, paid}
}

// money runs into the cap.
func money() []task {
	large := on("main", "a question that costs more than is left")
	large.reads = 500_000
	runaway := on("main", "a short question, thought about for long: it costs more than was reserved", upstream.Used("Done.", upstream.Tokens{Input: 1200, Output: 60_000, Reasoning: 59_900}))
	return []task{
		on("main", "one more answer"),
		on("main", "one more answer"),
		on("main", "one more answer, and most of the cap is used"),
		on("main", "from here on a cheaper model has to do"),
		large,
		on("main", "a smaller question still fits"),
		runaway,
		on("main", "the cap is reached"),
		on("main", "and stays reached"),
	}
}
