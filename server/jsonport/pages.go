// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// readyTime is how long the checks may take together.
const readyTime = 2 * time.Second

// Check is one thing that must be well before callers are sent here.
type Check struct {
	// Name says what was looked at, such as "store".
	Name string `json:"name"`
	// OK says whether it is well.
	OK bool `json:"ok"`
	// Advisory checks are shown and do not make the whole not ready.
	Advisory bool `json:"advisory,omitempty"`
	// Detail says what is wrong and what to do, or a figure.
	Detail string `json:"detail,omitempty"`
}

// pages are the paths that are no methods. All of them only read.
func (p *Port) pages() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"/": p.index, "/healthz": p.healthz, "/readyz": p.readyz, "/version": p.version, "/metrics": p.metrics,
	}
}

func (*Port) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]bool{"alive": true})
}

// readyz answers 200 while callers may be sent here and 503 otherwise.
func (p *Port) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	serving := Check{Name: "serving", OK: p.deps.Server.Serving(ctx)}
	if !serving.OK {
		serving.Detail = "shutting down: send calls to another replica, or again in a moment"
	}
	answer := struct {
		Ready  bool    `json:"ready"`
		Checks []Check `json:"checks"`
	}{Checks: []Check{serving}}
	if p.deps.Ready != nil {
		answer.Checks = append(answer.Checks, p.deps.Ready(ctx)...)
	}
	answer.Ready = true
	for _, c := range answer.Checks {
		answer.Ready = answer.Ready && (c.OK || c.Advisory)
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}

func (p *Port) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, p.deps.Version)
}

func (p *Port) metrics(w http.ResponseWriter, r *http.Request) {
	if p.deps.Metrics == nil {
		(&refusal{
			status: http.StatusNotFound, code: "unimplemented",
			text: "this process keeps no metrics; `resilienced serve` does",
		}).write(w)
		return
	}
	p.deps.Metrics.ServeHTTP(w, r)
}

func (*Port) index(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	at := "127.0.0.1:7071"
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(fmt.Stringer); ok {
		at = local.String()
	}
	_, _ = io.WriteString(w, indexText(at)) // the client may be gone
}

func indexText(at string) string {
	return `resilienced: ask before a call, tell how it went.

May I call?
  curl -s http://` + at + `/resilience.v1.PermitService/Acquire \
    -H 'content-type: application/json' -d '{"target": "openai/gpt-x"}'

It went like this (with the permit_id of that answer):
  curl -s http://` + at + `/resilience.v1.PermitService/Report \
    -H 'content-type: application/json' \
    -d '{"permit_id": "PASTE_IT_HERE", "outcome": "OUTCOME_SUCCESS", "duration": "0.8s", "signal": {"http_status": 200}}'

Every method of the API is POST /resilience.v1.SERVICE/METHOD with a JSON object.
The header Resilience-Namespace chooses the namespace; without it, it is "default".

  GET /healthz   the process is alive
  GET /readyz    it may be sent calls; 503 and why if not
  GET /metrics   for Prometheus
  GET /version   which build this is
`
}
