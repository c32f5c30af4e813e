// SPDX-License-Identifier: Apache-2.0

package history

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWriteRead(t *testing.T) {
	want := []*History{
		{Setup: Setup{Trial: 1, Fault: "none", Slots: map[string]int{"tool/slots": 5}}, Events: []Event{
			{RPC: Acquire, Call: 5, Return: 9, Outcome: OK, Runs: []string{"a", "root"}, Sums: &Sums{Spent: 3}, Fence: 1 << 60},
			{RPC: Phase, Name: Calm, Call: time.Second, Return: 2 * time.Second},
		}},
		{Setup: Setup{Trial: 2, Fault: "kill"}, Events: []Event{{RPC: Report, Outcome: Unknown}}},
	}
	var file bytes.Buffer
	for _, h := range want {
		if err := Write(&file, h); err != nil {
			t.Fatal(err)
		}
	}
	var got []*History
	err := Read(&file, func(h *History) error {
		got = append(got, h)
		return nil
	})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v; -want +got:\n%s", err, diff)
	}
	if from, to := got[0].Phase(Calm); from != time.Second || to != 2*time.Second {
		t.Errorf("calm from %v to %v", from, to)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":         "",
		"an early event":  `{"event":{"rpc":"Acquire"}}`,
		"something else":  `{"setup":{"trial":1}}` + "\n" + `{"what":1}`,
		"half a line":     `{"setup":{"trial":1}}` + "\n" + `{"event":{"rp`,
		"no JSON, a text": "hello",
	} {
		if err := Read(strings.NewReader(text), func(*History) error { return nil }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRecorderIsBounded(t *testing.T) {
	r := NewRecorder(2)
	for range 2 {
		r.Add(Event{})
	}
	if events, err := r.Events(); len(events) != 2 || err != nil {
		t.Errorf("%d events, %v", len(events), err)
	}
	r.Add(Event{})
	if _, err := r.Events(); !errors.Is(err, ErrFull) {
		t.Errorf("a history with a hole: %v", err)
	}
}
