package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/timing"
)

// window decodes one [windows.NAME].
func (c *compilation) window(name string, v view) {
	t, ok := v.table()
	if !ok {
		return
	}
	w := &timing.Window{Name: name, Location: time.Local}
	c.windows[name] = w
	t.list("weekdays", func(v view) { v.dayRange(&w.Weekdays, weekdays) })
	t.list("times", func(v view) { v.clockRange(&w.Times) })
	t.list("days_of_month", func(v view) { v.dayRange(&w.Days, daysOfMonth) })
	t.list("months", func(v view) { v.dayRange(&w.Months, months) })
	read(t, "timezone", &w.Location, view.location)
	t.done()
	if w.Weekdays == nil && w.Times == nil && w.Days == nil && w.Months == nil {
		t.atKey = true
		t.errorf(`weekdays = ["mon:fri"], times = ["08:00-18:00"]`, "the window says no time")
		return
	}
	if !hasDay(w) {
		t.kid("days_of_month", t.m["days_of_month"]).errorf("", "no month of the window has such a day: it is never open")
	}
}

// location decodes the name of a time zone.
func (v view) location() (*time.Location, bool) {
	name, ok := v.str()
	if !ok {
		return nil, false
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" {
		v.errorf(`names are like "Europe/Berlin"`, "unknown time zone %s", v.shown(name))
		return nil, false
	}
	return loc, true
}

// calendar says what a range of days or months may consist of.
type calendar struct {
	what, example string
	parse         func(string) (int, bool)
	ok            func(timing.DayRange) bool // nil: ranges may wrap around
}

var (
	weekdays = &calendar{"a weekday", `"mon:fri", "sun"`, func(s string) (int, bool) { return nameIndex(weekdayNames, s) }, nil}
	months   = &calendar{"a month", `"jan:mar", "12"`, func(s string) (int, bool) {
		if n, err := strconv.Atoi(s); err == nil {
			return n, n >= 1 && n <= 12
		}
		i, ok := nameIndex(monthNames, s)
		return i + 1, ok
	}, nil}
	daysOfMonth = &calendar{"a day of the month", `"1:5", or "-1" for the last`, func(s string) (int, bool) {
		n, err := strconv.Atoi(s)
		return n, err == nil && n != 0 && n >= -31 && n <= 31
	}, func(r timing.DayRange) bool {
		return r.From <= r.To || r.From > 0 && r.To < 0
	}}
)

var (
	weekdayNames = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
	monthNames   = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}
)

// nameIndex finds a name, whole or its first three letters, in any case.
func nameIndex(names []string, s string) (int, bool) {
	s = strings.ToLower(s)
	i := slices.IndexFunc(names, func(name string) bool { return s == name || s == name[:3] })
	return i, i >= 0
}

// dayRange decodes one day or month, or two with a colon between them.
func (v view) dayRange(to *[]timing.DayRange, of *calendar) {
	var text string
	if n, isInt := v.v.(int64); isInt {
		text = strconv.FormatInt(n, 10)
	} else if s, ok := v.str(); ok {
		text = s
	} else {
		return
	}
	first, last, isRange := strings.Cut(text, ":")
	if !isRange {
		last = first
	}
	from, ok1 := of.parse(strings.TrimSpace(first))
	until, ok2 := of.parse(strings.TrimSpace(last))
	r := timing.DayRange{From: from, To: until}
	switch {
	case !ok1 || !ok2:
		v.errorf("write "+of.example, "%s is not %s or a range of them", v.shownValue(text), of.what)
	case of.ok != nil && !of.ok(r):
		v.errorf("", "%s ends before it begins", v.shownValue(text))
	default:
		*to = append(*to, r)
	}
}

// shownValue is shown for a value that may be an integer too.
func (v view) shownValue(text string) string {
	if _, isInt := v.v.(int64); isInt {
		return text
	}
	return v.shown(text)
}

// clockRange decodes two times of the day with a dash between them.
func (v view) clockRange(to *[]timing.ClockRange) {
	text, ok := v.str()
	if !ok {
		return
	}
	first, last, _ := strings.Cut(text, "-")
	from, ok1 := minuteOfDay(first)
	until, ok2 := minuteOfDay(last)
	switch {
	case !ok1 || !ok2 || from == dayMinutes:
		v.errorf(`write "08:00-18:00", or "22:00-06:00" across midnight`, "%s is not a span of the day", v.shown(text))
		return
	case until == 0:
		until = dayMinutes
	}
	if from == until {
		v.errorf(`"00:00-24:00" is the whole day`, "%s is empty", v.shown(text))
		return
	}
	*to = append(*to, timing.ClockRange{From: from, To: until})
}

const dayMinutes = 24 * 60

// minuteOfDay parses "08:30"; "24:00" is the end of the day.
func minuteOfDay(s string) (int, bool) {
	s = strings.TrimSpace(s)
	if len(s) == 4 {
		s = "0" + s
	}
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	h, err1 := strconv.ParseUint(s[:2], 10, 8)
	m, err2 := strconv.ParseUint(s[3:], 10, 8)
	minute := int(h*60 + m)
	return minute, err1 == nil && err2 == nil && m < 60 && minute <= dayMinutes
}

// hasDay reports whether there is a month in which the window contains a day.
func hasDay(w *timing.Window) bool {
	if w.Days == nil {
		return true
	}
	for m := 1; m <= 12; m++ {
		const leapYear = 2024
		days := time.Date(leapYear, time.Month(m)+1, 0, 0, 0, 0, 0, time.UTC).Day()
		if w.Months == nil || slices.ContainsFunc(w.Months, func(r timing.DayRange) bool { return inWrappingRange(r, m) }) {
			for d := 1; d <= days; d++ {
				if slices.ContainsFunc(w.Days, func(r timing.DayRange) bool { return fromEnd(r.From, days) <= d && d <= fromEnd(r.To, days) }) {
					return true
				}
			}
		}
	}
	return false
}

// inWrappingRange reports whether n is in a range that may wrap around.
func inWrappingRange(r timing.DayRange, n int) bool {
	if r.From <= r.To {
		return r.From <= n && n <= r.To
	}
	return n >= r.From || n <= r.To
}

// fromEnd returns which day of the month n is; -1 is the last.
func fromEnd(n, days int) int {
	if n < 0 {
		return days + 1 + n
	}
	return n
}
