package timing_test

import (
	"fmt"
	"time"

	"triggerd/internal/timing"
)

// saved is the Data of a match: what is kept of it while it waits.
type saved string

func (d saved) Append(dst []byte) []byte     { return append(dst, d...) }
func (d saved) AppendSlim(dst []byte) []byte { return append(dst, d...) }

// Changes that come in droves are one firing when they are over. The process
// that waits may be another than the one that saw them.
func ExampleMachine() {
	began := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	rule := &timing.Rule{Name: "config", MaxKeys: 100, Debounce: timing.Debounce{Wait: 2 * time.Second}}

	m, kept := timing.New(), map[string]string{}
	m.SetRules([]*timing.Rule{rule}, began)
	for i, change := range []string{"SET config:nginx a", "SET config:nginx b"} {
		at := began.Add(time.Duration(i) * time.Second)
		fired := m.Arrive(nil, &timing.Arrival{State: m.State("config"), At: at, Data: saved(change)})
		fmt.Println(len(fired), "fire with", change)
	}
	m.Changes(func(key, value []byte) { kept[string(key)] = string(value) }, func(key []byte) { delete(kept, string(key)) })

	m = timing.New() // after a crash
	m.SetRules([]*timing.Rule{rule}, began.Add(time.Minute))
	for key, value := range kept {
		if err := m.Restore([]byte(key), []byte(value)); err != nil {
			fmt.Println(err)
			return
		}
	}
	now := began.Add(time.Minute)
	for _, f := range m.Advance(nil, now, now) {
		fmt.Printf("%s fires for %d matches, the last of them %s, due at %s\n", f.Rule.Name, f.Count, f.Items[0].Data, f.At.Format(time.TimeOnly))
	}
	// Output:
	// 0 fire with SET config:nginx a
	// 0 fire with SET config:nginx b
	// config fires for 2 matches, the last of them SET config:nginx b, due at 09:00:03
}

// A dead man's switch: each match is a sign of life.
func ExampleRule_absent() {
	began := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	rule := &timing.Rule{Name: "worker", MaxKeys: 100, Absent: timing.Absent{For: 90 * time.Second, Resolved: true}}
	m := timing.New()
	m.SetRules([]*timing.Rule{rule}, began)
	tell := func(firings []timing.Release) {
		for _, f := range firings {
			fmt.Println(f.At.Format(time.TimeOnly), f.By, map[timing.Kind]string{timing.Missing: "is missing", timing.Resolved: "is back"}[f.Kind])
		}
	}
	for _, beat := range []struct {
		worker string
		at     time.Duration
	}{{"api-1", 0}, {"api-2", 0}, {"api-1", time.Minute}, {"api-2", 2 * time.Minute}} {
		at := began.Add(beat.at)
		tell(m.Advance(nil, at, at))
		tell(m.Arrive(nil, &timing.Arrival{State: m.State("worker"), At: at, Keys: timing.Keys{Gather: beat.worker}, Data: saved("beat")}))
	}
	// Output:
	// 09:01:30 api-2 is missing
	// 09:02:00 api-2 is back
}
