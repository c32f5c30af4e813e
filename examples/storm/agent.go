// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"

	"github.com/resilienced/resilienced/examples/storm/upstream"
)

// What agents do by default, from the sources of what they are built with
// (README.md has the places). The SDK's own two retries are not here: they are
// in the SDK, and on, unless there is a guard.
const (
	maxTurns  = 10                // of the model for one task: openai-agents 0.24.0
	redoFirst = time.Second       // a failed task is done again after this,
	redoTimes = 2                 // and then after so many times as long,
	redoMost  = 100 * time.Second // up to this, for ever: a Temporal activity, sdk 1.50.0
)

const (
	modelName = "storm-1"
	maxOutput = 300 // tokens of an answer
)

// agent works tasks off, one at a time. Both arms run this code: they differ in
// whether there is a guard.
type agent struct {
	guard *guard // nil in the bare arm
	model openai.Client
	tools *http.Client
	base  string
	cap   int64 // micro-USD of a task's run
	keep  bool  // a task that is done again goes on where it was
}

func newAgent(g *guard, base string, transport http.RoundTripper, sc scenario) *agent {
	options := append([]option.RequestOption{
		option.WithAPIKey("none"), option.WithBaseURL(base + "/v1"), option.WithHTTPClient(&http.Client{Transport: transport}),
	}, g.model()...)
	return &agent{
		guard: g, model: openai.NewClient(options...), tools: &http.Client{Transport: g.tool("tool/sandbox", transport)},
		base: base, cap: sc.upstream.Cap, keep: sc.keep,
	}
}

// work does a task, again and again until it is done. It gives up when it is
// refused for good or ctx ends.
func (a *agent) work(ctx context.Context, n int) error {
	ctx, end, err := a.guard.run(ctx, fmt.Sprintf("task-%d", n), a.cap)
	if err != nil {
		return err
	}
	defer end()
	wait := redoFirst
	talk := begin(n)
	for {
		if !a.keep {
			talk = begin(n)
		}
		err := a.try(ctx, n, talk)
		if err == nil {
			return nil
		}
		if errors.Is(err, errForGood) {
			return err
		}
		if late := pause(ctx, wait); late != nil {
			return errors.Join(err, late)
		}
		wait = min(wait*redoTimes, redoMost)
	}
}

// talk is the conversation of one task: all that an agent knows of it.
type talk struct {
	messages []openai.ChatCompletionMessageParamUnion
}

func begin(n int) *talk {
	return &talk{[]openai.ChatCompletionMessageParamUnion{openai.UserMessage(brief(n))}}
}

func (t *talk) add(m openai.ChatCompletionMessageParamUnion) { t.messages = append(t.messages, m) }

// try goes on with a task: it asks the model, runs what the model wants, and
// asks again.
func (a *agent) try(ctx context.Context, n int, t *talk) error {
	for range maxTurns {
		chat, err := a.model.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
			Model: modelName, Messages: t.messages, Tools: toolbox(), MaxCompletionTokens: openai.Int(maxOutput),
		})
		if err != nil {
			return denied(err)
		}
		if len(chat.Choices) == 0 {
			return errors.New("the model said nothing")
		}
		said := chat.Choices[0].Message
		if len(said.ToolCalls) == 0 {
			return nil
		}
		t.add(said.ToParam())
		for _, call := range said.ToolCalls {
			result, err := a.execute(ctx, call.Function.Arguments)
			if err != nil {
				return err
			}
			t.add(openai.ToolMessage(result, call.ID))
		}
	}
	return fmt.Errorf("task %d is not done after %d turns", n, maxTurns)
}

// execute runs the tool. What fails is told to the model, which asks again: the
// default of agent frameworks, and how a failing tool costs model calls. Only a
// denial is not: the model cannot know better than to ask again.
func (a *agent) execute(ctx context.Context, arguments string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+"/sandbox/execute", bytes.NewReader([]byte(arguments)))
	if err != nil {
		return "", err
	}
	resp, err := a.tools.Do(req)
	if err != nil {
		return upstream.ToolFailed + " " + err.Error(), nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	switch why, forGood, no := refused(resp); {
	case no && forGood:
		return "", fmt.Errorf("%w: %s", errForGood, why)
	case no:
		return "", fmt.Errorf("the tool was refused: %s", why)
	case err != nil || resp.StatusCode != http.StatusOK:
		return upstream.ToolFailed + " the tool failed, status " + resp.Status, nil
	}
	return string(text), nil
}

// errForGood ends a task: no later try would be let through.
var errForGood = errors.New("refused for good")

// denied finds a denial in what the SDK returned.
func denied(err error) error {
	var api *openai.Error
	if !errors.As(err, &api) || api.Response == nil {
		return err
	}
	if why, forGood, ok := refused(api.Response); ok && forGood {
		return fmt.Errorf("%w: %s: %w", errForGood, why, err)
	}
	return err
}

// brief is what a task begins with, about 700 tokens.
func brief(n int) string {
	return fmt.Sprintf("Task %d\n", n) + strings.Repeat("Read what follows, run the code that it needs, and say what came of it.\n", 40)
}

func toolbox() []openai.ChatCompletionToolUnionParam {
	number := map[string]string{"type": "integer"}
	return []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "execute", Description: openai.String("Runs a step of a task in the sandbox."),
		Parameters: shared.FunctionParameters{
			"type": "object", "properties": map[string]any{"task": number, "step": number}, "required": []string{"task", "step"},
		},
	})}
}
