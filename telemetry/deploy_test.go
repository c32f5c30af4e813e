// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// What is shipped to watch the service with.
const (
	rulesFile     = "../deploy/prometheus/rules.yaml"
	rulesTestFile = "../deploy/prometheus/rules_test.yaml"
	dashboardFile = "../deploy/grafana/resilienced.json"
	runbooksFile  = "../docs/runbooks.md"
	runbooksURL   = "https://github.com/resilienced/resilienced/blob/main/docs/runbooks.md#"
)

// wantedAlerts are those that the service is to have: of the table of alerts
// in its semantics, and of the list for operators.
func wantedAlerts() []string {
	return []string{
		"BreakerOpened", "BreakerFlapping", "BreakerOpen", "BreakerOpenLong", "TargetErrorRate", "CallsSlow", "TaskFailureRate",
		"QuotaExhausted", "RetryBudgetExhausted", "PermitsLost", "RunExhausted", "RunCostCapHits", "RunOverrun", "RunAssumed",
		"DeadLettersOpen", "DeadLetterRate", "EscalationDefaulted", "HumanInterventionRate", "Down", "ConfigReloadFailed",
		"AcquireSlow", "ErrorBudgetBurn", "Overloaded", "GaugesStale",
	}
}

// missingAlerts cannot be there yet: what they look at is not.
func missingAlerts() []string {
	return []string{"queue depth", "stuck", "failed items", "not acknowledged", "not consumed", "fail-open"}
}

