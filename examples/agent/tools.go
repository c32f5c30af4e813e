// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/shared"
)

// toolNames are the tools that the model is offered.
func toolNames() []string { return []string{"weather", "transfer"} }

// toolbox describes them to the model.
func toolbox() []openai.ChatCompletionToolUnionParam {
	object := func(names ...string) shared.FunctionParameters {
		properties := map[string]any{}
		for _, name := range names {
			properties[name] = map[string]string{"type": "string"}
		}
		return shared.FunctionParameters{"type": "object", "properties": properties, "required": names}
	}
	return []openai.ChatCompletionToolUnionParam{
		openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
			Name: "weather", Description: openai.String("The weather in a city."), Parameters: object("city"),
		}),
		openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
			Name: "transfer", Description: openai.String("Sends money. Cannot be undone."), Parameters: object("to", "amount"),
		}),
	}
}
