// SPDX-License-Identifier: Apache-2.0

// Package upstream is a model provider on this machine. It answers the chat
// completions API as real providers do on good and on bad days, by a script.
package upstream

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
)

// Nowhere is a base URL at which nobody listens.
const Nowhere = "http://127.0.0.1:1/v1"

// Call is one request that reached the provider.
type Call struct {
	Model string `json:"model"`
}

// Answer writes what the provider says to one call.
type Answer func(w http.ResponseWriter, r *http.Request, c Call)

// Server is the provider. It is safe for concurrent use.
type Server struct {
	plain, untrusted *httptest.Server

	mu      sync.Mutex
	scripts []*script
	calls   int
}

// script is what one base URL answers, call by call; the last answer repeats.
type script struct {
	answers []Answer
	next    int
}

// Start listens on 127.0.0.1. Close the server when it is done.
func Start() *Server {
	s := &Server{}
	s.plain = httptest.NewServer(s)
	s.untrusted = httptest.NewUnstartedServer(s)
	s.untrusted.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of every client that leaves
	s.untrusted.StartTLS()
	return s
}

// Close waits for the calls under way.
func (s *Server) Close() {
	s.plain.Close()
	s.untrusted.Close()
}

// Script adds a base URL that gives these answers in turn.
func (s *Server) Script(answers ...Answer) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts = append(s.scripts, &script{answers: answers})
	return s.plain.URL + "/" + strconv.Itoa(len(s.scripts)-1)
}

// Untrusted is a base URL behind a certificate that nobody has signed.
func (s *Server) Untrusted() string { return s.untrusted.URL }

// Calls is how many calls reached the provider.
func (s *Server) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// ServeHTTP plays the script that the first part of the path names.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The whole request is read first: a client that leaves is noticed only then.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var c Call
	if len(body) > 0 {
		if err := json.Unmarshal(body, &c); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	answer := s.answer(r)
	if answer == nil {
		http.NotFound(w, r)
		return
	}
	answer(w, r, c)
}

func (s *Server) answer(r *http.Request) Answer {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	i, err := strconv.Atoi(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if err != nil || i < 0 || i >= len(s.scripts) || len(s.scripts[i].answers) == 0 {
		return nil
	}
	script := s.scripts[i]
	answer := script.answers[min(script.next, len(script.answers)-1)]
	script.next++
	return answer
}
