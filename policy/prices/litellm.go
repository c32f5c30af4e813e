// SPDX-License-Identifier: Apache-2.0

package prices

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/resilienced/resilienced/policy/glob"
	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/budget"
)

// maxImport is the most bytes of a foreign price list that are read.
const maxImport = 32 << 20

// Import is what came of a foreign price list.
type Import struct {
	// Table has no day yet: give it one with Dated.
	Table *Table
	// Skipped are the models that were not imported, by name.
	Skipped []Skip
	// Notes are what the prices of imported models leave out or make dearer,
	// by name.
	Notes []Note
	// Others is how many models no pattern was for.
	Others int
}

// Skip is a model that was not imported.
type Skip struct{ Model, Why string }

// Note is something to know of a model that was imported.
type Note struct{ Model, Text string }

// ImportLiteLLM reads a price list in the form of LiteLLM's
// model_prices_and_context_window.json: one JSON object of models. Prices in
// USD for a token become micro-USD for a million tokens, exactly, rounded up.
//
// Models are named provider/model; a key without a slash gets its
// litellm_provider put before it. With patterns, only the names that one of
// them matches are imported.
//
// It never guesses downwards. A model without an input or output price, or
// whose prices are both zero, which there may mean "not known", is skipped. So
// is one that is priced in units that a Table has not: seconds, images,
// characters, pages. Of several prices for the same tokens (long contexts,
// audio, reasoning) the dearest is taken, and a Note says so.
//
// The error is for a file that is no such list at all, with file, line and
// column; file is the name that it has there. At most 32 MiB are read.
func ImportLiteLLM(file string, r io.Reader, only ...string) (*Import, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxImport+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(text) > maxImport {
		return nil, fmt.Errorf("%s has more than %d bytes; a price list has about 2 MB, so this is something else", file, maxImport)
	}
	im := &importer{
		out:   &Import{Table: &Table{models: make(map[string]*budget.Price)}},
		dec:   json.NewDecoder(bytes.NewReader(text)),
		notes: make(map[Note]bool),
	}
	im.dec.UseNumber()
	for _, pattern := range only {
		im.only = append(im.only, glob.New(pattern))
	}
	if path, err := im.read(); err != nil {
		line, column := place(text, im.dec.InputOffset())
		if path != "" {
			path += ": "
		}
		return nil, fmt.Errorf("%s:%d:%d: %s%w", file, line, column, path, err)
	}
	im.finish()
	return im.out, nil
}

