// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func (h *harness) get(t *testing.T, path string) answer {
	t.Helper()
	return h.send(t.Context(), t, http.MethodGet, path, nil)
}

func TestPages(t *testing.T) {
	h := newHarness(t, func(d *Deps) {
		d.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	})
	for path, want := range map[string]string{
		"/": "/resilience.v1.PermitService/Acquire", "/healthz": `{"alive":true}`, "/version": `{"version":"test"}`, "/metrics": "up 1",
		"/readyz": `{"ready":true,"checks":[{"name":"serving","ok":true}]}`,
	} {
		got := h.get(t, path)
		if got.status != 200 || !strings.Contains(string(got.body), want) || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: status %d: %s", path, got.status, got.body)
		}
		head := h.send(t.Context(), t, http.MethodHead, path, nil)
		if head.status != 200 || len(head.body) != 0 {
			t.Errorf("HEAD %s: status %d: %q", path, head.status, head.body)
		}
	}
}

func TestReady(t *testing.T) {
	checks := []Check{{Name: "store", OK: true}, {Name: "reload", Advisory: true, Detail: "policy.yaml:3: there is no field x"}}
	h := newHarness(t, func(d *Deps) { d.Ready = func(context.Context) []Check { return checks } })
	if got := h.get(t, "/readyz"); got.status != 200 || !strings.Contains(string(got.body), `{"name":"reload","ok":false,"advisory":true,"detail":"policy.yaml:3: there is no field x"}`) {
		t.Errorf("what is only advice: status %d: %s", got.status, got.body)
	}
	checks = []Check{{Name: "store", Detail: "it does not answer"}}
	if got := h.get(t, "/readyz"); got.status != 503 || !strings.Contains(string(got.body), `"ready":false`) {
		t.Errorf("a store that does not answer: status %d: %s", got.status, got.body)
	}
	checks = nil
	h.server.NotServing()
	if got := h.get(t, "/readyz"); got.status != 503 || !strings.Contains(string(got.body), "shutting down") {
		t.Errorf("a drain: status %d: %s", got.status, got.body)
	}
	if got := h.get(t, "/healthz"); got.status != 200 {
		t.Errorf("alive while it drains: status %d", got.status)
	}
	if got := h.post(t, acquire, `{"target": "x"}`); got.status != 200 {
		t.Errorf("a call while it drains: status %d: %s", got.status, got.body)
	}
	h.port.Close()
	if got := h.post(t, acquire, `{"target": "x"}`); got.status != 503 || got.failure(t).Code != "unavailable" {
		t.Errorf("a call after it closed: status %d: %s", got.status, got.body)
	}
}

// The examples on the first page work as they stand there.
func TestIndexExamples(t *testing.T) {
	h := newHarness(t, nil)
	page := string(h.get(t, "/").body)
	body := func(after string) string {
		_, rest, _ := strings.Cut(page, after)
		_, rest, _ = strings.Cut(rest, "-d '")
		text, _, found := strings.Cut(rest, "'")
		if !found {
			t.Fatalf("no body after %q in:\n%s", after, page)
		}
		return text
	}
	got := h.post(t, acquire, body("May I call?"))
	_, rest, _ := strings.Cut(string(got.body), `"permit_id":"`)
	permit, _, found := strings.Cut(rest, `"`)
	if !found {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	report := strings.Replace(body("It went like this"), "PASTE_IT_HERE", permit, 1)
	if got := h.post(t, "/resilience.v1.PermitService/Report", report); got.status != 200 || !strings.Contains(string(got.body), "ACTION_CONTINUE") {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "localhost": true, "localhost:7071": true, "LOCALHOST": true, "localhost.": true, "a.localhost:1": true,
		"127.0.0.1": true, "127.0.0.1:7071": true, "127.9.9.9": true, "[::1]": true, "[::1]:7071": true, "[::ffff:127.0.0.1]:1": true,
		"evil.example": false, "localhost.evil.example": false, "evil.example:localhost": false, "notlocalhost": false,
		"0.0.0.0:7071": false, "[::]:7071": false, "10.0.0.1": false, "127.0.0.1.evil.example": false, "2130706433": false, "0x7f.1": false,
	} {
		if got := loopbackName(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
	h := newHarness(t, func(d *Deps) { d.AnyHost = true })
	if got := h.post(t, acquire, `{"target": "x"}`, "Host", "resilienced.agents.svc:7071"); got.status != 200 {
		t.Errorf("any host: status %d: %s", got.status, got.body)
	}
	if got := h.post(t, acquire, `{"target": "x"}`, "Host", "resilienced.agents.svc:7071", "Origin", "http://evil.example"); got.status != 403 {
		t.Errorf("any host, another origin: status %d: %s", got.status, got.body)
	}
}
