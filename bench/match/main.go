// Command match measures how rules are matched against how many there are,
// and beside the simple ways of doing it. Every figure is the least of several
// runs over 65,536 different keys, in CPU time of one core, so that what else
// the machine does changes little but the caches; ratios are of one process.
//
//	go run .          # everything, about two minutes
//	go run . -quick   # up to 10,000 rules
//	go test triggerd/internal/condition -run '^$' -bench Condition -benchmem   # closures beside expr's machine
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"triggerd/internal/event"
	"triggerd/rules"
)

var (
	quick = flag.Bool("quick", false, "up to 10,000 rules")
	runs  = flag.Int("runs", 7, "runs of which the least counts")
)

// bar is one line of what is asked.
type bar struct {
	name      string
	got, want float64
	atLeast   bool
	unit      string
}

var bars []bar

func atMost(name string, got, want float64, unit string) {
	bars = append(bars, bar{name, got, want, false, unit})
}

func atLeast(name string, got, want float64, unit string) {
	bars = append(bars, bar{name, got, want, true, unit})
}

func main() {
	flag.Parse()
	runtime.GOMAXPROCS(1)
	sizes := []int{10, 100, 1_000, 10_000, 100_000}
	if *quick {
		sizes = sizes[:4]
	}
	family, diverse := familyEvents(), diverseEvents()
	keysOnly(sizes, family, diverse)
	full(sizes, diverse)
	hits(sizes, family, diverse)
	hostile(diverse)
	build(sizes)
	report()
}

// table prints rows as they come.
var table = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)

func row(cells ...any) {
	for _, c := range cells {
		switch c := c.(type) {
		case float64:
			fmt.Fprintf(table, "%.1f\t", c)
		default:
			fmt.Fprintf(table, "%v\t", c)
		}
	}
	fmt.Fprintln(table)
}

func head(title string, cells ...any) {
	table.Flush()
	fmt.Println("\n" + title)
	row(cells...)
}

// keysOnly measures rules that only say keys.
func keysOnly(sizes []int, family, diverse []event.Event) {
	head("Keys only, ns an event", "rules", "one family", "diverse", "loop of stringmatchlen", "loop of gobwas/glob", "loop of regexp")
	ns := map[string]map[int]float64{"family": {}, "diverse": {}}
	for _, n := range sizes {
		patterns := mixedPatterns(n)
		ns["family"][n] = perEvent(match(keyRules(append(patterns, "user:*:profile"))), family)
		ns["diverse"][n] = perEvent(match(keyRules(append(patterns, hotPatterns...))), diverse)
		loop, gobwas, regex := any("-"), any("-"), any("-")
		if n <= 10_000 {
			naive := perEvent(loopOf(patterns), few(family, n))
			loop, gobwas, regex = naive, perEvent(gobwasLoop(patterns), few(family, n)), perEvent(regexpLoop(patterns), few(family, 4*n))
			if n == 10_000 {
				atLeast("stringmatchlen loop / index at 10,000 rules", naive/ns["family"][n], 3000, "x")
			}
		}
		row(n, ns["family"][n], ns["diverse"][n], loop, gobwas, regex)
	}
	atMost("keys, one family, 10,000 rules / 10", ns["family"][10_000]/ns["family"][10], 1.5, "x")
	atMost("keys, diverse, 10,000 rules / 10", ns["diverse"][10_000]/ns["diverse"][10], 2, "x")
	if !*quick {
		atMost("keys, one family, 100,000 rules / 10", ns["family"][100_000]/ns["family"][10], 2.5, "x")
		atMost("keys, diverse, 100,000 rules / 10", ns["diverse"][100_000]/ns["diverse"][10], 2.5, "x")
	}
}

// full measures rules of key, command and condition.
func full(sizes []int, diverse []event.Event) {
	head("Key, command and condition, ns an event", "rules", "fields", "conditions only", "one bucket", "loop of expr machines")
	fields, conds := map[int]float64{}, map[int]float64{}
	for _, n := range sizes {
		fields[n] = perEvent(match(fieldRules(n)), diverse)
		set := conditionRules(n)
		conds[n] = perEvent(match(set), diverse)
		machines := any("-")
		if n <= 10_000 {
			naive := perEvent(machineLoop(n), few(diverse, 60*n))
			machines = naive
			if n == 10_000 {
				atLeast("loop of expr machines / index at 10,000 condition-only rules", naive/conds[n], 50_000, "x")
				atMost("allocations an event that nothing matches", allocations(set, diverse), 0, "")
			}
		}
		row(n, fields[n], conds[n], perEvent(match(tenantRules(n)), diverse), machines)
	}
	atMost("fields, 10,000 rules / 10", fields[10_000]/fields[10], 2.5, "x")
	atMost("conditions only, 10,000 rules / 10", conds[10_000]/conds[10], 2.5, "x")
	atLeast("matching only, 10,000 rules, conditions only", 1e3/conds[10_000], 8, "M events/s")
}

