// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

const priceList = `{
  "sample_spec": {"litellm_provider": "one of", "mode": "one of"},
  "openai/gpt-a": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06},
  "gpt-b": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07},
  "other/c": {"litellm_provider": "other", "mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06},
  "openai/painter": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_pixel": 1e-08}
}`

func TestPricesShow(t *testing.T) {
	code, out, errs := run(t, "prices", "show", "openai/gpt-4o-mini")
	if code != exitOK || !strings.HasPrefix(out, "MODEL ") || !strings.Contains(out, "openai/gpt-4o-mini  ") || strings.Count(out, "\n") != 2 || !strings.Contains(errs, "as of 2") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := run(t, "prices", "show", "nothing*"); code != exitOK || out != "" || !strings.Contains(errs, "no model") {
		t.Errorf("nothing: exit %d, %q, %q", code, out, errs)
	}
	old := write(t, "old.yaml", "version: 1\nprices:\n  table: none\n  updated: 2020-01-01\n  models:\n    a/b: {input: 1500000, output: 125}\n")
	code, out, errs = run(t, "prices", "show", "--policy", old)
	if code != exitOK || !strings.Contains(out, "a/b      $1.50  $0.000125") || !strings.Contains(errs, "warning: the prices are of 2020-01-01") {
		t.Errorf("an old table: exit %d\n%s%s", code, out, errs)
	}
	var got priceTable
	code, out, _ = run(t, "prices", "show", "--policy", old, "-o", "json")
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK || !got.Stale || got.Updated != "2020-01-01" || len(got.Models) != 1 ||
		*got.Models[0].Input != 1_500_000 || got.Models[0].CachedInput != nil { // absent is never zero
		t.Errorf("json: exit %d, %v, %s", code, err, out)
	}
	s := live(t)
	s.must(t, "policy", "apply", old, "--reason", "r")
	if out := s.must(t, "prices", "show", "--server"); !strings.Contains(out, "a/b      $1.50") {
		t.Errorf("the server's:\n%s", out)
	}
}

func TestPricesImport(t *testing.T) {
	list := write(t, "list.json", priceList)
	code, out, errs := run(t, "prices", "import", "--format", "litellm", list, "--only", "openai/*", "--updated", "2026-11-01")
	if code != exitOK || !strings.Contains(out, "updated: 2026-11-01") || !strings.Contains(out, "openai/gpt-a: {input: 2500000, output: 10000000, cached_input: 1250000}") ||
		!strings.Contains(out, "openai/gpt-b: {input: 150000, output: 600000}") || strings.Contains(out, "other/c") || strings.Contains(out, "painter") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if !strings.HasPrefix(errs, "2 models imported, 1 left out") {
		t.Errorf("told %q", errs)
	}
	if code, _, errs := run(t, "prices", "import", list, "--only", "openai/*", "--verbose"); code != exitOK || !strings.Contains(errs, "openai/painter  left out: ") {
		t.Errorf("verbose: exit %d, %s", code, errs)
	}

	policy := write(t, "policy.yaml", "# mine\n"+onePolicy)
	if err := os.Chmod(policy, 0o640); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := run(t, "prices", "import", list, "--only", "openai/*", "--into", policy); code != exitOK || out != "" || !strings.Contains(errs, "resilienced policy diff "+policy) {
		t.Errorf("into: exit %d, %q, %q", code, out, errs)
	}
	text, err := os.ReadFile(policy)
	if err != nil || !strings.HasPrefix(string(text), "# mine\n"+onePolicy) || !strings.Contains(string(text), "openai/gpt-b") ||
		!strings.Contains(string(text), "updated: "+time.Now().UTC().Format(time.DateOnly)) {
		t.Errorf("%v\n%s", err, text)
	}
	if info, err := os.Stat(policy); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its rights are %v, %v", info.Mode(), err)
	}
	if code, out, errs := run(t, "policy", "check", policy); code != exitOK {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestPricesImportOfGarbage(t *testing.T) {
	policy := write(t, "policy.yaml", onePolicy)
	for _, c := range []struct {
		text string
		args []string
		code int
		says string
	}{
		{"{", nil, exitConfig, "list.json:1"},
		{"[]", nil, exitConfig, "list.json"},
		{"", nil, exitConfig, "list.json"},
		{priceList, []string{"--only", "nobody/*"}, exitConfig, "no model was imported"},
		{`{"a/b": {"litellm_provider": "a", "input_cost_per_token": -1, "output_cost_per_token": 1}}`, nil, exitConfig, "no model was imported"},
		{priceList, []string{"--updated", "yesterday"}, exitUsage, "such as 2026-11-01"},
		{priceList, []string{"--format", "excel"}, exitUsage, "litellm"},
		{priceList, []string{"--into", "/nowhere.yaml"}, exitUsage, "/nowhere.yaml"},
		{priceList, []string{"--into", write(t, "bad.yaml", badPolicy)}, exitConfig, "was not changed"},
	} {
		args := append([]string{"prices", "import", write(t, "list.json", c.text), "--into", policy}, c.args...)
		if code, out, errs := run(t, args...); code != c.code || out != "" || !strings.Contains(errs, c.says) {
			t.Errorf("%.40q %q: exit %d, %q", c.text, c.args, code, errs)
		}
	}
	if text, err := os.ReadFile(policy); err != nil || string(text) != onePolicy {
		t.Errorf("%v: the policy was changed:\n%s", err, text)
	}
}
