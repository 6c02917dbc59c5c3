package kinds_test

import (
	"testing"

	"triggerd/actions"
	"triggerd/actions/kinds"
)

// BenchmarkNew is what a reload pays per rule, and does ten thousand times.
func BenchmarkNew(b *testing.B) {
	for _, bench := range []struct {
		name, kind string
		fields     table
	}{
		{"log", "log", nil},
		{"log, text", "log", table{"message": "sold out"}},
		{"log, template", "log", table{"message": "{{.params.sku}} is sold out", "level": "warn"}},
		{"print", "print", nil},
		{"exec", "exec", table{"command": list("/bin/true", "x")}},
		{"exec, template", "exec", table{"command": list("/bin/true", "{{.params.sku}}")}},
		{"webhook", "webhook", table{"url": "https://crm.example.com/hooks/cart", "sign": "secret"}},
		{"webhook, template", "webhook", table{"url": "https://crm.example.com/hooks/{{.params.sku}}", "body": `{"key":{{json .key}}}`}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := kinds.All.New(bench.kind, bench.fields, actions.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
