package timing

import "time"

// Arrival is a match that arrives at the machine. Its texts, and what Data
// refers to, are borrowed: Machine.Arrive keeps copies.
type Arrival struct {
	State *State // of the rule; if the rule is gone nothing happens
	Role  Role
	At    time.Time // when it came, to the millisecond
	Hash  uint64    // of what identifies the match, the same whenever it is read; Sample and Episode need it
	Keys  Keys
	Data  Data
}

// Data is the content of a match. It is asked for only if the match is kept.
type Data interface {
	Append(dst []byte) []byte     // all that is delivered
	AppendSlim(dst []byte) []byte // the part that is enough for an absence or a summary
}

// Kind says what a release stands for.
type Kind uint8

// The kinds.
const (
	Passed   Kind = iota + 1 // the match that has just arrived
	Late                     // a match that was kept
	Missing                  // an absence: no match came
	Resolved                 // a match that came after a Missing, or the end of an Episode
	Batched                  // several of the others
	Run                      // a run of the rule's schedule
)

// Release is what the time fields of a rule release. The caller owns it.
//
// The last of its Items identifies it, or else the match that has just arrived,
// together with Kind and Tag. No two releases of a rule have all three equal.
// If there is no match at all, By takes its place.
type Release struct {
	Rule *Rule
	Kind Kind
	By   string    // value of the by of Count, Absent, Debounce, For, or of a batch
	At   time.Time // of the match, or when its timer was due, or when the windows opened

	// Tag tells apart releases that stand for the same match. For a Missing it
	// is when the absence was due, for a Run when the run was due, in
	// milliseconds since 1970. For the Resolved of an Episode it is the Hash of
	// the match that began it, by which alone it is identified. For a batch it is
	// that of its last item. Otherwise it is 0.
	Tag int64

	// Items are the matches that were kept, the oldest first; only a batch has
	// several. It is empty for the match that has just arrived, for a Run, and
	// for the absence of an expected value that never came.
	Items []Item

	Count       int       // matches that it stands for
	First, Last time.Time // of these
	Suppressed  int       // by Throttle, since the release before

	// Since is when what is Missing was first missed, and when what is Resolved
	// was, or when an Episode began; zero: it is not known, or none of these.
	Since time.Time
	Cause Cause // of a Resolved

	Summary []Line // of a Run, in the order of Rule.Summarize
}

// Cause says why an Episode has ended, if it was no match that ended it. What is
// kept with such a Resolved is the match that began it, in its slim form.
type Cause uint8

// The causes. They are part of the durable form.
const (
	ByMatch   Cause = iota // a match has ended it
	Flushed                // its database has no keys any more, or others
	Unseen                 // its key is not in a snapshot
	Dropped                // its rule is gone, or has another shape
	Displaced              // MaxKeys was reached

	causes
)

// Item is a match that was kept.
type Item struct {
	Kind Kind // what it would have been released as without a batch
	By   string
	At   time.Time // of the match, or of the last that it stands for
	Tag  int64     // as a Release's
	Data []byte

	Since time.Time // as a Release's
	Cause Cause
}

// Line counts, in the summary of a Run, what a rule has released since the run
// before.
type Line struct {
	Rule        string
	Count       int       // releases, before Once, Throttle and Batch
	Suppressed  int       // of these, by Once or Throttle
	First, Last time.Time // zero if Count is 0
	Data        []byte    // of the last; nil if there is none
}
