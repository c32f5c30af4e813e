// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"

	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/bench/process"
	"github.com/resilienced/resilienced/bench/sitting"
)

// served is a server with a client of it.
type served struct {
	child  *process.Child
	client *client
	own    bool // the child ends with it
}

// serve starts a server and dials it.
func (s *Suite) serve(ctx context.Context, kind process.Kind, callers int) (*served, error) {
	child, err := s.start(ctx, kind)
	if err != nil {
		return nil, err
	}
	v, err := reach(child, callers)
	if err != nil {
		return nil, errors.Join(err, child.Close())
	}
	v.own = true
	return v, nil
}

// reach dials a server that somebody else ends.
func reach(child *process.Child, callers int) (*served, error) {
	c, err := dial(callers, child.Address)
	if err != nil {
		return nil, err
	}
	return &served{child: child, client: c}, nil
}

func (v *served) close() error {
	err := v.client.close()
	if v.own {
		err = errors.Join(err, v.child.Close())
	}
	return err
}

// fleet is the servers of one sitting.
type fleet []*served

func (f *fleet) add(v *served, err error) (*served, error) {
	if err == nil {
		*f = append(*f, v)
	}
	return v, err
}

func (f *fleet) close() error {
	var errs []error
	for _, v := range *f {
		errs = append(errs, v.close())
	}
	return errors.Join(errs...)
}

// The names of the two echoes, which are the control.
const (
	echoA = "echo"
	echoB = "echo again"
)

// echoes reaches the two echoes as subjects of a sitting.
func (s *Suite) echoSubjects(f *fleet, closed load.Closed, callers func(*client) load.Callers) ([]sitting.Subject, error) {
	var subjects []sitting.Subject
	for i, name := range []string{echoA, echoB} {
		v, err := f.add(reach(s.echoes[i], closed.Callers))
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, v.subject(name, closed, callers(v.client)))
	}
	return subjects, nil
}

// subject is a server under a load.
func (v *served) subject(name string, closed load.Closed, callers load.Callers) sitting.Subject {
	return sitting.Subject{Name: name, Slice: func(ctx context.Context) (*load.Result, error) {
		return closed.Run(ctx, callers, v.child.Read)
	}}
}

// closed is a slice of load.
func (s *Suite) closed(callers int) load.Closed {
	return load.Closed{Callers: callers, Warm: s.cfg.Size.Settle, For: s.cfg.Size.Slice}
}

// warm puts a first load on every subject, which is not counted.
func (s *Suite) warm(ctx context.Context, subjects []sitting.Subject) error {
	plan := sitting.Plan{Name: "warm up", Rounds: 1, Subjects: subjects}
	_, err := plan.Hold(ctx)
	return err
}

// again holds a sitting until it is not void, and keeps count.
func (s *Suite) again(ctx context.Context, hold func(context.Context) (*sitting.Result, error)) (*sitting.Result, error) {
	attempts := min(s.cfg.Size.Attempts, 1+s.cfg.Size.Repeats-len(s.voids))
	r, voids, err := sitting.Again(ctx, max(attempts, 1), func(ctx context.Context) (*sitting.Result, error) {
		var r *sitting.Result
		err := s.steady(ctx, "a sitting", func(ctx context.Context) (err error) {
			r, err = hold(ctx)
			return err
		})
		if err == nil {
			word := ""
			if r.Void() {
				word = ", void"
			}
			s.say("%s: control %.3f%s", r.Name, r.Control, word)
		}
		return r, err
	})
	s.voids = append(s.voids, voids...)
	if err != nil {
		return nil, err
	}
	s.controls = append(s.controls, r.Control)
	s.passed += r.Passed()
	return r, nil
}