// place is the line and the column of the token that a reader of JSON failed
// at, which begins behind the last one that it read.
func place(text []byte, offset int64) (line, column int) {
	at := len(text) - len(bytes.TrimLeft(text[min(offset, int64(len(text))):], " \t\r\n:,"))
	before := text[:at]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// importer is one price list that is being read.
type importer struct {
	out   *Import
	dec   *json.Decoder
	only  []glob.Pattern
	notes map[Note]bool
}

var (
	errNoObject = errors.New("this is no object of models; give LiteLLM's model_prices_and_context_window.json")
	errTrailing = errors.New("there is more behind the list; remove it")
	errCut      = errors.New("the list ends in the middle; fetch the file again")
)

// read reads the list. It returns the path at which it failed.
func (im *importer) read() (string, error) {
	if token, err := im.dec.Token(); err != nil || token != json.Delim('{') {
		return "", notJSON(err, errNoObject)
	}
	for im.dec.More() {
		token, err := im.dec.Token()
		if err != nil {
			return "", notJSON(err, nil)
		}
		key := fmt.Sprint(token)
		entry, err := im.entry()
		if err != nil {
			return fmt.Sprintf("[%q]", key), err
		}
		im.take(key, entry)
	}
	if _, err := im.dec.Token(); err != nil {
		return "", notJSON(err, nil)
	}
	if _, err := im.dec.Token(); !errors.Is(err, io.EOF) {
		return "", notJSON(err, errTrailing)
	}
	return "", nil
}

// notJSON is the error to show for one of the decoder, otherwise for none.
func notJSON(err, otherwise error) error {
	switch {
	case err == nil:
		return otherwise
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errCut
	}
	return fmt.Errorf("this is not JSON: %w", err)
}

// entry reads the value of one model: its fields, nested ones as nil. An entry
// that is no object is nil.
func (im *importer) entry() (map[string]any, error) {
	token, err := im.dec.Token()
	if err != nil {
		return nil, notJSON(err, nil)
	}
	if token != json.Delim('{') {
		return nil, im.skip(token)
	}
	fields := make(map[string]any)
	for im.dec.More() {
		key, err := im.dec.Token()
		if err != nil {
			return nil, notJSON(err, nil)
		}
		value, err := im.dec.Token()
		if err == nil {
			err = im.skip(value)
		}
		if err != nil {
			return nil, fmt.Errorf("%v: %w", key, notJSON(err, nil))
		}
		name := fmt.Sprint(key)
		if _, twice := fields[name]; twice {
			fields[twiceKey] = name
		}
		if delim, nested := value.(json.Delim); nested {
			value = delim
		}
		fields[name] = value
	}
	_, err = im.dec.Token()
	return fields, notJSON(err, nil)
}

// twiceKey marks an entry that has a field twice. No field is called so.
const twiceKey = "\x00twice"

// skip reads to the end of a value whose first token was read. It needs no
// memory for what is nested.
func (im *importer) skip(token json.Token) error {
	if token != json.Delim('{') && token != json.Delim('[') {
		return nil
	}
	for depth := 1; depth > 0; {
		token, err := im.dec.Token()
		if err != nil {
			return notJSON(err, nil)
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nil
}

// take imports one model, or says why not.
func (im *importer) take(key string, fields map[string]any) {
	if key == "sample_spec" {
		return
	}
	name := nameOf(key, fields)
	if len(im.only) > 0 && !slices.ContainsFunc(im.only, func(g glob.Pattern) bool { return g.Match(name) }) {
		im.out.Others++
		return
	}
	if !named(name) {
		im.skipped(key, "this is no name of a target: it is empty or too long, or has a wildcard, a control character or space at an end")
		return
	}
	p, notes, why := modelPrice(key, fields)
	if why != "" {
		im.skipped(name, why)
		return
	}
	if before, twice := im.out.Table.models[name]; twice && !same(before, p) {
		p = &budget.Price{
			Input: dearer(before.Input, p.Input), Output: dearer(before.Output, p.Output), Currency: Currency,
			CachedInput: dearer(before.CachedInput, p.CachedInput), PerCall: dearer(before.PerCall, p.PerCall),
		}
		notes = append(notes, "the list has two models of this name with different prices; the dearer ones are taken")
	}
	im.out.Table.models[name] = p
	for _, text := range notes {
		im.notes[Note{name, text}] = true
	}
}

func (im *importer) skipped(model, why string) {
	im.out.Skipped = append(im.out.Skipped, Skip{model, why})
}

// finish puts what was found in order.
func (im *importer) finish() {
	slices.SortStableFunc(im.out.Skipped, func(a, b Skip) int { return strings.Compare(a.Model, b.Model) })
	im.out.Notes = slices.SortedFunc(maps.Keys(im.notes), func(a, b Note) int {
		if a.Model != b.Model {
			return strings.Compare(a.Model, b.Model)
		}
		return strings.Compare(a.Text, b.Text)
	})
}

// nameOf is the name of a model: its key, with the provider before it if it
// has none. Some providers go by several names in the list.
func nameOf(key string, fields map[string]any) string {
	provider, _ := fields["litellm_provider"].(string)
	switch {
	case strings.Contains(key, "/") || provider == "":
		return key
	case provider == "bedrock_converse":
		provider = "bedrock"
	case provider == "cohere_chat":
		provider = "cohere"
	case provider == "text-completion-openai":
		provider = "openai"
	case strings.HasPrefix(provider, "vertex_ai-"):
		provider = "vertex_ai"
	}
	return provider + "/" + key
}

// named tells whether a policy may have this name.
func named(name string) bool { return strict.IsName(name) && !glob.Has(name) }

func same(a, b *budget.Price) bool {
	return Line(a) == Line(b)
}

// dearer is the greater of two prices; one that is nil says nothing.
func dearer(a, b *int64) *int64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}
