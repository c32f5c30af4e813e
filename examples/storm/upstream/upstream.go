// SPDX-License-Identifier: Apache-2.0

// Package upstream is a model provider and a code sandbox on this machine. It
// limits, fails and bills as real ones do, and it counts: every figure that the
// storm prints is taken here, by the side that was called.
//
// What it answers depends on the seed, the task and the step alone, never on
// who asks, so two arms that get the same configuration get the same work. Only
// the form of an outage's refusal is drawn by its number.
package upstream

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Window is a span of time after the upstream began.
type Window struct{ From, For time.Duration }

// At reports whether the window is open so long after the beginning.
func (w Window) At(since time.Duration) bool { return since >= w.From && since < w.From+w.For }

// Config is what the upstream is like. The zero value limits everything away.
type Config struct {
	Seed   uint64
	Rate   int           // requests a second that an account may make, and the most that it may save up
	Outage Window        // the model's: 503 and 529
	Hiccup Window        // the sandbox's: 503
	Flake  int           // executions in a hundred that time out at any time
	Grace  time.Duration // how long the news of a Retry-After may be on its way
	Cap    int64         // micro-USD that a task is meant to cost at most; only counted against
}

// Server is the provider. It is safe for concurrent use.
type Server struct {
	cfg   Config
	began time.Time
	http  *http.Server
	ended chan struct{}

	mu      sync.Mutex
	model   account
	sandbox account
	tasks   map[int]*taskBill
	figures Figures // of money and tasks; the accounts count their calls
}

// taskBill is what the upstream knows of one task.
type taskBill struct {
	cost int64
	done bool
	runs map[int]int // executions begun, by step
}

// Start serves on the listener until Close. Windows count from now.
func Start(l net.Listener, cfg Config) *Server {
	s := &Server{cfg: cfg, began: time.Now(), ended: make(chan struct{}), tasks: map[int]*taskBill{}}
	s.model, s.sandbox = newAccount(cfg), newAccount(cfg)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", s.complete)
	mux.HandleFunc("POST /sandbox/execute", s.execute)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.ended)
		_ = s.http.Serve(l) // it ends with Close, and says only that
	}()
	return s
}

// Close ends it. Answers under way are cut off.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.ended
	return err
}

// Figures is what was counted up to now.
func (s *Server) Figures() Figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.figures
	f.Model, f.Sandbox = s.model.Account, s.sandbox.Account
	for _, t := range s.tasks {
		if t.cost > s.cfg.Cap {
			f.OverCap++
		}
	}
	return f
}

// task returns a task's bill. The caller holds mu.
func (s *Server) task(n int) *taskBill {
	t := s.tasks[n]
	if t == nil {
		t = &taskBill{runs: map[int]int{}}
		s.tasks[n] = t
	}
	return t
}

// bill charges a task. The caller holds mu.
func (s *Server) bill(n int, micros int64) {
	s.task(n).cost += micros
	s.figures.CostMicros += micros
}

// take waits as long as an answer takes. A client that is gone meanwhile gets
// none.
func take(r *http.Request, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// read decodes a request. A client that leaves is noticed only once the whole
// body was read.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "invalid_request_error", "bad_json", err.Error())
	}
	return err == nil
}

func send(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that is gone is no trouble of the provider's
}

// fail answers with an error in OpenAI's form.
func fail(w http.ResponseWriter, status int, kind, code, message string) {
	send(w, status, map[string]any{"error": map[string]any{"message": message, "type": kind, "code": code, "param": nil}})
}

// overloaded answers with a 529 in Anthropic's form.
func overloaded(w http.ResponseWriter) {
	send(w, 529, map[string]any{"type": "error", "error": map[string]string{"type": "overloaded_error", "message": "Overloaded"}})
}
