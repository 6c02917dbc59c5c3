package timing

import "time"

// maxShift is more than a clock on a wall is ever set by: zones are up to 26
// hours apart.
const maxShift = 26 * time.Hour

// OnWall returns a schedule by the clocks on the walls of a zone. of is the same
// schedule in UTC.
//
// One by the hour has a run whenever these clocks show its time: none in an hour
// that is skipped when they are set, and two in one that comes twice. A run at a
// time of day happens once for each of its times: where the time is skipped when
// clocks are put forward, at that moment, and where it comes twice, the first
// time. So it is the moment when they first show that time or a later one, and
// several that are skipped together are one run.
func OnWall(of Schedule, zone *time.Location, byTheHour bool) Schedule {
	return &wallSchedule{of, zone, byTheHour}
}

type wallSchedule struct {
	of        Schedule
	zone      *time.Location
	byTheHour bool
}

// Next returns the first run after t; zero if there is none.
func (s *wallSchedule) Next(t time.Time) time.Time {
	if s.byTheHour {
		return s.nextShown(t)
	}
	shown := s.of.Next(s.latest(t))
	if shown.IsZero() {
		return shown
	}
	return s.first(shown)
}

// nextShown returns when the clocks next show a time of the schedule.
func (s *wallSchedule) nextShown(t time.Time) time.Time {
	p := s.period(t)
	for {
		shown := s.of.Next(t.UTC().Add(p.offset))
		if shown.IsZero() {
			return shown
		}
		at := shown.Add(-p.offset)
		if p.end.IsZero() || at.Before(p.end) {
			return at.In(s.zone)
		}
		t = p.end.Add(-1) // what is shown at the end belongs to the next period
		p = s.period(p.end)
	}
}

// latest returns the latest time that the clocks have shown up to t: not the
// present one, if they were put back.
func (s *wallSchedule) latest(t time.Time) time.Time {
	p := s.period(t)
	latest := t.UTC().Add(p.offset)
	for since := t.Add(-maxShift); p.start.After(since); {
		end := p.start.Add(-1)
		p = s.period(end)
		if shown := end.UTC().Add(p.offset); shown.After(latest) {
			latest = shown
		}
	}
	return latest
}

// first returns when the clocks first show a time or a later one.
func (s *wallSchedule) first(shown time.Time) time.Time {
	p := s.period(shown.Add(-maxShift))
	for {
		at := shown.Add(-p.offset)
		if at.Before(p.start) {
			at = p.start // the time is skipped
		}
		if p.end.IsZero() || at.Before(p.end) {
			return at.In(s.zone)
		}
		p = s.period(p.end)
	}
}

// period is a time between two settings of the clocks. start and end are zero
// where it has none.
type period struct {
	start, end time.Time
	offset     time.Duration // what clocks show is UTC and this
}

func (s *wallSchedule) period(t time.Time) period {
	t = t.In(s.zone)
	_, offset := t.Zone()
	start, end := t.ZoneBounds()
	return period{start, end, time.Duration(offset) * time.Second}
}
