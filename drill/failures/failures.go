// SPDX-License-Identifier: Apache-2.0

// Package failures plays the six kinds of failure against an operator's own
// policy and writes down what the rules did: which pattern fired, when, and in
// which order. A caller that follows every directive plays the fleet's part;
// time is a drill's, so that hours pass at once and every number is exact.
// Jitter, the margin after a Retry-After and the slow start are off in a
// drill; everything else is the policy's.
package failures

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
)

// Input says what is played. Exactly one of Target and Chain is set.
type Input struct {
	// Policy is the text of the policy.
	Policy string
	// Target is what is called, by its name.
	Target string
	// Chain is what is called, by the chain's name.
	Chain string
}

// subject names what is called, for people.
func (in Input) subject() string {
	if in.Chain != "" {
		return "chain " + in.Chain
	}
	return "target " + in.Target
}

// script is one kind of failure.
type script struct {
	kind  string
	story string
	play  func(*stage) error
}

func scripts() []script {
	return []script{
		{"transient", "the first two calls fail with 503, then it works", transient},
		{"persistent", "every call fails with 500 until somebody repairs it", persistent},
		{"quality", "the calls work, and no answer matches its schema", quality},
		{"partial", "some items of a batch fail", partial},
		{"unrecoverable", "nobody can tell whether the call took effect, or only a person may decide", unrecoverable},
		{"rate/cost", "the target asks to wait, its quota ends, and a run comes to its cap", rateAndCost},
	}
}

// Run plays all kinds over conn, each in a drill namespace of its own. Its
// error says that one could not be played; what was played before is in the
// transcript all the same.
func Run(ctx context.Context, conn grpc.ClientConnInterface, in Input) (*Transcript, error) {
	if (in.Target == "") == (in.Chain == "") {
		return nil, errors.New("name one target or one chain")
	}
	t := &Transcript{Subject: in.subject()}
	for _, s := range scripts() {
		scene := Scene{Kind: s.kind, Story: s.story}
		err := play(ctx, conn, in, s, &scene)
		t.Scenes = append(t.Scenes, scene)
		if err != nil {
			return t, fmt.Errorf("%s: %w", s.kind, err)
		}
	}
	return t, nil
}

// play plays one kind on a stage that is taken down afterwards.
func play(ctx context.Context, conn grpc.ClientConnInterface, in Input, s script, scene *Scene) error {
	st, err := open(ctx, conn, in, scene)
	if err != nil {
		return err
	}
	return errors.Join(s.play(st), st.close()) //nolint:contextcheck // the stage has it
}
