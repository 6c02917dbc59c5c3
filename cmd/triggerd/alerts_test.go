package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"triggerd/engine"
	"triggerd/rules"
	"triggerd/source"
)

var (
	descName   = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	exprMetric = regexp.MustCompile(`\b(?:triggerd|process|go)_\w+\b`)
	exprLabels = regexp.MustCompile(`\b(triggerd_\w+)\{([^}]*)\}`)
	labelName  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
)

// servedMetrics are the names of all metrics that a daemon serves, with the
// labels of its own.
func servedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	set, err := rules.Parse("rules.toml", nil, rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Config{Rules: set, Source: source.NewRecording(strings.NewReader(""), "none")})
	if err != nil {
		t.Fatal(err)
	}
	served := map[string][]string{"triggerd_build_info": {"version", "goversion"}}
	descs := make(chan *prometheus.Desc)
	go func() {
		e.Collector().Describe(descs)
		close(descs)
	}()
	for d := range descs {
		m := descName.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		labels := strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' || r == ' ' })
		served[m[1]] = labels
		for _, suffix := range []string{"_bucket", "_sum", "_count"} { // of histograms
			served[m[1]+suffix] = append(slices.Clone(labels), "le")
		}
	}
	w := httptest.NewRecorder()
	metricsHandler(newRegistry(e.Collector(), (&logQueue{}).collector())).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if name, _, ok := strings.Cut(line, " "); ok && !strings.HasPrefix(name, "#") {
			name, _, _ = strings.Cut(name, "{")
			if _, known := served[name]; !known {
				served[name] = nil
			}
		}
	}
	return served
}

// checkExpr reports metrics and labels that are not served.
func checkExpr(t *testing.T, where, expr string, served map[string][]string) {
	t.Helper()
	for _, name := range exprMetric.FindAllString(expr, -1) {
		if _, ok := served[name]; !ok {
			t.Errorf("%s: no metric %s is served", where, name)
		}
	}
	for _, m := range exprLabels.FindAllStringSubmatch(expr, -1) {
		for _, l := range labelName.FindAllStringSubmatch(m[2], -1) {
			if name := l[1]; name != "job" && name != "instance" && !slices.Contains(served[m[1]], name) {
				t.Errorf("%s: %s has no label %s", where, m[1], name)
			}
		}
	}
}

const packaging = "../../packaging"

// Every alert is about metrics that are served, and has a severity, a summary,
// and a section of the runbook; and every section is of an alert.
func TestAlerts(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join(packaging, "prometheus", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	served := servedMetrics(t)
	var names []string
	_, list, _ := strings.Cut(string(b), "- alert: ")
	for _, alert := range strings.Split(list, "- alert: ") {
		name, text, _ := strings.Cut(alert, "\n")
		names = append(names, name)
		expr := regexp.MustCompile(`(?m)^ +expr: '(.*)'$`).FindStringSubmatch(text)
		if expr == nil {
			t.Fatalf("%s has no expr in single quotes", name)
		}
		checkExpr(t, name, expr[1], served)
		if !regexp.MustCompile(`(?m)^ +severity: (critical|warning|info)$`).MatchString(text) {
			t.Errorf("%s has no severity", name)
		}
		if !regexp.MustCompile(`(?m)^ +summary: '.+'$`).MatchString(text) {
			t.Errorf("%s has no summary", name)
		}
		if !strings.Contains(text, "runbook_url: docs/runbook.md#"+strings.ToLower(name)+"\n") {
			t.Errorf("%s has no link to its section of the runbook", name)
		}
	}
	var sections []string
	for _, m := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(runbook), -1) {
		sections = append(sections, m[1])
	}
	if !slices.Equal(names, sections) {
		t.Errorf("alerts are\n%v\nsections of the runbook are\n%v", names, sections)
	}
	for _, part := range []string{"**Means.**", "**Look at.**", "**Do.**"} {
		if n := strings.Count(string(runbook), part); n != len(names) {
			t.Errorf("%d sections have %s, of %d", n, part, len(names))
		}
	}
}

// Every panel of the dashboard asks for metrics that are served.
func TestDashboard(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join(packaging, "grafana", "triggerd.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &dashboard); err != nil {
		t.Fatal(err)
	}
	served, ids := servedMetrics(t), map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("two panels are number %d", p.ID)
		}
		ids[p.ID] = true
		if (len(p.Targets) == 0) != (p.Type == "row") {
			t.Errorf("%s asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			checkExpr(t, p.Title, target.Expr, served)
		}
	}
	if len(ids) < 20 {
		t.Errorf("only %d panels", len(ids))
	}
	checkExpr(t, "variables and annotations", string(regexp.MustCompile(`\\"`).ReplaceAll(b, []byte(`"`))), served)
}
