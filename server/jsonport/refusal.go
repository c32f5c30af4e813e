// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// refusal is an answer to a request that reached no method, in the form of
// Connect's errors.
type refusal struct {
	status int    // of HTTP
	code   string // of Connect
	text   string // what is wrong, and the cure
	allow  string // the methods that are, with status 405
}

// Error returns what the client is told.
func (r *refusal) Error() string { return r.text }

// write sends it and ends the connection, whose body may not have been read.
func (r *refusal) write(w http.ResponseWriter) {
	if r.allow != "" {
		w.Header().Set("Allow", r.allow)
	}
	if r.status == http.StatusRequestEntityTooLarge || r.status == http.StatusRequestTimeout {
		w.Header().Set("Connection", "close")
	}
	writeJSON(w, r.status, struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}{r.code, r.text})
}

// writeJSON sends a value that can always be encoded.
func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "the answer cannot be encoded", http.StatusInternalServerError)
		return
	}
	body = append(body, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}
