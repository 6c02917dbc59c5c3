package main

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"triggerd/internal/redistest"
)

// BenchmarkWriteToWebhook is the time from a write, as its client sees it begin,
// to the arrival of the webhook, with everything real and on one machine.
// The floor is what the write alone takes.
func BenchmarkWriteToWebhook(b *testing.B) {
	for _, name := range judged {
		b.Run(name, func(b *testing.B) {
			srv := redistest.Start(b, name)
			hook, dir := newSink(b), b.TempDir()
			write(b, dir, "rules.toml", laneRules(srv.Addr, hook.URL))
			p := start(b, dir)
			p.logs.await(b, `msg="attached`, 1)
			c := redistest.Dial(b, srv)
			var took, floor []time.Duration
			for n := 0; b.Loop(); n++ {
				began := time.Now()
				if _, err := c.Do("SET", "lane:1", strconv.Itoa(n)); err != nil {
					b.Fatal(err)
				}
				floor = append(floor, time.Since(began))
				hook.await(b, "the webhook", func(ds []delivery) bool { return len(ds) > n })
				took = append(took, time.Since(began))
			}
			report := func(what string, ds []time.Duration) {
				slices.Sort(ds)
				b.ReportMetric(float64(ds[len(ds)/2].Microseconds()), what+"-p50-µs")
				b.ReportMetric(float64(ds[len(ds)*99/100].Microseconds()), what+"-p99-µs")
				b.ReportMetric(float64(ds[len(ds)-1].Microseconds()), what+"-max-µs")
			}
			report("webhook", took)
			report("write", floor)
			p.stop()
		})
	}
}
