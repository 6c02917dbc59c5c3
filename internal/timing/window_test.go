package timing_test

import (
	"math/rand/v2"
	"testing"
	"time"
	_ "time/tzdata" // not every machine has the time zones

	"triggerd/internal/timing"
)

// naiveContains is a window's meaning, minute by minute: it looks for a day on
// which a span of the window began that has the moment.
func naiveContains(w *timing.Window, t time.Time) bool {
	if w.Location != nil {
		t = t.In(w.Location)
	} else {
		t = t.UTC()
	}
	minute := t.Hour()*60 + t.Minute()
	times := w.Times
	if len(times) == 0 {
		times = []timing.ClockRange{{From: 0, To: 1440}}
	}
	for back := range 2 {
		day := time.Date(t.Year(), t.Month(), t.Day()-back, 12, 0, 0, 0, time.UTC)
		if !naiveDay(w, day) {
			continue
		}
		for _, r := range times {
			from, to := r.From, r.To
			if to <= from {
				to += 1440
			}
			if m := minute + back*1440; from <= m && m < to {
				return true
			}
		}
	}
	return false
}

func naiveDay(w *timing.Window, day time.Time) bool {
	in := func(ranges []timing.DayRange, n, size int) bool {
		for _, r := range ranges {
			for d := r.From; ; d++ {
				if d%size == n%size {
					return true
				}
				if d%size == r.To%size {
					break
				}
			}
		}
		return len(ranges) == 0
	}
	inMonth := len(w.Days) == 0
	length := day.AddDate(0, 1, -day.Day()).Day()
	for _, r := range w.Days {
		from, to := r.From, r.To
		if from < 0 {
			from += length + 1
		}
		if to < 0 {
			to += length + 1
		}
		for d := max(from, 1); d <= to && d <= length; d++ {
			inMonth = inMonth || d == day.Day()
		}
	}
	return inMonth && in(w.Weekdays, int(day.Weekday()), 7) && in(w.Months, int(day.Month()), 12)
}

func naiveAllows(r *timing.Rule, t time.Time) bool {
	for _, w := range r.Mute {
		if naiveContains(w, t) {
			return false
		}
	}
	for _, w := range r.Active {
		if naiveContains(w, t) {
			return true
		}
	}
	return len(r.Active) == 0
}

// naiveOpens walks minute by minute, for up to ten days.
func naiveOpens(r *timing.Rule, t time.Time) (time.Time, bool) {
	if len(r.Active)+len(r.Mute) == 0 || naiveAllows(r, t) {
		return t, true
	}
	for m, end := t.Truncate(time.Minute), t.Add(10*24*time.Hour); m.Before(end); {
		m = m.Add(time.Minute)
		if naiveAllows(r, m) {
			return m, true
		}
	}
	return time.Time{}, false
}

// zones are places where clocks are set, by an hour and by half of one, and one
// that is half an hour off.
var zones = []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"}

// changes are moments at which clocks are set, and a leap day.
var changes = []time.Time{
	time.Date(2024, 3, 31, 1, 0, 0, 0, time.UTC),
	time.Date(2024, 10, 27, 1, 0, 0, 0, time.UTC),
	time.Date(2024, 3, 10, 7, 0, 0, 0, time.UTC),
	time.Date(2024, 11, 3, 6, 0, 0, 0, time.UTC),
	time.Date(2024, 4, 6, 15, 0, 0, 0, time.UTC),
	time.Date(2024, 10, 5, 15, 30, 0, 0, time.UTC),
	time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC),
	time.Date(2023, 12, 31, 12, 0, 0, 0, time.UTC),
}

func randomWindow(r *rand.Rand, zone *time.Location) *timing.Window {
	w := &timing.Window{Location: zone}
	for range r.IntN(3) {
		w.Times = append(w.Times, timing.ClockRange{From: r.IntN(48) * 30, To: r.IntN(49) * 30})
	}
	for range r.IntN(3) {
		w.Weekdays = append(w.Weekdays, timing.DayRange{From: r.IntN(7), To: r.IntN(7)})
	}
	if r.IntN(4) == 0 {
		w.Days = append(w.Days, timing.DayRange{From: 1 + r.IntN(31), To: 1 + r.IntN(31)}, timing.DayRange{From: -1 - r.IntN(31), To: -1})
	}
	if r.IntN(4) == 0 {
		w.Months = append(w.Months, timing.DayRange{From: 1 + r.IntN(12), To: 1 + r.IntN(12)})
	}
	return w
}

