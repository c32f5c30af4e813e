// SPDX-License-Identifier: Apache-2.0

package prices

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/resilienced/resilienced/rules/budget"
)

// A part is one component of a price, put together from the fields of a model.
type part struct {
	base   *int64
	dearer *int64 // the dearest of the other prices for the same tokens
	field  string // that price's
}

// What a field of a model is about.
type meaning uint8

const (
	elsewhere meaning = iota // nothing that a price is made of
	input
	output
	cached
	perCall
	aside // costs beside the price, which a Note tells of
	other // a unit that a Table has not
)

// tokenFields are the prices of tokens in the standard tier.
func tokenFields() map[string]meaning {
	return map[string]meaning{
		"input_cost_per_token":           input,
		"output_cost_per_token":          output,
		"cache_read_input_token_cost":    cached,
		"input_cost_per_token_cache_hit": cached,
		"input_cost_per_request":         perCall,
	}
}

// dearerFields are prices for the same tokens in special cases.
func dearerFields() map[string]meaning {
	return map[string]meaning{
		"input_cost_per_audio_token":         input,
		"input_cost_per_image_token":         input,
		"input_cost_per_video_token":         input,
		"output_cost_per_audio_token":        output,
		"output_cost_per_image_token":        output,
		"output_cost_per_reasoning_token":    output,
		"citation_cost_per_token":            output,
		"cache_read_input_audio_token_cost":  cached,
		"cache_read_input_image_token_cost":  cached,
		"cache_read_input_audio_token_costs": cached,
	}
}

// asideFields begin the names of what costs money beside the tokens, and only
// if a caller asks for it.
func asideFields() []string {
	return []string{
		"cache_creation_", "search_context_cost_per_query", "code_interpreter_", "file_search_", "computer_use_",
		"vector_store_", "web_search_", "google_maps_", "provider_specific_entry",
	}
}

// about says what a field is about, and whether it is the standard price.
func about(field string) (m meaning, standard bool) {
	if m, ok := tokenFields()[field]; ok {
		return m, true
	}
	if m, ok := dearerFields()[field]; ok {
		return m, false
	}
	for _, prefix := range asideFields() {
		if strings.HasPrefix(field, prefix) {
			return aside, false
		}
	}
	switch {
	case field == "tiered_pricing":
		return other, false
	case !strings.Contains(field, "cost"), strings.Contains(field, "_dbu_cost_"): // a price in units of another currency, beside that in dollars
		return elsewhere, false
	}
	for _, tier := range []string{"_batches", "_batch_requests", "_flex", "_priority"} {
		if strings.Contains(field, tier) {
			return aside, false
		}
	}
	if base, tier, ok := strings.Cut(field, "_above_"); ok && strings.HasSuffix(tier, "k_tokens") {
		if m, ok := tokenFields()[base]; ok {
			return m, false
		}
		if m, ok := dearerFields()[base]; ok {
			return m, false
		}
	}
	return other, false
}

// modelPrice works out the price of a model, with what to know of it, or says why
// it has none.
func modelPrice(key string, fields map[string]any) (p *budget.Price, notes []string, why string) {
	if fields == nil {
		return nil, nil, fmt.Sprintf("[%q] is no object", key)
	}
	if twice, ok := fields[twiceKey]; ok {
		return nil, nil, fmt.Sprintf("[%q].%v is there twice", key, twice)
	}
	if mode, ok := fields["mode"].(string); ok && !slices.Contains([]string{"chat", "completion", "responses", "embedding"}, mode) {
		return nil, nil, "its mode is " + strconv.Quote(mode) + ", which is not priced by text tokens alone"
	}
	parts := make(map[meaning]*part)
	var asides []string
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		m, standard := about(field)
		if m == elsewhere || fields[field] == nil {
			continue
		}
		if m == aside {
			if amount, problem := micros(fields[field], m); amount != 0 || problem != "" {
				asides = append(asides, field)
			}
			continue
		}
		amount, problem := micros(fields[field], m)
		_, nested := fields[field].(json.Delim)
		switch {
		case m == other && nested:
			return nil, nil, field + " has prices in a form that a price table has not"
		case problem != "":
			return nil, nil, fmt.Sprintf("[%q].%s %s", key, field, problem)
		case m == other && amount == 0:
		case m == other:
			return nil, nil, field + " is in a unit that a price table has not"
		default:
			parts[m] = parts[m].with(field, amount, standard)
		}
	}
	p, why = assemble(parts)
	if why != "" {
		return nil, nil, why
	}
	return p, noteworthy(parts, asides), ""
}

