// SPDX-License-Identifier: Apache-2.0

package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// MostEvents bounds the memory that one trial takes, about 500 bytes an event.
const MostEvents = 2_000_000

// ErrFull says that a trial made more events than are kept. It cannot be
// checked.
var ErrFull = errors.New("history: the trial made more events than are kept; make it shorter or slower")

// Recorder takes down a trial. Its methods may be called from many goroutines.
type Recorder struct {
	start time.Time
	most  int

	mu     sync.Mutex
	events []Event
	full   bool
}

// NewRecorder begins a trial: its clock starts now. Most bounds the events; 0
// means MostEvents.
func NewRecorder(most int) *Recorder {
	if most == 0 {
		most = MostEvents
	}
	return &Recorder{start: time.Now(), most: most}
}

// Now is the time since the trial's start.
func (r *Recorder) Now() time.Duration { return time.Since(r.start) }

// Add takes down an event. Beyond the bound it is dropped, and the history is
// of no use.
func (r *Recorder) Add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) >= r.most {
		r.full = true
		return
	}
	r.events = append(r.events, e)
}

// Events returns what was taken down so far.
func (r *Recorder) Events() ([]Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return nil, ErrFull
	}
	return slices.Clip(r.events), nil
}

// Write writes a history as JSON lines.
func Write(w io.Writer, h *History) error {
	buffered := bufio.NewWriter(w)
	lines := json.NewEncoder(buffered)
	if err := lines.Encode(line{Setup: &h.Setup}); err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	for i := range h.Events {
		if err := lines.Encode(line{Event: &h.Events[i]}); err != nil {
			return fmt.Errorf("write the history: %w", err)
		}
	}
	return buffered.Flush()
}

// line is one line of a file: the setup of the next trial, or an event.
type line struct {
	Setup *Setup `json:"setup,omitempty"`
	Event *Event `json:"event,omitempty"`
}

// Read returns the histories in a file, one at a time, so that a long file
// needs no more memory than its longest trial.
func Read(r io.Reader, each func(*History) error) error {
	lines := json.NewDecoder(r)
	var h *History
	for n := 1; ; n++ {
		var l line
		switch err := lines.Decode(&l); {
		case errors.Is(err, io.EOF):
			if h == nil {
				return errors.New("read the history: there is none")
			}
			return each(h)
		case err != nil:
			return fmt.Errorf("read the history, line %d: %w", n, err)
		case l.Setup != nil && h != nil:
			if err := each(h); err != nil {
				return err
			}
			h = &History{Setup: *l.Setup}
		case l.Setup != nil:
			h = &History{Setup: *l.Setup}
		case l.Event == nil || h == nil:
			return fmt.Errorf("read the history, line %d: it is no event of a trial", n)
		default:
			h.Events = append(h.Events, *l.Event)
		}
	}
}