// Windows are what walking along the minutes tells, where clocks are set too.
func TestWindows(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 40 {
		zone, err := time.LoadLocation(zones[r.IntN(len(zones))])
		if err != nil {
			t.Fatal(err)
		}
		rule := &timing.Rule{}
		for range r.IntN(3) {
			rule.Active = append(rule.Active, randomWindow(r, zone))
		}
		for range r.IntN(2) {
			rule.Mute = append(rule.Mute, randomWindow(r, zone))
		}
		from := changes[r.IntN(len(changes))].Add(-30 * time.Hour)
		for m := range 60 * 60 { // 60 hours
			at := from.Add(time.Duration(m) * time.Minute)
			for i, w := range rule.Active {
				if got, want := w.Contains(at), naiveContains(w, at); got != want {
					t.Fatalf("window %d %+v at %v: %v, want %v", i, *w, at.In(zone), got, want)
				}
			}
		}
		for range 5 {
			at := from.Add(time.Duration(r.Int64N(int64(60 * time.Hour))))
			want, found := naiveOpens(rule, at)
			got, ok := rule.Opens(at)
			if found && (!ok || !got.Equal(want)) {
				t.Fatalf("rule %+v opens after %v at %v, want %v", rule, at.In(zone), got, want.In(zone))
			}
			if !found && ok && got.Before(at.Add(10*24*time.Hour)) {
				t.Fatalf("rule %+v opens after %v at %v, want later", rule, at.In(zone), got)
			}
		}
	}
}

func TestWindowExamples(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	office := &timing.Window{Weekdays: []timing.DayRange{{From: 1, To: 5}}, Times: []timing.ClockRange{{From: 8 * 60, To: 18 * 60}}, Location: berlin}
	night := &timing.Window{Weekdays: []timing.DayRange{{From: 5, To: 5}}, Times: []timing.ClockRange{{From: 22 * 60, To: 6 * 60}}, Location: berlin}
	gap := &timing.Window{Times: []timing.ClockRange{{From: 2*60 + 15, To: 2*60 + 45}}, Location: berlin}
	last := &timing.Window{Days: []timing.DayRange{{From: -1, To: -1}}, Location: berlin}
	leap := &timing.Window{Months: []timing.DayRange{{From: 2, To: 2}}, Days: []timing.DayRange{{From: 29, To: 29}}, Weekdays: []timing.DayRange{{From: 0, To: 0}}}
	for _, tt := range []struct {
		name, at, opens string
		w               *timing.Window
	}{
		{"on the morning after the weekend", "2024-01-05T18:00:00+01:00", "2024-01-08T08:00:00+01:00", office},
		{"inside, at once", "2024-01-05T17:59:59+01:00", "2024-01-05T17:59:59+01:00", office},
		{"a night belongs to the day on which it began", "2024-01-06T05:59:00+01:00", "2024-01-06T05:59:00+01:00", night},
		{"the night after does not", "2024-01-06T22:00:00+01:00", "2024-01-12T22:00:00+01:00", night},
		{"what the clock skips does not come on that day", "2024-03-31T01:59:00+01:00", "2024-04-01T02:15:00+02:00", gap},
		{"what it shows twice comes twice", "2024-10-27T02:50:00+02:00", "2024-10-27T02:15:00+01:00", gap},
		{"the last day of the month", "2024-02-01T00:00:00+01:00", "2024-02-29T00:00:00+01:00", last},
		{"a leap day on a Sunday", "2024-03-01T00:00:00Z", "2032-02-29T00:00:00Z", leap},
	} {
		at, _ := time.Parse(time.RFC3339, tt.at)
		got, ok := (&timing.Rule{Active: []*timing.Window{tt.w}}).Opens(at)
		if want, _ := time.Parse(time.RFC3339, tt.opens); !ok || !got.Equal(want) {
			t.Errorf("%s: opens %v, %v, want %v", tt.name, got, ok, want)
		}
	}
	if at, ok := (&timing.Rule{Active: []*timing.Window{{Months: []timing.DayRange{{From: 2, To: 2}}, Days: []timing.DayRange{{From: 30, To: 31}}}}}).Opens(epoch); ok {
		t.Errorf("the 30th of February is %v", at)
	}
}
