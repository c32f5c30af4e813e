// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
)

// oneOf is a flag value that is one of a few words.
type oneOf struct {
	value   string
	allowed []string
}

// String returns the word.
func (o *oneOf) String() string { return o.value }

// Type names the words for help.
func (o *oneOf) Type() string { return strings.Join(o.allowed, "|") }

// Set takes a word that is allowed.
func (o *oneOf) Set(value string) error {
	if !slices.Contains(o.allowed, value) {
		return fmt.Errorf("use one of %s", strings.Join(o.allowed, ", "))
	}
	o.value = value
	return nil
}

// span is a flag for a length of time, days included. The zero span is unset.
type span struct {
	length time.Duration
	set    bool
}

// String returns the length.
func (s *span) String() string {
	if !s.set {
		return ""
	}
	return terminal.Duration(s.length)
}

// Type names the form for help.
func (s *span) Type() string { return "TIME" }

// Set reads 30s, 1h30m, 7d.
func (s *span) Set(text string) error {
	length, err := terminal.ParseDuration(text)
	if err != nil {
		return err
	}
	if length < 0 {
		return errors.New("it must not be negative")
	}
	s.length, s.set = length, true
	return nil
}

// wire is the span as a message; nil if it was not given.
func (s *span) wire() *durationpb.Duration {
	if !s.set {
		return nil
	}
	return durationpb.New(s.length)
}

// amount is a flag for a number that may be left out: money in units of the
// currency, or a count.
type amount struct {
	number *int64
	signed bool // the text had a sign: it is a change
	money  bool
}

// String returns the amount.
func (a *amount) String() string {
	switch {
	case a.number == nil:
		return ""
	case a.money:
		return terminal.Money(*a.number, "")
	}
	return strconv.FormatInt(*a.number, 10)
}

// Type names the form for help.
func (a *amount) Type() string {
	if a.money {
		return "MONEY"
	}
	return "N"
}

// Set reads 2.50 as money and 100 as a count.
func (a *amount) Set(text string) error {
	var n int64
	var err error
	if a.money {
		if n, err = terminal.ParseMoney(text); err != nil {
			return err
		}
	} else if n, err = strconv.ParseInt(text, 10, 64); err != nil {
		return errors.New("write a whole number, such as 100")
	}
	a.signed = strings.HasPrefix(text, "+") || strings.HasPrefix(text, "-")
	a.number = &n
	return nil
}

// pairs is a flag for NAME=VALUE, given any number of times.
type pairs struct {
	values map[string]string
	lower  bool // names are headers'
}

// String returns the pairs.
func (p *pairs) String() string {
	all := make([]string, 0, len(p.values))
	for name, value := range p.values {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// Type names the form for help.
func (p *pairs) Type() string { return "NAME=VALUE" }

// Set adds one pair.
func (p *pairs) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return errors.New("write NAME=VALUE")
	}
	if p.lower {
		name = strings.ToLower(name)
	}
	if _, twice := p.values[name]; twice {
		return fmt.Errorf("%s is given twice", name)
	}
	if p.values == nil {
		p.values = map[string]string{}
	}
	p.values[name] = value
	return nil
}
