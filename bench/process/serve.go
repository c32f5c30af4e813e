// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/pprof"

	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/node"
)

// service is what a child serves.
type service struct {
	address string
	commits func() uint64
	stop    func(context.Context) error
}

// ServeChild is the whole life of a child: it reads its Spec from in, serves,
// answers questions on out, and returns when in ends.
func ServeChild(ctx context.Context, in io.Reader, out io.Writer) error {
	questions, answers := json.NewDecoder(in), json.NewEncoder(out)
	var spec Spec
	if err := questions.Decode(&spec); err != nil {
		return fmt.Errorf("read the spec: %w", err)
	}
	s, err := open(ctx, spec)
	if err != nil {
		return errors.Join(err, answers.Encode(answer{Error: err.Error()}))
	}
	if err := answers.Encode(answer{Address: s.address}); err != nil {
		return errors.Join(err, s.stop(ctx))
	}
	return errors.Join(s.answer(questions, answers), s.stop(ctx))
}

func open(ctx context.Context, s Spec) (*service, error) {
	if s.Kind != Plain { // which is a server as gRPC makes it
		node.TuneMemory()
	}
	switch s.Kind {
	case Echo, Plain:
		return openEcho(ctx, s)
	case Memory, SQLite, Postgres:
		return openNode(ctx, s)
	default:
		return nil, fmt.Errorf("there is no child of kind %q", s.Kind)
	}
}

// answer answers questions until there are no more.
func (s *service) answer(questions *json.Decoder, answers *json.Encoder) error {
	var profile bytes.Buffer
	for {
		var q question
		if err := questions.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a answer
		var err error
		switch q {
		case askReading:
			a.Reading, err = s.read()
		case askProfileStart:
			profile.Reset()
			err = pprof.StartCPUProfile(&profile)
		case askProfileStop:
			pprof.StopCPUProfile()
			a.Profile = profile.Bytes()
		default:
			err = fmt.Errorf("there is no question %q", q)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

func (s *service) read() (load.Reading, error) {
	cpu, err := processorTime()
	if err != nil {
		return load.Reading{}, err
	}
	return load.Reading{CPU: cpu, Commits: s.commits(), Memory: resident()}, nil
}
