package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// Beside what the engine collects, the metrics tell of the process and of the
// build, in a form that promlint takes.
func TestMetricsHandler(t *testing.T) {
	t.Parallel()
	own := prometheus.NewGauge(prometheus.GaugeOpts{Name: "triggerd_own", Help: "Of the engine."})
	w := httptest.NewRecorder()
	metricsHandler(newRegistry(own)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body := w.Body.String()
	for _, want := range []string{"triggerd_own 0\n", `triggerd_build_info{goversion="go`, "process_start_time_seconds", "go_goroutines"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "triggerd_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}
