// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"encoding/json"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzJSON sends any bytes to methods of both kinds, in every form: the answer
// is an answer or an error in Connect's form, and never a fault of the server.
func FuzzJSON(f *testing.F) {
	paths := []string{
		acquire, "/resilience.v1.PermitService/Report", "/resilience.v1.PermitService/Release", "/resilience.v1.PolicyService/ApplyPolicy",
		"/resilience.v1.RunService/ListRuns", "/resilience.v1.DeadLetterService/ListDeadLetters",
	}
	types := []string{"application/json", "application/json; charset=utf-8", "application/proto", "application/grpc-web+json"}
	for _, body := range []string{
		"", "{}", "null", `{"target": "x"}`, `{"tarrget": 1}`, `{"target": {"name": "x"}}`, "{\n\"estimate\": {\"cost_micros\": 1e400}}",
		`{"labels": {"a": {"b": [1, 2, {"c": "\ud800"}]}}}`, `{"states": ["X", 1, null]}`, `{"permit_id": "p", "dead_letter": {"payload": "_-"}}`,
		`{"yaml": "version: 1\ntargets: [{match: x, preset: llm}]"}`, "{\"target\": \"\xff\"}", strings.Repeat(`{"a":`, 50), `{"a":1}{"b":2}`,
		`{"signal": {"headers": {"retry-after": 1}}}`, "\x00\x00\x00\x00\x02{}", "\x00\xff\xff\xff\xff{}", "\x0a\xff",
	} {
		f.Add(byte(0), byte(0), body, "default")
		f.Add(byte(1), byte(3), body, "a b")
	}
	h := newHarness(f, nil)
	f.Fuzz(func(t *testing.T, method, form byte, body, namespace string) {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "http://localhost"+paths[int(method)%len(paths)], strings.NewReader(body))
		r.Header.Set("Content-Type", types[int(form)%len(types)])
		r.Header.Set("Resilience-Namespace", namespace)
		w := httptest.NewRecorder()
		h.port.ServeHTTP(w, r)
		resp := w.Result()
		defer resp.Body.Close() //nolint:errcheck // it is in memory
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode >= 500 {
			t.Fatalf("status %d: %s", resp.StatusCode, got)
		}
		if resp.StatusCode == 200 || resp.Header.Get("Content-Type") != "application/json" {
			return
		}
		var said failure
		if err := json.Unmarshal(got, &said); err != nil || said.Code == "" || len(said.Message) < 5 || !utf8.Valid(got) {
			t.Fatalf("status %d: %q, %v", resp.StatusCode, got, err)
		}
	})
}
