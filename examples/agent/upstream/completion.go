// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"encoding/json"
	"net/http"
)

// Tokens is what a completion says that it used. The zero value says nothing.
type Tokens struct {
	Input, Output, Cached, Reasoning int
}

// usual is what most completions here use.
func usual() Tokens { return Tokens{Input: 1200, Output: 150} }

// completion is the provider's answer when all is well.
type completion struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"`
	Model   string   `json:"model"`
	Choices []choice `json:"choices"`
	Usage   *usage   `json:"usage,omitempty"`
}

type choice struct {
	Index        int     `json:"index"`
	FinishReason string  `json:"finish_reason"`
	Message      message `json:"message"`
}

type message struct {
	Role      string     `json:"role"`
	Content   *string    `json:"content"`
	Refusal   *string    `json:"refusal"`
	ToolCalls []toolCall `json:"tool_calls,omitempty"`
}

type toolCall struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type usage struct {
	PromptTokens     int           `json:"prompt_tokens"`
	CompletionTokens int           `json:"completion_tokens"`
	TotalTokens      int           `json:"total_tokens"`
	PromptDetails    promptDetails `json:"prompt_tokens_details"`
	OutputDetails    outputDetails `json:"completion_tokens_details"`
}

type promptDetails struct {
	CachedTokens int `json:"cached_tokens"`
}

type outputDetails struct {
	ReasoningTokens int `json:"reasoning_tokens"`
}

// Text answers with a text.
func Text(text string) Answer { return Used(text, usual()) }

// Used answers with a text and says what it used.
func Used(text string, t Tokens) Answer {
	return complete("stop", message{Content: &text}, t)
}

// Finished answers with a text that ended for another reason than "stop".
func Finished(reason, text string) Answer {
	return complete(reason, message{Content: &text}, usual())
}

// Refusal answers that the model will not do it.
func Refusal(text string) Answer {
	return complete("stop", message{Refusal: &text}, usual())
}

// ToolCall answers with the wish to call a tool.
func ToolCall(name, arguments string) Answer {
	return complete("tool_calls", message{ToolCalls: []toolCall{
		{ID: "call_1", Type: "function", Function: function{Name: name, Arguments: arguments}},
	}}, usual())
}

// NoChoices answers without any text at all.
func NoChoices() Answer {
	return func(w http.ResponseWriter, _ *http.Request, c Call) {
		send(w, http.StatusOK, answerOf(c.Model, nil, usual()))
	}
}

func complete(reason string, m message, t Tokens) Answer {
	m.Role = "assistant"
	return func(w http.ResponseWriter, _ *http.Request, c Call) {
		send(w, http.StatusOK, answerOf(c.Model, []choice{{FinishReason: reason, Message: m}}, t))
	}
}

func answerOf(model string, choices []choice, t Tokens) completion {
	answer := completion{ID: "chatcmpl-1", Object: "chat.completion", Created: 1_700_000_000, Model: model, Choices: choices}
	if t != (Tokens{}) {
		answer.Usage = &usage{
			PromptTokens: t.Input, CompletionTokens: t.Output, TotalTokens: t.Input + t.Output,
			PromptDetails: promptDetails{t.Cached}, OutputDetails: outputDetails{t.Reasoning},
		}
	}
	return answer
}

// send writes JSON. A client that is gone is no trouble of the provider's.
func send(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	write(w, status, "application/json", string(text))
}
