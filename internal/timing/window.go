package timing

import "time"

// Window is a recurring span of time, in the way of Alertmanager's time
// intervals: a moment is inside if every field that is set has it. The zero
// value with a Location has every moment.
type Window struct {
	Name     string
	Weekdays []DayRange   // 0 is Sunday
	Times    []ClockRange // of the day, across midnight too
	Days     []DayRange   // of the month; -1 is its last
	Months   []DayRange   // 1 is January
	Location *time.Location
}

// DayRange is from From to To, both included. A range of weekdays or months
// may wrap around: fri:mon.
type DayRange struct{ From, To int }

// ClockRange is from From until before To, in minutes after midnight, up to
// 1440. Where To is not after From it reaches into the next day, and its
// weekday, day and month are those of the day on which it began.
type ClockRange struct{ From, To int }
