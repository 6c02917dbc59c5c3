package timing_test

import (
	"slices"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"triggerd/internal/timing"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// onWall returns a schedule by the clocks of a zone, and itself in UTC.
func onWall(t *testing.T, spec string, z *time.Location, byTheHour bool) (of cron.Schedule, on timing.Schedule) {
	t.Helper()
	of, err := cron.ParseStandard(spec)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := of.(*cron.SpecSchedule); ok {
		s.Location = time.UTC
	}
	return of, timing.OnWall(of, z, byTheHour)
}

// TestOnWall checks when runs take place on days when clocks are set.
func TestOnWall(t *testing.T) {
	tests := []struct {
		zone, spec string
		byTheHour  bool
		from       string
		want       []string // as the clocks show it
	}{
		{"Europe/Berlin", "30 2 * * *", false, "2025-03-28T23:00:00Z", []string{"2025-03-29T02:30:00+01:00", "2025-03-30T03:00:00+02:00", "2025-03-31T02:30:00+02:00"}},
		{"Europe/Berlin", "30 2 * * *", false, "2025-10-25T12:00:00Z", []string{"2025-10-26T02:30:00+02:00", "2025-10-27T02:30:00+01:00"}},
		{"Europe/Berlin", "30 2 * * *", false, "2025-10-26T01:00:00Z", []string{"2025-10-27T02:30:00+01:00"}}, // after the hour began anew
		{"Europe/Berlin", "0,30 2,3 * * *", false, "2025-03-30T00:00:00Z", []string{"2025-03-30T03:00:00+02:00", "2025-03-30T03:30:00+02:00", "2025-03-31T02:00:00+02:00"}},
		{"Europe/Berlin", "0 * * * *", true, "2025-10-25T23:30:00Z", []string{"2025-10-26T02:00:00+02:00", "2025-10-26T02:00:00+01:00", "2025-10-26T03:00:00+01:00"}},
		{"Europe/Berlin", "0 */2 * * *", true, "2025-03-29T23:30:00Z", []string{"2025-03-30T04:00:00+02:00"}},
		{"Australia/Lord_Howe", "15 2 * * *", false, "2025-10-04T10:00:00Z", []string{"2025-10-05T02:30:00+11:00", "2025-10-06T02:15:00+11:00"}},
		{"Australia/Lord_Howe", "45 1 * * *", false, "2025-04-05T10:00:00Z", []string{"2025-04-06T01:45:00+11:00", "2025-04-07T01:45:00+10:30"}},
		{"Antarctica/Troll", "30 1,2 * * *", false, "2025-03-29T12:00:00Z", []string{"2025-03-30T03:00:00+02:00", "2025-03-31T01:30:00+02:00"}},
		{"Antarctica/Troll", "30 1,2 * * *", false, "2025-10-25T12:00:00Z", []string{"2025-10-26T01:30:00+02:00", "2025-10-26T02:30:00+02:00", "2025-10-27T01:30:00Z"}},
		{"America/Santiago", "0 0 * * *", false, "2025-09-06T12:00:00Z", []string{"2025-09-07T01:00:00-03:00", "2025-09-08T00:00:00-03:00"}},
		{"America/Santiago", "0 0 7 9 *", false, "2025-09-06T12:00:00Z", []string{"2025-09-07T01:00:00-03:00", "2026-09-07T00:00:00-03:00"}},
		{"America/Santiago", "30 23 * * *", false, "2025-04-05T12:00:00Z", []string{"2025-04-05T23:30:00-03:00", "2025-04-06T23:30:00-04:00"}},
		{"America/Santiago", "0 * 7 9 *", true, "2025-09-06T12:00:00Z", []string{"2025-09-07T01:00:00-03:00", "2025-09-07T02:00:00-03:00"}},
		{"Asia/Kathmandu", "0 7 * * *", false, "2025-03-29T12:00:00Z", []string{"2025-03-30T07:00:00+05:45", "2025-03-31T07:00:00+05:45"}},
		{"Pacific/Apia", "0 7 * * *", false, "2011-12-29T12:00:00Z", []string{"2011-12-29T07:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T07:00:00+14:00"}},
		{"UTC", "0 0 30 2 *", false, "2025-01-01T00:00:00Z", []string{"0001-01-01T00:00:00Z"}},
		{"Europe/Berlin", "0 * 30 2 *", true, "2025-01-01T00:00:00Z", []string{"0001-01-01T00:00:00Z"}},
	}
	for _, test := range tests {
		_, s := onWall(t, test.spec, zone(t, test.zone), test.byTheHour)
		at, err := time.Parse(time.RFC3339, test.from)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range test.want {
			at = s.Next(at)
			got = append(got, at.Format(time.RFC3339))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q in %s: %q, want %q", test.spec, test.zone, got, test.want)
		}
	}
}

// TestOnWallMinuteByMinute holds schedules against clocks that are looked at
// each minute for three days around each setting.
func TestOnWallMinuteByMinute(t *testing.T) {
	zones := []string{"Europe/Berlin", "America/New_York", "America/Santiago", "America/Sao_Paulo", "Australia/Lord_Howe", "Antarctica/Troll",
		"Asia/Kathmandu", "Pacific/Apia", "America/St_Johns", "Asia/Gaza", "Africa/Casablanca", "UTC"}
	specs := []string{"30 2 * * *", "0 0 * * *", "59 23 * * *", "*/7 0-3 * * *", "15 2 * * sun", "0 1 6,7,26,30 * *", "0,30 */3 * * *", "*/20 * * * *"}
	for _, name := range zones {
		z := zone(t, name)
		var days []time.Time
		for at := time.Date(2008, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2026; {
			_, end := at.In(z).ZoneBounds()
			if end.IsZero() {
				days = append(days, at)
				break
			}
			days, at = append(days, end), end
		}
		for i := 0; i < len(days); i += 1 + len(days)/3 {
			begin := days[i].UTC().Truncate(time.Minute).Add(-36 * time.Hour)
			for _, spec := range specs {
				for _, byTheHour := range []bool{false, true} {
					of, s := onWall(t, spec, z, byTheHour)
					var want []time.Time
					var latest time.Time
					for m := -60 * 30; m < 60*72; m++ {
						at := begin.Add(time.Duration(m) * time.Minute)
						_, offset := at.In(z).Zone()
						shows := at.Add(time.Duration(offset) * time.Second)
						runs := of.Next(shows.Add(-1)).Equal(shows)
						if !byTheHour {
							runs = shows.After(latest) && !latest.IsZero() && !of.Next(latest).After(shows)
							if shows.After(latest) {
								latest = shows
							}
						}
						if runs && m >= 0 {
							want = append(want, at)
						}
					}
					got := []time.Time{}
					for at := s.Next(begin.Add(-1)); at.Before(begin.Add(72 * time.Hour)); at = s.Next(at) {
						got = append(got, at.UTC())
					}
					if !slices.Equal(got, want) {
						t.Fatalf("%q in %s from %v, by the hour %v:\n%v, want\n%v", spec, name, begin, byTheHour, got, want)
					}
				}
			}
		}
	}
}
