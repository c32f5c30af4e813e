// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/node"
)

// pagesOf is an HTTP port that says this.
func pagesOf(t *testing.T, readyz string, status int, version any, skew time.Duration) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
		w.WriteHeader(status)
		_, _ = w.Write([]byte(readyz))
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(version) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

const readyPage = `{"ready": true, "checks": [{"name": "store", "ok": true, "detail": "memory"}, {"name": "policy file", "ok": false, "advisory": true, "detail": "policy.yaml:3: unknown key"}]}`

func TestDoctorOfAHealthyServer(t *testing.T) {
	s := live(t)
	s.must(t, "policy", "apply", write(t, "p.yaml", onePolicy), "--reason", "r")
	s.must(t, "targets", "open", "t", "--reason", "r")
	s.must(t, "runs", "start", "broke", "--calls", "0")
	pages := pagesOf(t, readyPage, 200, node.ReadBuild(), 0)
	code, out, errs := s.op(t, "doctor", "--http-addr", pages)
	if code != exitOK || errs != "" {
		t.Errorf("exit %d, %s", code, errs)
	}
	for _, want := range []string{
		"ok    server             " + s.conn.Target() + " answers and serves\n",
		"ok    ready/store        memory\n", "warn  ready/policy file  policy.yaml:3: unknown key\n", "ok    clock ", "ok    version            both are resilienced ",
		"ok    policy             epoch 1, applied now by op: r\n", "warn  breakers           open: t\n                         → resilienced targets get t\n",
		"warn  runs               exhausted: broke\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
}

// httpAddr is where the service listens for HTTP.
func (s *service) httpAddr(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(` http=(\S+)`).FindStringSubmatch(s.log.String())
	if m == nil {
		t.Fatalf("no HTTP address in\n%s", s.log)
	}
	return m[1]
}

func TestDoctorAndVersionOfARealServer(t *testing.T) {
	s := live(t)
	out := s.must(t, "doctor", "--http-addr", s.httpAddr(t))
	for _, want := range []string{"ok    json port ", "ok    ready ", "ok    ready/serving ", "ok    ready/store ", "ok    clock ", "ok    version            both are resilienced ", "warn  policy             epoch 0", "ok    prices             as of 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	ours := strings.TrimSpace(s.must(t, "version"))
	wantText(t, "version --server", s.must(t, "version", "--server", "--http-addr", s.httpAddr(t)), "command  "+ours+"\nserver   "+ours+"\n")
	var both struct{ Command, Server node.Build }
	if err := json.Unmarshal([]byte(s.must(t, "version", "--server", "--http-addr", s.httpAddr(t), "-o", "json")), &both); err != nil || both.Server.Go == "" || both.Server != both.Command {
		t.Errorf("%+v, %v", both, err)
	}
	if code, _, errs := run(t, "version", "--server", "--http-addr", nobody(t)); code != exitUnavailable || !strings.Contains(errs, "--http-addr") {
		t.Errorf("nobody: exit %d, %s", code, errs)
	}
	if code, _, errs := run(t, "version", "--server", "--http-addr", pagesOf(t, readyPage, 200, map[string]string{}, 0)); code != exitUnavailable || !strings.Contains(errs, "does not say which version") {
		t.Errorf("another: exit %d, %s", code, errs)
	}
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	addr := serveFake(t, func(_ context.Context, _ string, req any) (any, error) {
		switch req.(type) {
		case *pb.GetEnforcementRequest:
			return &pb.GetEnforcementResponse{Enforcement: &pb.Enforcement{ServerObserves: true, Pass: &pb.Pass{Reason: "incident"}}}, nil
		case *pb.GetPolicyRequest:
			return &pb.GetPolicyResponse{}, nil
		}
		return nil, nil
	})
	pages := pagesOf(t, `{"ready": false, "checks": [{"name": "store", "ok": false, "detail": "disk full: free room"}]}`, 503, node.Build{Version: "v0.0.1"}, -time.Minute)
	code, out, _ := runAt(t, addr, "doctor", "--http-addr", pages, "-o", "json")
	var got struct{ Findings []finding }
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFailed {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	found := map[string]finding{}
	for _, f := range got.Findings {
		found[f.Check] = f
	}
	for check, want := range map[string]verdict{"ready/store": bad, "ready": bad, "version": warn, "clock": warn, "policy": warn, "pass": warn, "enforcement": warn, "breakers": warn, "runs": warn} {
		if found[check].Verdict != want {
			t.Errorf("%s is %+v, want %s", check, found[check], want)
		}
	}
	for _, check := range []string{"version", "clock", "policy", "pass", "enforcement"} {
		if found[check].Cure == "" {
			t.Errorf("%s has no cure: %+v", check, found[check])
		}
	}
}

func TestDoctorOfNobody(t *testing.T) {
	code, out, _ := runAt(t, nobody(t), "doctor")
	if code != exitFailed || !strings.Contains(out, "fail  server             nobody answers") || !strings.Contains(out, "start it with: resilienced serve") || strings.Contains(out, "runs") {
		t.Errorf("exit %d\n%s", code, out)
	}
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer html.Close()
	if _, out, _ := runAt(t, nobody(t), "doctor", "--http-addr", html.Listener.Addr().String()); !strings.Contains(out, "is not resilienced's JSON port") {
		t.Errorf("another server:\n%s", out)
	}
}