type ruleGroups struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Alert       string            `yaml:"alert"`
	Record      string            `yaml:"record"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func load(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(file, ".json") {
		err = json.Unmarshal(text, into)
	} else {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func rules(t *testing.T) (alerts, records map[string]rule) {
	t.Helper()
	var file ruleGroups
	load(t, rulesFile, &file)
	alerts, records = map[string]rule{}, map[string]rule{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			into, name := alerts, r.Alert
			if r.Record != "" {
				into, name = records, r.Record
			}
			if _, twice := into[name]; twice {
				t.Errorf("%s is there twice", name)
			}
			into[name] = r
		}
	}
	return alerts, records
}

func TestEveryAlertIsThere(t *testing.T) {
	alerts, _ := rules(t)
	var want []string
	for _, name := range wantedAlerts() {
		want = append(want, "Resilienced"+name)
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(alerts)); !slices.Equal(got, want) {
		t.Errorf("alerts\n got  %v\n want %v", got, want)
	}
	_, missing, found := strings.Cut(read(t, runbooksFile), "# Not there yet")
	if !found {
		t.Fatal("the runbooks do not say what is not there yet")
	}
	for _, what := range missingAlerts() {
		if !strings.Contains(missing, what) {
			t.Errorf("the runbooks do not say that an alert on %q is not there", what)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every alert says how grave it is, what happened, and what to do.
func TestEveryAlertHasARunbook(t *testing.T) {
	alerts, _ := rules(t)
	sections := map[string]string{}
	for section := range strings.SplitSeq(read(t, runbooksFile), "\n## ") {
		title, text, _ := strings.Cut(section, "\n")
		sections[title] = text
	}
	for name, a := range alerts {
		if s := a.Labels["severity"]; s != "page" && s != "warning" && s != "info" {
			t.Errorf("%s: severity %q", name, s)
		}
		if a.Annotations["summary"] == "" || !strings.Contains(a.Annotations["description"], "{{") && name != "ResiliencedBreakerOpenLong" {
			t.Errorf("%s: the summary is %q, and the description has no number: %q", name, a.Annotations["summary"], a.Annotations["description"])
		}
		if got, want := a.Annotations["runbook_url"], runbooksURL+strings.ToLower(name); got != want {
			t.Errorf("%s: runbook_url is %q, want %q", name, got, want)
		}
		for _, part := range []string{"**Means:**", "**Look:**", "**Do:**", "**Harmless:**"} {
			if !strings.Contains(sections[name], part) {
				t.Errorf("%s: its runbook has no %s", name, part)
			}
		}
	}
	for title := range sections {
		if _, ok := alerts[title]; !ok && strings.HasPrefix(title, "Resilienced") {
			t.Errorf("the runbook of %s is of no alert", title)
		}
	}
}

// Every alert has a series that makes it fire, and one that does not. Whether
// it does is for promtool: make alerts.
func TestEveryAlertHasTests(t *testing.T) {
	alerts, _ := rules(t)
	var file struct {
		Tests []struct {
			Rules []struct {
				Alert string `yaml:"alertname"`
				Want  []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	load(t, rulesTestFile, &file)
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, one := range file.Tests {
		for _, r := range one.Rules {
			if _, ok := alerts[r.Alert]; !ok {
				t.Errorf("a test of %s, which is no alert", r.Alert)
			}
			fires[r.Alert] = fires[r.Alert] || len(r.Want) > 0
			quiet[r.Alert] = quiet[r.Alert] || len(r.Want) == 0
		}
	}
	for name := range alerts {
		if !fires[name] || !quiet[name] {
			t.Errorf("%s: a test that it fires: %v; that it does not: %v", name, fires[name], quiet[name])
		}
	}
}

// dashboard is what the test knows of Grafana's format.
type dashboard struct {
	UID    string `json:"uid"`
	Inputs []struct {
		Name string `json:"name"`
	} `json:"__inputs"`
	Templating struct {
		List []struct {
			Name  string `json:"name"`
			Query struct {
				Query string `json:"query"`
			} `json:"query"`
		} `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []struct {
			Expr string `json:"expr"`
		} `json:"list"`
	} `json:"annotations"`
	Panels []struct {
		ID      int    `json:"id"`
		Type    string `json:"type"`
		Title   string `json:"title"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

// expressions are every expression of the dashboard, by where it stands, with
// its variables filled in.
func (d *dashboard) expressions() map[string]string {
	filled := strings.NewReplacer("$target", ".*", "$__rate_interval", "1m")
	found := map[string]string{}
	for _, p := range d.Panels {
		for i, target := range p.Targets {
			found[fmt.Sprintf("panel %q, %d", p.Title, i)] = filled.Replace(target.Expr)
		}
	}
	for i, a := range d.Annotations.List {
		found[fmt.Sprint("annotation ", i)] = filled.Replace(a.Expr)
	}
	return found
}

func TestDashboard(t *testing.T) {
	var d dashboard
	load(t, dashboardFile, &d)
	if d.UID != "resilienced" || len(d.Inputs) != 1 || d.Inputs[0].Name != "DS_PROMETHEUS" {
		t.Errorf("uid %q, inputs %+v", d.UID, d.Inputs)
	}
	if len(d.Templating.List) != 1 || d.Templating.List[0].Name != "target" {
		t.Errorf("variables %+v", d.Templating.List)
	}
	var rows []string
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		switch {
		case p.Type == "row":
			rows = append(rows, p.Title)
		case len(p.Targets) == 0:
			t.Errorf("panel %q shows nothing", p.Title)
		}
	}
	want := []string{"Fleet", "Breakers", "Retries and budgets", "Cost and tokens", "Runs", "Observed", "Server"}
	if !slices.Equal(rows, want) {
		t.Errorf("rows %v, want %v", rows, want)
	}
}

// Every expression of the rules and of the dashboard names only metrics that a
// server exports, with labels that they have.
func TestExpressionsNameExportedMetrics(t *testing.T) {
	alerts, records := rules(t)
	known := map[string][]string{"up": {}, "process_resident_memory_bytes": {}, "go_goroutines": {}}
	for _, d := range New(Config{}).Definitions() {
		labels := append([]string{"le"}, d.Labels...)
		if d.Kind == "histogram" {
			known[d.Name+"_bucket"], known[d.Name+"_count"], known[d.Name+"_sum"] = labels, d.Labels, d.Labels
			continue
		}
		known[d.Name] = d.Labels
	}
	for name := range records {
		known[name] = []string{"target"}
	}
	var d dashboard
	load(t, dashboardFile, &d)
	exprs := d.expressions()
	for name, r := range alerts {
		exprs["alert "+name] = r.Expr
	}
	for name, r := range records {
		exprs["record "+name] = r.Expr
	}
	for _, v := range d.Templating.List {
		exprs["variable "+v.Name] = v.Query.Query
	}
	used := map[string]bool{}
	for where, expr := range exprs {
		for _, fault := range faults(expr, known, used) {
			t.Errorf("%s: %s", where, fault)
		}
	}
	for name := range records {
		if !used[name] {
			t.Errorf("the record %s is used nowhere", name)
		}
	}
}

var (
	metricName  = regexp.MustCompile(`\b(resilienced|grpc_server|go|process)[_:][a-zA-Z0-9_:]+|\bup\b`)
	metricGroup = regexp.MustCompile(`^\{([^}]*)\}`)
	labelName   = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
)

// faults are the names in an expression that nobody exports.
func faults(expr string, known map[string][]string, used map[string]bool) []string {
	var found []string
	spans := metricName.FindAllStringIndex(expr, -1)
	if len(spans) == 0 {
		return []string{"no metric in " + expr}
	}
	for _, span := range spans {
		name := expr[span[0]:span[1]]
		labels, ok := known[name]
		used[name] = true
		if !ok {
			found = append(found, name+" is not exported")
			continue
		}
		group := metricGroup.FindStringSubmatch(expr[span[1]:])
		if group == nil {
			continue
		}
		for _, l := range labelName.FindAllStringSubmatch(group[1], -1) {
			if label := l[1]; label != "job" && label != "instance" && !slices.Contains(labels, label) {
				found = append(found, name+" has no label "+label)
			}
		}
	}
	return found
}

// TestFaultsCanBeFound shows that the check above sees what it is there for.
func TestFaultsCanBeFound(t *testing.T) {
	known := map[string][]string{"resilienced_a_total": {"target"}, "up": {}}
	for expr, want := range map[string]int{
		`sum(rate(resilienced_a_total{target=~"x",job="y"}[5m])) or up == 0`: 0,
		`resilienced_b_total`:                  1,
		`resilienced_a_total{run="r"}`:         1,
		`resilienced_a{x="1"} + resilienced_b`: 2,
		`1 + 1`:                                1,
	} {
		if got := faults(expr, known, map[string]bool{}); len(got) != want {
			t.Errorf("%s: %q, want %d", expr, got, want)
		}
	}
}

// Every metric of the service is on the page of the metrics, and every counter
// that matters to somebody is in the dashboard.
func TestEveryMetricIsShown(t *testing.T) {
	shown := read(t, dashboardFile)
	for _, d := range New(Config{}).Definitions() {
		switch d.Name {
		case "resilienced_census_failures_total", "resilienced_policy_changes_total", "resilienced_trace_spans_failed_total":
			continue // in the runbooks and the log
		}
		if !strings.Contains(shown, d.Name) {
			t.Errorf("the dashboard does not show %s", d.Name)
		}
	}
}
