// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Prices, in micro-USD: for a million tokens, and for an execution. What was
// refused (429, 503, 529) costs nothing; what was begun is paid for, also if it
// fails.
const (
	InputPrice     = 2_000_000
	OutputPrice    = 8_000_000
	ExecutionPrice = 300
)

// ToolFailed is how the text of a tool that failed begins. This model asks for
// the same execution again when it reads that, as models mostly do.
const ToolFailed = "error:"

type chatRequest struct {
	Model    string    `json:"model"`
	Messages []message `json:"messages"`
}

type message struct {
	Role      string     `json:"role"`
	Content   any        `json:"content"`
	ToolCalls []toolCall `json:"tool_calls,omitempty"`
}

type toolCall struct {
	ID       string            `json:"id"`
	Type     string            `json:"type"`
	Function map[string]string `json:"function"`
}

// text is a message's content; what is no text says nothing.
func (m message) text() string {
	text, _ := m.Content.(string)
	return text
}

// complete answers a chat completion.
func (s *Server) complete(w http.ResponseWriter, r *http.Request) {
	var q chatRequest
	if !read(w, r, &q) {
		return
	}
	n, steps := progressOf(q.Messages)
	if !s.admitModel(w, n) {
		return
	}
	input := 250 // the tools and what is around the messages
	for _, m := range q.Messages {
		input += len(m.text()) / 4
	}
	output := 80 + int(s.draw(n, steps, len(q.Messages))%160)
	s.mu.Lock()
	s.figures.InputTokens += int64(input)
	s.figures.OutputTokens += int64(output)
	s.bill(n, cost(input, InputPrice)+cost(output, OutputPrice))
	s.mu.Unlock()
	take(r, 150*time.Millisecond+2*time.Millisecond*time.Duration(output))
	answer, reason := message{Role: "assistant", Content: nil}, "tool_calls"
	if steps < s.steps(n) {
		answer.ToolCalls = []toolCall{{ID: fmt.Sprintf("call_%d", len(q.Messages)), Type: "function", Function: map[string]string{
			"name": "execute", "arguments": fmt.Sprintf(`{"task":%d,"step":%d}`, n, steps),
		}}}
	} else {
		answer.Content, reason = fmt.Sprintf("Task %d is done.", n), "stop"
		s.finish(n)
	}
	send(w, http.StatusOK, map[string]any{
		"id": "chatcmpl-1", "object": "chat.completion", "created": s.began.Unix(), "model": q.Model,
		"choices": []any{map[string]any{"index": 0, "finish_reason": reason, "message": answer}},
		"usage":   map[string]int{"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output},
	})
}

// admitModel answers what is refused, and reports whether the call goes on.
func (s *Server) admitModel(w http.ResponseWriter, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	out := s.cfg.Outage.At(now.Sub(s.began))
	if !s.model.arrive(now, out) {
		s.model.limited(w.Header(), now)
		fail(w, http.StatusTooManyRequests, "requests", "rate_limit_exceeded", "Rate limit reached for requests")
		return false
	}
	s.model.headers(w.Header(), now)
	if !out {
		return true
	}
	// Half of the answers of an outage name a wait, half of them none: 503 as
	// OpenAI sends it, 529 as Anthropic does.
	switch s.draw(n, s.model.Calls, 7) % 4 {
	case 0:
		s.model.ask(w.Header(), now, 2)
		fail(w, http.StatusServiceUnavailable, "service_unavailable_error", "server_is_overloaded", "The servers are busy")
	case 1:
		s.model.ask(w.Header(), now, 1)
		overloaded(w)
	case 2:
		fail(w, http.StatusServiceUnavailable, "service_unavailable_error", "server_is_overloaded", "The servers are busy")
	default:
		overloaded(w)
	}
	return false
}

// finish notes a task's end, once.
func (s *Server) finish(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.task(n); !t.done {
		t.done = true
		s.figures.Done++
		s.figures.LastDone = time.Since(s.began)
	}
}

// progressOf reads the task's number from its first line, and how many steps
// of it a tool has done.
func progressOf(messages []message) (n, steps int) {
	for i, m := range messages {
		switch {
		case i == 0:
			_, _ = fmt.Sscanf(m.text(), "Task %d", &n) // 0 if it is none of the list
		case m.Role == "tool" && !strings.HasPrefix(m.text(), ToolFailed):
			steps++
		}
	}
	return n, steps
}

// steps is how many executions a task needs.
func (s *Server) steps(n int) int { return 1 + int(s.draw(n, 0, 1)%3) }

// cost is tokens at a price, rounded up.
func cost(tokens, price int) int64 { return (int64(tokens)*int64(price) + 999_999) / 1_000_000 }
