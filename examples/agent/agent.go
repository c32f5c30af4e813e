// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"

	"github.com/resilienced/resilienced/examples/agent/signals"
	"github.com/resilienced/resilienced/examples/agent/upstream"
)

// maxSteps ends a task that goes round in circles.
const maxSteps = 8

// agent works tasks off: it asks a model, runs the tools that the model wants,
// and asks again until there is an answer. Model calls and tool calls are
// operations of their own, so a tool that fails is retried and the model is not.
type agent struct {
	guard    *guard
	model    openai.Client
	provider *upstream.Server
}

// newModel makes the SDK's client. Its own retries are off: the server decides
// whether to call again.
func newModel() openai.Client {
	return openai.NewClient(option.WithAPIKey("none"), option.WithMaxRetries(0))
}

// work does one task. An error means that the agent itself cannot go on.
func (a *agent) work(ctx context.Context, t *task) error {
	id := rand.Text()
	model := a.provider.Script(t.answers...)
	tool := a.provider.Script(t.tools...)
	messages := []openai.ChatCompletionMessageParamUnion{openai.UserMessage(t.title)}
	for range maxSteps {
		said, err := a.think(ctx, t, id, model, messages)
		if said == nil || err != nil {
			return err
		}
		if len(said.ToolCalls) == 0 {
			return nil
		}
		messages = append(messages, said.ToParam())
		for _, call := range said.ToolCalls {
			result, err := a.use(ctx, id, tool, call.Function)
			if result == "" || err != nil {
				return err
			}
			messages = append(messages, openai.ToolMessage(result, call.ID))
		}
	}
	return nil
}

// think asks the model and returns what it said; nil if the task is over
// without an answer.
func (a *agent) think(
	ctx context.Context, t *task, id, base string, messages []openai.ChatCompletionMessageParamUnion,
) (*openai.ChatCompletionMessage, error) {
	op := &operation{
		id: rand.Text(), task: id, chain: t.chain, target: t.target,
		estimate: &pb.Estimate{InputTokens: new(t.input()), MaxOutputTokens: new(t.output())},
		envelope: envelope(messages),
	}
	if t.leaves > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer time.AfterFunc(t.leaves, cancel).Stop()
	}
	var chat *openai.ChatCompletion
	action, err := a.guard.do(ctx, op, func(ctx context.Context, p *pb.Permit) signals.Answer {
		url := base
		if t.primary != "" && p.GetLevel() == 0 {
			url = t.primary
		}
		ctx, progress := signals.Watch(ctx)
		var resp *http.Response
		var err error
		chat, err = a.model.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
			Model: path.Base(p.GetTarget()), Messages: messages, Tools: toolbox(), MaxCompletionTokens: openai.Int(t.output()),
		}, option.WithBaseURL(url), option.WithRequestTimeout(p.GetTimeoutHint().AsDuration()), option.WithResponseInto(&resp))
		answer := signals.FromChat(chat, resp, err, progress)
		answer.Quality = signals.Judge(chat, signals.Expect{Tools: toolNames(), Check: t.check})
		return answer
	})
	if action != pb.Action_ACTION_CONTINUE || err != nil || chat == nil || len(chat.Choices) == 0 {
		return nil, err
	}
	return &chat.Choices[0].Message, nil
}

// use runs a tool and returns what the model is to read; nothing if the task is
// over. A tool that says no, for good, is a result like another.
func (a *agent) use(ctx context.Context, id, base string, call openai.ChatCompletionMessageFunctionToolCallFunction) (string, error) {
	op := &operation{
		id: rand.Text(), task: id, target: "tool/" + call.Name, fingerprint: fingerprint(call.Name, call.Arguments),
		envelope: envelope(call.Arguments),
	}
	result := ""
	action, err := a.guard.do(ctx, op, func(ctx context.Context, p *pb.Permit) signals.Answer {
		ctx, cancel := context.WithTimeout(ctx, p.GetTimeoutHint().AsDuration())
		defer cancel()
		var answer signals.Answer
		answer, result = get(ctx, base)
		return answer
	})
	if err != nil {
		return "", err
	}
	switch action {
	case pb.Action_ACTION_CONTINUE:
		return result, nil
	case pb.Action_ACTION_STOP:
		return "error: " + result, nil
	default:
		return "", nil
	}
}

// get makes one HTTP call with what the standard library has.
func get(ctx context.Context, url string) (signals.Answer, string) {
	ctx, progress := signals.Watch(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return signals.FromHTTP(nil, err, "", progress), ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return signals.FromHTTP(nil, err, "", progress), ""
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return signals.FromHTTP(resp, err, "", progress), string(body)
}

// fingerprint is the same for the same call of the same tool.
func fingerprint(tool, arguments string) string {
	sum := sha256.Sum256([]byte(tool + "\x00" + arguments))
	return hex.EncodeToString(sum[:])
}

// maxEnvelope is how much may go along with a report.
const maxEnvelope = 256 << 10

// envelope keeps what is needed to take an operation up again, here all of its
// input. Where that is long or secret, keep it yourself and send a reference.
func envelope(input any) *pb.DeadLetterEnvelope {
	text, err := json.Marshal(input)
	if err != nil || len(text) > maxEnvelope {
		return nil
	}
	return &pb.DeadLetterEnvelope{Context: text, ContentType: "application/json"}
}
