// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"

	"github.com/resilienced/resilienced/policy/prices"
	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/fallback"
)

// Schema returns the JSON Schema (draft 2020-12) of a policy, for editors. It
// comes from the tables that Parse reads with, so it takes whatever Parse
// takes. It cannot know everything that Parse refuses: what does not fit
// together, what is named and not there, and how a value is written.
func Schema() []byte {
	texts := rootTexts()
	properties := map[string]strict.JSON{
		"version":         {"const": 1},
		"defaults":        targetSchema().JSON(strict.Place{Defaults: true}, nil, describeTarget),
		"targets":         strict.ListJSON(entryJSON(), 0, 0),
		"chains":          strict.MapJSON(chainJSON()),
		"runs":            runsJSON(),
		"quotas":          quotasJSON(),
		"classification":  strict.ListJSON(strict.JSON{"$ref": "#/$defs/rule"}, 0, maxRules),
		"prices":          pricesJSON(),
		"unknown_targets": strict.EnumJSON(unknownWords()...).WithDefault("allow"),
		"dry_run":         strict.BooleanJSON().WithDefault("false"),
	}
	for key, j := range properties {
		properties[key] = j.With(texts[key])
	}
	root := strict.ObjectJSON(properties, "version")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Policy of resilienced"
	root["$defs"] = map[string]strict.JSON{"rule": ruleJSON()}
	return root.Encode()
}

// described are texts as what a schema asks for, without defaults.
func described(texts map[string]string) strict.Describe {
	return func(path string) (string, string) { return texts[path], "" }
}

// showing adds to texts the defaults that value shows.
func showing[T any](texts map[string]string, s *strict.Schema[T], value *T) strict.Describe {
	return func(path string) (string, string) {
		if f := s.Field(path); f != nil {
			if shown := f.Show(value); shown != strict.Unknown {
				return texts[path], shown
			}
		}
		return texts[path], ""
	}
}

// describeTarget adds the defaults of the presets: as the default of a field
// if all agree, and else in words.
func describeTarget(path string) (text, byDefault string) {
	text = targetTexts()[path]
	f := targetSchema().Field(path)
	if f == nil {
		return text, ""
	}
	var values []string
	presets := make(map[string][]string)
	for _, name := range presetNames() {
		c := preset(name)
		shown := f.Show(&c)
		if presets[shown] == nil {
			values = append(values, shown)
		}
		presets[shown] = append(presets[shown], name)
	}
	if len(values) == 1 && values[0] == strict.Unknown {
		return text, ""
	}
	if len(values) == 1 {
		return text, values[0]
	}
	var parts []string
	for _, v := range values {
		parts = append(parts, v+" ("+strings.Join(presets[v], ", ")+")")
	}
	return text + " Default: " + strings.Join(parts, ", ") + ".", ""
}

// entryJSON is the schema of an entry of targets.
func entryJSON() strict.JSON {
	texts := targetTexts()
	j := targetSchema().JSON(strict.Place{}, map[string]strict.JSON{
		"match":          strict.TextJSON().With(texts["match"]),
		"preset":         strict.EnumJSON(presetNames()...).With(texts["preset"]),
		"kind":           strict.EnumJSON(presetNames()...).With(texts["kind"]),
		"classification": strict.ListJSON(strict.JSON{"$ref": "#/$defs/rule"}, 0, maxRules).With(texts["classification"]),
	}, describeTarget, "match")
	j["anyOf"] = []strict.JSON{{"required": []string{"preset"}}, {"required": []string{"kind"}}}
	return j
}

func ruleJSON() strict.JSON {
	j := ruleSchema().JSON(strict.Place{}, nil, described(ruleTexts()), "id", "match", "class")
	if match, ok := j["properties"].(map[string]strict.JSON)["match"]; ok {
		match["minProperties"] = 1
	}
	return j
}

// chainJSON is the schema of a chain: its levels, or a mapping with them.
func chainJSON() strict.JSON {
	texts := chainTexts()
	level := strict.AnyOf(
		strict.JSON{"type": "string", "pattern": "^[^*?]+:(" + strings.Join(kindNames(), "|") + ")$"},
		levelSchema().JSON(strict.Place{}, nil, described(texts), "target", "kind"),
	)
	levels := strict.ListJSON(level, 1, maxLevels).With(texts["levels"])
	whole := chainSchema().JSON(strict.Place{}, map[string]strict.JSON{"levels": levels},
		showing(texts, chainSchema(), &fallback.Chain{}), "levels")
	return strict.AnyOf(levels, whole)
}

func runsJSON() strict.JSON {
	runs := defaultRuns()
	return runSchema().JSON(strict.Place{}, nil, showing(runTexts(), runSchema(), &runs))
}

func quotasJSON() strict.JSON {
	quotas := defaultQuotas()
	return quotaSchema().JSON(strict.Place{}, nil, showing(quotaTexts(), quotaSchema(), &quotas))
}

func pricesJSON() strict.JSON {
	texts := priceTexts()
	properties := prices.JSON(described(texts))
	properties["table"] = strict.EnumJSON(tableWords()...).WithDefault("default")
	properties["aliases"] = strict.MapJSON(strict.TextJSON())
	for key, j := range properties {
		properties[key] = j.With(texts[key])
	}
	j := strict.ObjectJSON(properties)
	j["dependentRequired"] = map[string][]string{"updated": {"models"}, "models": {"updated"}}
	return j
}
