// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/resilienced/resilienced/drill/failures"
	"github.com/resilienced/resilienced/policy"
)

// policyDrill plays the six kinds of failure against an operator's policy.
type policyDrill struct {
	file, target, chain string
	check               string // a transcript that must come out again
	format              string
}

// run plays the drill against a node of its own, or the server at addr.
func (p *policyDrill) run(cmd *cobra.Command, args []string, store, addr, format string) error {
	p.format = format
	switch {
	case p.file == "":
		return fail(exitUsage, errors.New("--target, --chain and --check go with --policy FILE"))
	case len(args) > 0:
		return fail(exitUsage, errors.New("scenario files and --policy are two things; name one of them"))
	case format != "table" && format != "json":
		return fail(exitUsage, fmt.Errorf("-o %s is for scenarios; use table or json with --policy", format))
	}
	in, err := p.read()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	at := func(addr string) error {
		return withConn(ctx, addr, func(conn *grpc.ClientConn) error { return p.play(ctx, conn, in, cmd.OutOrStdout()) })
	}
	if addr != "" {
		return at(addr)
	}
	return withNode(ctx, store, cmd.ErrOrStderr(), at)
}

// read reads and checks the policy, and what is to be called.
func (p *policyDrill) read() (failures.Input, error) {
	text, err := os.ReadFile(p.file)
	if err != nil {
		return failures.Input{}, fail(exitUsage, fmt.Errorf("read the policy: %w", err))
	}
	parsed, err := policy.Parse(p.file, text, policy.Options{})
	if err != nil {
		return failures.Input{}, fail(exitConfig, fmt.Errorf("the policy is not valid:\n%w", err))
	}
	switch {
	case (p.target == "") == (p.chain == ""):
		return failures.Input{}, fail(exitUsage, fmt.Errorf("say what is called: --target NAME or --chain NAME (chains of %s: %s)",
			p.file, orNone(parsed.ChainNames())))
	case p.chain != "" && !slices.Contains(parsed.ChainNames(), p.chain):
		return failures.Input{}, fail(exitUsage, fmt.Errorf("%s has no chain %q; it has: %s", p.file, p.chain, orNone(parsed.ChainNames())))
	}
	return failures.Input{Policy: string(text), Target: p.target, Chain: p.chain}, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// play plays the drill and writes or compares the transcript.
func (p *policyDrill) play(ctx context.Context, conn grpc.ClientConnInterface, in failures.Input, out io.Writer) error {
	transcript, err := failures.Run(ctx, conn, in)
	if err != nil {
		return fail(exitFailed, err)
	}
	var text bytes.Buffer
	if p.format == "json" {
		encoder := json.NewEncoder(&text)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(transcript)
	} else {
		err = transcript.WriteText(&text)
	}
	if err != nil {
		return fail(exitFailed, err)
	}
	if p.check != "" {
		return p.compare(text.Bytes(), out)
	}
	if _, err := out.Write(text.Bytes()); err != nil {
		return fail(exitFailed, fmt.Errorf("write the transcript: %w", err))
	}
	if kinds := transcript.Unanswered(); len(kinds) > 0 {
		return fail(exitFailed, fmt.Errorf("no pattern of this policy answers: %s", strings.Join(kinds, ", ")))
	}
	return nil
}

// compare says where the transcript is not the one that was kept.
func (p *policyDrill) compare(got []byte, out io.Writer) error {
	want, err := os.ReadFile(p.check)
	if err != nil {
		return fail(exitUsage, fmt.Errorf("read the transcript to compare with: %w", err))
	}
	if bytes.Equal(got, want) {
		_, err := fmt.Fprintf(out, "as in %s\n", p.check)
		return err
	}
	had, has := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range max(len(had), len(has)) {
		before, now := at(had, i), at(has, i)
		if before != now {
			return fail(exitFailed, fmt.Errorf("%s:%d: the policy behaves otherwise now\n  was: %s\n  is:  %s\nif that is meant, write it anew without --check",
				p.check, i+1, before, now))
		}
	}
	return fail(exitFailed, errors.New("the transcripts differ"))
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}
