package timing

import "time"

// Rule is what one rule says of time, checked: a duration that is not 0 is
// positive, and at most one of Count, Absent, Debounce and For is set. It is
// not changed once a Machine has it.
type Rule struct {
	Name string
	// Shape is a text that is equal for rules of equal time fields: state of a
	// rule is kept over a reload, or a restart, where its name and shape are as
	// they were.
	Shape string

	Sample   float64 // the share of the matches that counts, 0 < Sample < 1; 0: all
	Once     bool    // one firing for each Keys.Once
	Dedupe   time.Duration
	Count    Count
	Absent   Absent
	Debounce Debounce
	For      time.Duration // the condition has to hold that long

	Active, Mute []*Window // it may fire inside one of Active, if there are any, and outside all of Mute
	Hold         bool      // what may not fire waits until it may; else it is dropped

	Throttle Throttle
	Batch    Batch

	// Schedule makes this a rule of the clock, which has no matches. Of the
	// other fields it may have Active, Mute, Hold, Summarize and CatchUp.
	Schedule  Schedule
	Summarize []string // names of rules
	CatchUp   bool     // a run that was missed is made up, once

	MaxKeys int // states of each stage, of which the one idle for longest gives way; at least 1
}

// Schedule is a cron schedule.
type Schedule interface {
	Next(after time.Time) time.Time // zero: never
}

// Count fires when more than Over matches came within Within, and not again
// before there were Over or fewer. The zero value is none.
type Count struct {
	Over   int
	Within time.Duration
}

// Absent fires when no match came for For. The zero value is none.
type Absent struct {
	For      time.Duration
	Expect   []string      // by values that are waited for from the start
	Repeat   time.Duration // fire again each time that long passed; 0: once
	Resolved bool          // fire when a match comes after all
}

// Debounce fires when no match came for Wait, or MaxWait after the first, with
// the last. The zero value is none.
type Debounce struct {
	Wait    time.Duration
	MaxWait time.Duration // 0: no limit
}

// Throttle lets at most Max firings pass within Per. The zero value is none.
type Throttle struct {
	Max int
	Per time.Duration
}

// Batch makes one firing of up to Max, at the latest Wait after the first. The
// zero value is none.
type Batch struct {
	Max  int
	Wait time.Duration
}

// Keys are what a match's rule says "by" with: the values by which state is
// kept, "" where the rule has the stage for all its matches together.
type Keys struct {
	Once     string
	Dedupe   string
	Gather   string // of Count, Absent, Debounce or For; with For it is the database and the key
	Throttle string
	Batch    string
}

// Role is what a match does to its rule.
type Role uint8

// The roles.
const (
	Fires   Role = iota // the rule matches
	Cancels             // what an Absent waits for is not waited for any more
	Ends                // the condition of a rule with For does not hold any more
)
