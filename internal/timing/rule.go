package timing

import "time"

// Rule is the time fields of a rule. They are checked: a duration that is not 0
// is positive, and at most one of Count, Absent, Debounce and For is set. A
// Rule does not change once a Machine has it.
type Rule struct {
	Name string
	// Shape is a text that is equal for rules with equal time fields. The state
	// of a rule is kept over a reload or restart if its name and shape are
	// unchanged.
	Shape string

	Sample   float64 // the share of the matches that counts, 0 < Sample < 1; 0: all
	Once     bool    // one firing for each Keys.Once
	Dedupe   time.Duration
	Count    Count
	Absent   Absent
	Debounce Debounce
	For      time.Duration // the condition has to hold that long
	Episode  Episode

	Active, Mute []*Window // releases are allowed inside one of Active, if there are any, and outside all of Mute
	Hold         bool      // what the windows do not allow waits until they open; false: it is dropped

	Throttle Throttle
	Batch    Batch

	// Schedule makes this a rule of the clock, which has no matches. Of the
	// other fields it may have Active, Mute, Hold, Summarize and CatchUp.
	Schedule  Schedule
	Summarize []string // names of rules
	CatchUp   bool     // if runs were missed, the last of them is made up

	MaxKeys int // states of each stage; at the limit the one idle for longest gives way; at least 1
}

// Schedule is a cron schedule.
type Schedule interface {
	Next(after time.Time) time.Time // zero: never
}

// Count releases the match with which there are more than Over within Within.
// It does so again only after there were Over or fewer. The zero value: no
// Count.
type Count struct {
	Over   int
	Within time.Duration
}

// Absent releases an absence when no match has come for For. The zero value: no
// Absent.
type Absent struct {
	For      time.Duration
	Expect   []string      // values of by that are waited for from the start
	Repeat   time.Duration // release it again each time so long has passed; 0: once
	Resolved bool          // release the match that comes after it
}

// Debounce releases the last match when none has come for Wait, or MaxWait
// after the first. The zero value: no Debounce.
type Debounce struct {
	Wait    time.Duration
	MaxWait time.Duration // 0: no limit
}

// Episode has a rule fire once for each value of Gather, until that has ended:
// an episode begins with a match, or when For has passed, and ends with an
// Arrival with the role Ends. The zero value: no Episode.
type Episode struct {
	On       bool
	Resolved bool // release the end too
}

// Throttle releases at most Max within Per. The zero value: no Throttle.
type Throttle struct {
	Max int
	Per time.Duration
}

// Batch makes one release of up to Max, at the latest Wait after the first. The
// zero value: no Batch.
type Batch struct {
	Max  int
	Wait time.Duration
}

// Keys are the values of a match by which the stages keep their states. A stage
// that a rule has for all its matches together has "".
type Keys struct {
	Once     string
	Dedupe   string
	Gather   string // of Count, Absent, Debounce or For; for For and Episode it is the database and the key
	Throttle string
	Batch    string
}

// Role says what a match means to its rule.
type Role uint8

// The roles.
const (
	Fires   Role = iota // the rule matches
	Cancels             // an Absent no longer waits for a match
	Ends                // the condition of a rule with For no longer holds, or an Episode has ended
	Lapses              // what For waits for does not hold; an Episode that has begun goes on
)
