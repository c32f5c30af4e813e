// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"encoding/json"
	"slices"

	"github.com/openai/openai-go/v3"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// Expect is what an answer must be like to be of use. The zero value takes any
// text and no tool call.
type Expect struct {
	Tools []string                // the tools that the model was offered
	Check func(text string) error // nil: any text that is not empty
}

// Judge says what is wrong with an answer that came without an error; nil if
// nothing is. Only the caller can say this: the wire says 200.
func Judge(c *openai.ChatCompletion, want Expect) *pb.Quality {
	if c == nil {
		return nil
	}
	if _, failed := c.JSON.ExtraFields["error"]; failed && len(c.Choices) == 0 {
		return nil // not an answer at all; FromChat has its code
	}
	if len(c.Choices) == 0 {
		return verdict(pb.QualityVerdict_QUALITY_VERDICT_EMPTY, "no choices")
	}
	message := c.Choices[0].Message
	switch reason := c.Choices[0].FinishReason; {
	case reason == finishFilter:
		return nil // the provider's word and not ours; it goes as the signal's code
	case message.Refusal != "":
		return verdict(pb.QualityVerdict_QUALITY_VERDICT_REFUSAL, "the model refused")
	case reason == "length":
		return verdict(pb.QualityVerdict_QUALITY_VERDICT_TRUNCATED, "finish_reason is length")
	case len(message.ToolCalls) > 0:
		return judgeTools(message.ToolCalls, want.Tools)
	case message.Content == "":
		return verdict(pb.QualityVerdict_QUALITY_VERDICT_EMPTY, "no text and no tool call")
	case want.Check != nil:
		if err := want.Check(message.Content); err != nil {
			return verdict(pb.QualityVerdict_QUALITY_VERDICT_SCHEMA_VIOLATION, err.Error())
		}
	}
	return nil
}

func judgeTools(calls []openai.ChatCompletionMessageToolCallUnion, offered []string) *pb.Quality {
	for _, call := range calls {
		if !slices.Contains(offered, call.Function.Name) {
			return verdict(pb.QualityVerdict_QUALITY_VERDICT_HALLUCINATED_TOOL, "a tool that was not offered")
		}
		if !json.Valid([]byte(call.Function.Arguments)) {
			return verdict(pb.QualityVerdict_QUALITY_VERDICT_BAD_TOOL_ARGS, "arguments are not JSON")
		}
	}
	return nil
}

func verdict(v pb.QualityVerdict, detail string) *pb.Quality {
	return &pb.Quality{Verdict: v, Detail: detail}
}
