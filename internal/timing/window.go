package timing

import "time"

// Window is a recurring span of time, like a time interval of Alertmanager. A
// moment is inside if every field that is set contains it. The zero value
// contains every moment.
//
// Times are the local time of Location. Where clocks are set forward a time may
// not come, and where they are set back it comes twice.
type Window struct {
	Name     string
	Weekdays []DayRange     // 0 is Sunday
	Times    []ClockRange   // of the day, across midnight too
	Days     []DayRange     // of the month; -1 is its last
	Months   []DayRange     // 1 is January
	Location *time.Location // nil: UTC
}

// DayRange is the days from From to To, both included. Weekdays and months may
// wrap around: fri:mon. In a month that is too short for To, its last day
// stands for To; in one that is too short for From, the range is empty.
type DayRange struct{ From, To int }

// ClockRange is the time from From until before To, in minutes after midnight,
// up to 1440. If To is not after From it reaches into the next day. Weekday,
// day and month are then those of the day on which it began.
type ClockRange struct{ From, To int }

// Contains reports whether a moment is inside the window.
func (w *Window) Contains(t time.Time) bool {
	t, _ = w.local(t)
	if w.hasDay(t, 0) && (len(w.Times) == 0 || anyTime(w.Times, minuteOf(t), ClockRange.hasToday)) {
		return true
	}
	return w.reachesPastMidnight() && w.hasDay(t, -1) && anyTime(w.Times, minuteOf(t), ClockRange.hasFromYesterday)
}

// local returns the local time at t, as if it was one in UTC, and when local
// clocks are set next; zero: they never are.
func (w *Window) local(t time.Time) (shown, set time.Time) {
	if w.Location == nil || w.Location == time.UTC {
		return t.UTC(), time.Time{}
	}
	t = t.In(w.Location)
	_, offset := t.Zone()
	_, set = t.ZoneBounds()
	return t.UTC().Add(time.Duration(offset) * time.Second), set
}

// hasDay reports whether the window has the day that is so many days after t's.
func (w *Window) hasDay(t time.Time, days int) bool {
	y, m, d := t.Date()
	day := time.Date(y, m, d+days, 0, 0, 0, 0, time.UTC)
	y, m, d = day.Date()
	last := time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return inRanges(w.Weekdays, int(day.Weekday())) && inRanges(w.Months, int(m)) && inMonth(w.Days, d, last)
}

func inRanges(ranges []DayRange, day int) bool {
	for _, r := range ranges {
		if r.From <= r.To && r.From <= day && day <= r.To || r.From > r.To && (day >= r.From || day <= r.To) {
			return true
		}
	}
	return len(ranges) == 0
}

func inMonth(ranges []DayRange, day, last int) bool {
	for _, r := range ranges {
		from, to := r.From, r.To
		if from < 0 {
			from = max(last+1+from, 1)
		}
		if to < 0 {
			to += last + 1
		}
		if from <= day && day <= to {
			return true
		}
	}
	return len(ranges) == 0
}

func minuteOf(t time.Time) int { return t.Hour()*60 + t.Minute() }

func anyTime(times []ClockRange, minute int, has func(ClockRange, int) bool) bool {
	for _, r := range times {
		if has(r, minute) {
			return true
		}
	}
	return false
}

func (r ClockRange) reachesPastMidnight() bool { return r.To <= r.From }

func (r ClockRange) hasToday(minute int) bool {
	return r.From <= minute && (minute < r.To || r.reachesPastMidnight())
}

func (r ClockRange) hasFromYesterday(minute int) bool {
	return r.reachesPastMidnight() && minute < r.To
}

func (w *Window) reachesPastMidnight() bool {
	for _, r := range w.Times {
		if r.reachesPastMidnight() {
			return true
		}
	}
	return false
}

// next returns a moment after t before which the window neither opens nor
// closes.
func (w *Window) next(t time.Time) time.Time {
	shown, set := w.local(t)
	midnight := time.Date(shown.Year(), shown.Month(), shown.Day(), 0, 0, 0, 0, time.UTC)
	passed := shown.Sub(midnight)
	left := 24*time.Hour - passed
	if w.hasDay(shown, 0) || w.reachesPastMidnight() && w.hasDay(shown, -1) {
		for _, r := range w.Times {
			for _, minute := range [...]int{r.From, r.To} {
				if d := time.Duration(minute)*time.Minute - passed; d > 0 {
					left = min(left, d)
				}
			}
		}
	}
	next := t.Add(left)
	// In a leap year from 2038 on the time package has the last day of December
	// begin after the end of its zone.
	if set.After(t) && set.Before(next) {
		return set
	}
	return next
}

// horizon is how far ahead an opening is looked for. The 29th of February is a
// Sunday every 28 years, or 40 if a century without a leap day lies between.
const horizon = 41 * 366 * 24 * time.Hour

// Allows reports whether releases are allowed at a moment: inside one of
// Active, if there are any, and outside all of Mute.
func (r *Rule) Allows(t time.Time) bool {
	for _, w := range r.Mute {
		if w.Contains(t) {
			return false
		}
	}
	for _, w := range r.Active {
		if w.Contains(t) {
			return true
		}
	}
	return len(r.Active) == 0
}

// Opens returns the first moment from t on at which releases are allowed. It
// returns false if there is none within 41 years.
func (r *Rule) Opens(t time.Time) (time.Time, bool) {
	for end := t.Add(horizon); !t.After(end); {
		if r.Allows(t) {
			return t, true
		}
		var next time.Time
		for _, windows := range [...][]*Window{r.Active, r.Mute} {
			for _, w := range windows {
				if n := w.next(t); next.IsZero() || n.Before(next) {
					next = n
				}
			}
		}
		t = next
	}
	return time.Time{}, false
}