// hits measures events that five rules with conditions match, and how a new
// set begins.
func hits(sizes []int, family, diverse []event.Event) {
	head("Five matches an event, and the first events of a new set, ns an event", "rules", "five matches", "first 1,000, diverse", "steady, diverse")
	five, first, steady := map[int]float64{}, 0.0, 0.0
	for _, n := range sizes[:4] {
		five[n] = perEvent(match(hitRules(n)), family)
		first = 1e18
		for range 3 {
			m := match(fieldRules(n))
			start := processCPU()
			for i := range 1000 {
				m(&diverse[i])
			}
			first = min(first, float64((processCPU()-start).Nanoseconds())/1000)
			steady = perEvent(m, diverse)
		}
		row(n, five[n], first, steady)
	}
	atMost("five matches, 10,000 rules / 10", five[10_000]/five[10], 1.25, "x")
	atMost("first 1,000 events of a new set / steady, 10,000 rules", first/steady, 10, "x")
	atMost("allocations an event that five rules match", allocationsOf(match(hitRules(10_000)), family), 0, "")
}

// hostile measures keys made to cost as much as they can.
func hostile(diverse []event.Event) {
	head("Hostile keys, ns a byte, 10,000 rules", "rules", "diverse keys", "keys of rule fragments", "many-star rules")
	set := keyRules(mixedPatterns(10_000))
	glued, stars := gluedEvents(), starEvents()
	benign := perEvent(match(set), diverse) / meanLength(diverse)
	bad := perEvent(match(set), glued) / meanLength(glued)
	worst := perEvent(match(keyRules(starPatterns(10_000))), stars) / meanLength(stars)
	row(10_000, benign, bad, worst)
	atMost("hostile keys / diverse keys, a byte", bad/benign, 2, "x")
}

// build measures how long a set takes to make, and what it keeps.
func build(sizes []int) {
	head("Making a set of condition rules", "rules", "from TOML, s", "of which CPU, s", "kept, B a rule")
	for _, n := range sizes[3:] {
		text := conditionText(n)
		least, leastCPU, kept := 1e9, 1e9, 0.0
		for range 3 {
			before := heap()
			start, cpu := time.Now(), processCPU()
			set, err := rules.Parse("bench.toml", text, rules.Options{})
			least, leastCPU = min(least, time.Since(start).Seconds()), min(leastCPU, (processCPU()-cpu).Seconds())
			if err != nil {
				panic(err)
			}
			kept = float64(heap()-before) / float64(n)
			runtime.KeepAlive(set)
		}
		row(n, fmt.Sprintf("%.3f", least), fmt.Sprintf("%.3f", leastCPU), kept)
		limit := 0.25 * float64(n) / 10_000
		atMost(fmt.Sprintf("CPU to make %d condition rules", n), leastCPU, limit, "s")
		atMost(fmt.Sprintf("memory of %d condition rules", n), kept, 1200, "B a rule")
	}
}

func report() {
	table.Flush()
	fmt.Println("\nWhat is asked")
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	missed := false
	for _, b := range bars {
		ok, sign := b.got <= b.want, "at most"
		if b.atLeast {
			ok, sign = b.got >= b.want, "at least"
		}
		verdict := "ok"
		if !ok {
			verdict, missed = "MISSED", true
		}
		fmt.Fprintf(out, "%s\t%.4g %s\t%s %.4g\t%s\n", b.name, b.got, b.unit, sign, b.want, verdict)
	}
	out.Flush()
	if missed {
		os.Exit(1)
	}
}

// matcher handles one event and returns how many rules match.
type matcher func(*event.Event) int

func match(set *rules.Set) matcher {
	m := set.Matcher()
	var dst []rules.Match
	return func(ev *event.Event) int {
		dst = m.Match(dst[:0], ev)
		return len(dst)
	}
}

// perEvent returns the least nanoseconds an event of several runs.
func perEvent(m matcher, events []event.Event) float64 {
	runtime.GC()
	least, matched := 1e18, 0
	defer func() { runtime.KeepAlive(matched) }()
	for range *runs {
		start := processCPU()
		for i := range events {
			matched += m(&events[i])
		}
		least = min(least, float64((processCPU()-start).Nanoseconds())/float64(len(events)))
	}
	return least
}

// few returns so many events that a loop over all rules takes a moment only.
func few(events []event.Event, rules int) []event.Event {
	return events[:max(16, min(len(events), 2_000_000/max(rules, 1)))]
}

func allocations(set *rules.Set, events []event.Event) float64 {
	m := match(set)
	var quiet []event.Event
	for i := range events {
		if m(&events[i]) == 0 {
			quiet = append(quiet, events[i])
		}
	}
	return allocationsOf(m, quiet)
}

// allocationsOf returns the allocations an event, once its states are made.
func allocationsOf(m matcher, events []event.Event) float64 {
	for i := range events {
		m(&events[i])
	}
	i := 0
	return testing.AllocsPerRun(len(events)-1, func() {
		m(&events[i%len(events)])
		i++
	})
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
