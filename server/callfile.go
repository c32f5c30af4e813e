// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// maxCallLine is the longest line of a file of calls: the largest legal call
// with every character escaped is shorter.
const maxCallLine = 4 << 20

// WriteCall writes a recorded call as one line of JSON, as ReadCalls reads it.
func WriteCall(w io.Writer, c *engine.Call) error {
	line, err := protojson.MarshalOptions{}.Marshal(CallToProto(c))
	if err != nil {
		return fmt.Errorf("write a call: %w", err)
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write a call: %w", err)
	}
	return nil
}

// ReadCalls reads recorded calls, a RecordedCall in JSON on each line; blank
// lines are skipped. The first error ends it and names its line: JSON that is
// none, a field that RecordedCall does not have, a value that is wrong, or a
// line of more than 4 MiB. It holds one line at a time.
func ReadCalls(r io.Reader) iter.Seq2[*engine.Call, error] {
	return func(yield func(*engine.Call, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 64<<10), maxCallLine)
		n := 0
		for lines.Scan() {
			n++
			line := bytes.TrimSpace(lines.Bytes())
			if len(line) == 0 {
				continue
			}
			call, err := parseCall(line)
			if err != nil {
				yield(nil, fmt.Errorf("line %d: %w", n, err))
				return
			}
			if !yield(call, nil) {
				return
			}
		}
		if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(nil, fmt.Errorf("line %d: it is longer than %d bytes; each call is a line of its own", n+1, maxCallLine))
		} else if err != nil {
			yield(nil, fmt.Errorf("after line %d: %w", n, err))
		}
	}
}

func parseCall(line []byte) (*engine.Call, error) {
	r := &pb.RecordedCall{}
	if err := (protojson.UnmarshalOptions{}).Unmarshal(line, r); err != nil {
		return nil, fmt.Errorf("it is not a recorded call in JSON: %w", err)
	}
	return CallFromProto(r)
}
