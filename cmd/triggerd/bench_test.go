package main

import (
	"fmt"
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

// BenchmarkExpiryOnTime is how long after their deadline 1,000 keys are told of
// that expire at about the same time, among 100,000 others that live longer,
// which is what keeps a server from finding them.
func BenchmarkExpiryOnTime(b *testing.B) {
	for _, name := range judged {
		b.Run(name, func(b *testing.B) {
			srv := redistest.Start(b, name)
			hook, dir := newSink(b), b.TempDir()
			write(b, dir, "rules.toml", fmt.Sprintf("[source]\nurl = \"redis://%s\"\n[[rule]]\nname = \"over\"\nkey = \"s:*\"\nevent = \"expired\"\non_time = true\n[[rule.action]]\ntype = \"webhook\"\nurl = \"%s/in\"\n", srv.Addr, hook.URL))
			p := start(b, dir)
			p.logs.await(b, `msg="attached`, 1)
			c := redistest.Dial(b, srv)
			set := func(key string, at time.Time) {
				c.Send("SET", key, "v")
				c.Send("PEXPIREAT", key, strconv.FormatInt(at.UnixMilli(), 10))
			}
			answers := func(n int) {
				if err := c.Flush(); err != nil {
					b.Fatal(err)
				}
				for range n {
					if _, err := c.Receive(); err != nil {
						b.Fatal(err)
					}
				}
			}
			for i := range 100_000 {
				set(fmt.Sprintf("other:%d", i), time.Now().Add(time.Hour))
				if i%1000 == 999 {
					answers(2000)
				}
			}
			var late []time.Duration
			for round := 0; b.Loop(); round++ {
				deadline := time.Now().Add(2 * time.Second)
				for i := range 1000 {
					set(fmt.Sprintf("s:%d", i), deadline.Add(time.Duration(i)*time.Millisecond/10))
				}
				answers(2000)
				ds := hook.await(b, "the expiries", func(ds []delivery) bool { return len(ds) >= 1000*(round+1) })
				for _, d := range ds[1000*round:] {
					late = append(late, d.arrived.Sub(d.Time))
				}
			}
			slices.Sort(late)
			b.ReportMetric(float64(late[len(late)/2].Milliseconds()), "late-p50-ms")
			b.ReportMetric(float64(late[len(late)-1].Milliseconds()), "late-max-ms")
			p.stop()
		})
	}
}
