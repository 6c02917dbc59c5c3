package kinds_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/kinds"
)

// benchmark delivers from as many goroutines as there are processors.
func benchmark(b *testing.B, kind string, fields table, o actions.Options) {
	a, err := kinds.All.New(kind, fields, o)
	if err != nil {
		b.Fatal(err)
	}
	if c, ok := a.(io.Closer); ok {
		defer c.Close()
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		f := actionstest.Firing()
		for pb.Next() {
			if _, err := a.Do(context.Background(), f); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkWebhook(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer s.Close()
	benchmark(b, "webhook", table{"url": s.URL, "sign": "secret"}, actions.Options{})
}

func BenchmarkExec(b *testing.B) {
	benchmark(b, "exec", table{"command": list("/bin/true", "{{.key}}")}, actions.Options{})
}

func BenchmarkLog(b *testing.B) {
	benchmark(b, "log", nil, actions.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
}

func BenchmarkPrint(b *testing.B) {
	benchmark(b, "print", nil, actions.Options{Stdout: io.Discard})
}
