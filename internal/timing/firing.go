package timing

import "time"

// Arrival is a match of a rule. Its texts and what Data refers to are borrowed:
// Machine.Match keeps copies.
type Arrival struct {
	State *State // of the rule; nothing happens if the rules were set anew without it
	Role  Role
	At    time.Time // when it came; what is less than a millisecond is left out
	Hash  uint64    // of what identifies the match, the same whenever it is read: it decides Sample
	Keys  Keys
	Data  Data
}

// Data is what a match is about, asked for only if it has to be kept.
type Data interface {
	Append(dst []byte) []byte     // all that is delivered
	AppendSlim(dst []byte) []byte // that much of it that will do where it tells what stopped coming, or came last
}

// Kind is what a firing stands for.
type Kind uint8

// The kinds.
const (
	Passed   Kind = iota + 1 // the match in hand
	Late                     // a match that was kept
	Missing                  // that no match came: Absent
	Resolved                 // a match after all, after a Missing
	Batched                  // several of the others
	Run                      // a run of the rule's schedule
)

// Release is what fires. It is the caller's.
//
// The last of its Items, or else the match in hand, is what it is identified
// by, together with Kind and Tag: no two firings of a rule have all three
// alike, and where there is no match By stands for it.
type Release struct {
	Rule *Rule
	Kind Kind
	By   string    // value of the by of Count, Absent, Debounce, For, or of a batch
	At   time.Time // of the match, or when it was due, or when the windows opened

	// Tag is the time in milliseconds since 1970 at which a Missing (or a batch
	// of which it is the last) was due, by which it is told from the others
	// after the same match; of a Run, when the schedule had it. Else it is 0.
	Tag int64

	// Items are what was kept, the oldest first: a batch has several. It is
	// empty where Match fires the match in hand, for a Run, and for a Missing
	// whose match is expected and never came.
	Items []Item

	Count       int       // matches that it stands for
	First, Last time.Time // of these
	Suppressed  int       // by Throttle, since the last that passed

	Summary []Line // of a Run, in the order of Rule.Summarize
}

// Item is a match that was kept.
type Item struct {
	Kind Kind // what it would have fired as, without a batch
	By   string
	At   time.Time // of the match, or of the last that it stands for
	Tag  int64     // as a Firing's
	Data []byte
}

// Line is what became of a rule since the last run.
type Line struct {
	Rule        string
	Count       int       // what fired, before Once, Throttle and Batch
	Suppressed  int       // of these, by Once or Throttle
	First, Last time.Time // zero if Count is 0
	Data        []byte    // of the last; nil if there is none
}