// with adds a price to a part.
func (p *part) with(field string, amount int64, standard bool) *part {
	if p == nil {
		p = &part{}
	}
	switch {
	case standard:
		p.base = dearer(p.base, &amount)
	case p.dearer == nil || amount > *p.dearer:
		p.dearer, p.field = &amount, field
	}
	return p
}

// price is the dearest of a part; nil if it has no standard price.
func (p *part) price() *int64 {
	if p == nil || p.base == nil {
		return nil
	}
	return dearer(p.base, p.dearer)
}

// assemble makes a price of its parts, or says what is missing.
func assemble(parts map[meaning]*part) (*budget.Price, string) {
	p := &budget.Price{
		Input: parts[input].price(), Output: parts[output].price(),
		CachedInput: parts[cached].price(), PerCall: parts[perCall].price(), Currency: Currency,
	}
	switch {
	case p.Input == nil:
		return nil, "it has no input_cost_per_token; what is absent is not taken for zero"
	case p.Output == nil:
		return nil, "it has no output_cost_per_token; what is absent is not taken for zero"
	case *p.Input == 0 && *p.Output == 0 && (p.PerCall == nil || *p.PerCall == 0):
		return nil, "its prices are zero, which may mean that nobody knows them; write its price into the policy if it is free"
	}
	return p, ""
}

// noteworthy says what a price makes dearer and leaves out.
func noteworthy(parts map[meaning]*part, asides []string) []string {
	var notes []string
	for _, m := range []meaning{input, output, cached} {
		if p := parts[m]; p != nil && p.base != nil && p.dearer != nil && *p.dearer > *p.base {
			notes = append(notes, p.field+" is dearer than the standard price and is taken for all such tokens")
		}
	}
	for _, field := range asides {
		notes = append(notes, field+" is not in the price")
	}
	return notes
}

// maxDigits bounds the texts of numbers, and maxExponent their exponents, so
// that no number takes long to work out.
const maxDigits, maxExponent = 64, 64

// micros turns an amount of dollars into micro-USD: for a million tokens, or
// for a call. It says what is wrong with it, if anything is.
func micros(value any, m meaning) (int64, string) {
	number, ok := value.(json.Number)
	if !ok {
		return 0, "is no number"
	}
	text := number.String()
	if _, exponent, found := strings.Cut(strings.ToLower(text), "e"); found {
		if n, err := strconv.Atoi(exponent); err != nil || n > maxExponent || n < -maxExponent {
			return 0, "is absurd: " + shorten(text)
		}
	}
	usd, ok := new(big.Rat).SetString(text)
	if !ok || len(text) > maxDigits {
		return 0, "is absurd: " + shorten(text)
	}
	scale, most := int64(1_000_000_000_000), int64(maxPerMillion)
	if m != input && m != output && m != cached {
		scale, most = 1_000_000, maxPerCall
	}
	usd.Mul(usd, new(big.Rat).SetInt64(scale))
	switch {
	case usd.Sign() < 0:
		return 0, "is negative: " + text
	case usd.Cmp(new(big.Rat).SetInt64(most)) > 0 && m != other && m != aside:
		return 0, "is absurd: " + text + " dollars; most likely another unit is meant"
	}
	up := new(big.Int).Add(usd.Num(), new(big.Int).Sub(usd.Denom(), big.NewInt(1)))
	up.Div(up, usd.Denom())
	if !up.IsInt64() {
		return 0, "is absurd: " + shorten(text)
	}
	return up.Int64(), ""
}

func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
