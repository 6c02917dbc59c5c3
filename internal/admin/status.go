package admin

import "time"

// Status is how a daemon is doing at one moment. Its JSON form is that of the
// API. It holds no secrets: of an address only scheme and host are told, of a
// command only its name.
type Status struct {
	At      time.Time `json:"at"`
	Started time.Time `json:"started"` // when the daemon began
	Ready   string    `json:"ready"`   // "ok", or why it is not ready; see Daemon.Ready

	// Streams are those that are followed; Source is the only one, nil where
	// there are several.
	Source  *StreamStatus  `json:"source,omitempty"`
	Streams []StreamStatus `json:"streams"`
	Counts  Stats          `json:"counts"`

	MaxPending int            `json:"max_pending"`
	Rules      []RuleStatus   `json:"rules"`   // in file order
	Actions    []ActionStatus `json:"actions"` // by name

	// DeadLetters counts those that are kept. With DeadLettersMore set, which
	// may be in the first moments of a daemon, there are more than it says.
	DeadLetters     int  `json:"dead_letters"`
	DeadLettersMore bool `json:"dead_letters_more,omitempty"`

	Store  StoreStatus  `json:"store"`
	Reload ReloadStatus `json:"reload"`
}

// StreamStatus is how a stream is doing.
//
// A server sends what it has at once, and something every ten seconds, so
// LastData tells if the stream is alive.
type StreamStatus struct {
	Name           string    `json:"name"`
	State          string    `json:"state"` // connecting, syncing, streaming, waiting, stopped
	Since          time.Time `json:"since"` // when State began
	Server         string    `json:"server"`
	ReplID         string    `json:"replid"`
	Offset         int64     `json:"offset"`          // as ReceivedOffset
	ReceivedOffset int64     `json:"received_offset"` // last byte read from the server
	HandledOffset  int64     `json:"handled_offset"`  // last byte whose events are matched, and their firings planned
	SavedOffset    int64     `json:"saved_offset"`    // what is on disk, as firings and position
	LagBytes       int64     `json:"lag_bytes"`       // received, and not on disk yet
	Saved          string    `json:"saved"`           // the position that the next start resumes at; "" if none is
	SavedAt        time.Time `json:"saved_at,omitzero"`
	LastData       time.Time `json:"last_data,omitzero"`
	LastError      string    `json:"last_error,omitempty"` // why the last connection ended
	Connects       int64     `json:"connects"`
	FullResyncs    int64     `json:"full_resyncs"`
	PartialResyncs int64     `json:"partial_resyncs"`
	Gaps           int64     `json:"gaps"`
	ProtocolErrors int64     `json:"protocol_errors"`
	SnapshotErrors int64     `json:"snapshot_errors"`

	// BacklogBytes is how much of its stream the server keeps, 0 if it does not
	// say. BacklogSeconds is for how long triggerd could be away from now on
	// without a gap, as fast as the server was written to in the last minute;
	// nil: not known, or, where BacklogBytes is, without end.
	BacklogBytes   int64    `json:"backlog_bytes,omitempty"`
	BacklogSeconds *float64 `json:"backlog_seconds,omitempty"`

	Stats StreamStats `json:"counts"`
}

// StreamStats counts what came of one stream, since the process began.
type StreamStats struct {
	Records int64 `json:"records"` // commands and snapshot keys read
	Bytes   int64 `json:"bytes"`   // of these commands, on the wire
	Events  int64 `json:"events"`  // changes of keys they made
	Gaps    int64 `json:"gaps"`    // full resyncs that missed something

	MirrorKeys  int64 `json:"mirror_keys"`  // keys that are kept for rules
	MirrorBytes int64 `json:"mirror_bytes"` // memory for them, estimated
	ValuesLost  int64 `json:"values_lost"`  // times that a value became unknown
}

// RuleStatus is how a rule is doing. Counts begin when the process does, and
// go on over reloads.
type RuleStatus struct {
	Name            string    `json:"name"`
	Enabled         bool      `json:"enabled"`
	DryRun          bool      `json:"dry_run"`
	PausedSince     time.Time `json:"paused_since,omitzero"` // zero: it is not paused
	Matches         int64     `json:"matches"`
	Firings         int64     `json:"firings"`  // planned, one for each match and action
	Skipped         int64     `json:"skipped"`  // matches while it was paused
	DryRuns         int64     `json:"dry_runs"` // matches while it only counted
	Dropped         int64     `json:"dropped"`  // firings that there was no room for
	ConditionErrors int64     `json:"condition_errors"`
	NotNumbers      int64     `json:"not_numbers"`               // events about which the condition did not decide, since something is no number
	ConditionError  string    `json:"condition_error,omitempty"` // the first of the present rules

	// How long evaluations of the condition took in all, an estimate from a
	// sample, and which part that was of the last minute: 1 is all the time that
	// the goroutine has that reads the stream.
	ConditionSeconds float64 `json:"condition_seconds"`
	ConditionShare   float64 `json:"condition_share"`

	// Of a rule with time fields: the values by which it counts or waits now,
	// the timers that run, when its schedule has the next run, and what did not
	// fire, by reason, since the process began.
	States     int              `json:"states,omitempty"`
	Armed      int              `json:"armed,omitempty"`
	NextRun    time.Time        `json:"next_run,omitzero"`
	Suppressed map[string]int64 `json:"suppressed,omitempty"`
	Timed      bool             `json:"-"` // it has time fields
}

// ActionStatus is how an action is doing: a target, or a rule's own.
type ActionStatus struct {
	Name          string    `json:"name"`                    // "target/NAME" or "rule/NAME/ACTION"
	Kind          string    `json:"kind,omitempty"`          // webhook, exec, ...; "" if no rule has the action any more
	Destination   string    `json:"destination,omitempty"`   // scheme and host, or the command's name
	PausedSince   time.Time `json:"paused_since,omitzero"`   // zero: it is not paused
	Pending       int       `json:"pending"`                 // firings that wait, those in flight included
	OldestPending time.Time `json:"oldest_pending,omitzero"` // when the oldest of them was planned
	InFlight      int       `json:"in_flight"`
	BackingOff    int       `json:"backing_off"`         // keys whose next firing waits for its next attempt
	Breaker       string    `json:"breaker"`             // closed; open: the state is down or suspect; probing: that, and an attempt is being made
	HeldUntil     time.Time `json:"held_until,omitzero"` // no attempt before: of one that is held or down

	// State is how the endpoint behind the action is doing: up; slowed: it gets
	// fewer attempts at once than it may, since some were not answered; suspect:
	// many keys fail and nothing succeeds; down: it cannot be reached; held: it
	// asked to be left alone. In the last three few attempts are made.
	State        string           `json:"state"`
	Since        time.Time        `json:"since,omitzero"`        // when the trouble began; zero: there is none
	Why          string           `json:"why,omitempty"`         // what the state comes from
	Window       int              `json:"window"`                // attempts at once, at present
	NextAttempt  time.Time        `json:"next_attempt,omitzero"` // where something waits for its turn, and not for the end of another attempt
	FailingLanes int              `json:"failing_lanes"`         // keys whose last attempt failed
	FreshLanes   int              `json:"fresh_lanes"`           // keys that wait for their turn, and whose last attempt did not
	Evidence     Evidence         `json:"evidence"`
	Abandoned    int64            `json:"abandoned,omitempty"` // attempts that did not end when they should have
	Classes      map[string]int64 `json:"-"`                   // attempts, by how far they came and what was said

	Delivered      int64     `json:"delivered"`
	Retried        int64     `json:"retried"`              // attempts that failed, to be made again
	GivenUp        int64     `json:"given_up"`             // firings that became dead letters
	Superseded     int64     `json:"superseded,omitempty"` // firings that a later one took the place of (latest_only)
	AttemptSeconds float64   `json:"attempt_seconds"`      // all attempts together
	LastSuccess    time.Time `json:"last_success,omitzero"`
	LastError      string    `json:"last_error,omitempty"`
	LastErrorAt    time.Time `json:"last_error_at,omitzero"`
}

// Evidence is what an endpoint's state comes from: what failed since something
// last succeeded.
type Evidence struct {
	Reached  bool `json:"reached"`  // the last attempt that says so came as far as the endpoint
	Distinct int  `json:"distinct"` // keys that failed, and attempts that did not reach it
}

// StoreStatus is how the store is doing.
type StoreStatus struct {
	Bytes     int64  `json:"bytes"`
	FreeBytes int64  `json:"free_bytes"` // -1: not known
	Commits   uint64 `json:"commits"`
	Damaged   int64  `json:"damaged"`        // records
	Full      string `json:"full,omitempty"` // why no more firings are taken in
}

// ReloadStatus tells of the last reading of the rules, at the start or later.
type ReloadStatus struct {
	At          time.Time `json:"at"`
	OK          bool      `json:"ok"`
	File        string    `json:"file,omitempty"`
	Error       string    `json:"error,omitempty"`
	LastSuccess time.Time `json:"last_success"`
}

// Stats counts what a daemon has done since it began. Its JSON form is that of the API.
type Stats struct {
	Records    int64 `json:"records"`  // commands and snapshot keys read
	Bytes      int64 `json:"bytes"`    // of these commands, on the wire
	Events     int64 `json:"events"`   // changes of keys they made
	Matches    int64 `json:"matches"`  // rules that matched them
	DryRuns    int64 `json:"dry_runs"` // of these, in rules that only count
	Firings    int64 `json:"firings"`  // deliveries planned
	Delivered  int64 `json:"delivered"`
	Failed     int64 `json:"failed"`     // attempts that failed
	GivenUp    int64 `json:"given_up"`   // firings not delivered in all their attempts
	Dropped    int64 `json:"dropped"`    // firings not even attempted, since too many waited
	Superseded int64 `json:"superseded"` // firings not even attempted, or not again, since of those of a key only the last is wanted
	Pending    int64 `json:"pending"`    // firings that wait now
	Gaps       int64 `json:"gaps"`       // full resyncs that missed something

	MirrorKeys  int64 `json:"mirror_keys"`  // keys that are kept for rules
	MirrorBytes int64 `json:"mirror_bytes"` // memory for them, estimated
	ValuesLost  int64 `json:"values_lost"`  // times that a value became unknown
}

// RuleDetail is what a rule with time fields counts and waits for. Its JSON
// form is that of the API. Values of "by" are shown as text; bytes that are
// not UTF-8 are escaped.
type RuleDetail struct {
	RuleStatus
	Timers  []TimerStatus `json:"timers,omitempty"`  // those that are due first, up to the limit
	Windows []WindowCount `json:"windows,omitempty"` // the largest counts, up to the limit
	Held    int           `json:"held"`              // firings that wait until the rule may fire
	Opens   time.Time     `json:"opens,omitzero"`    // when these fire
}

// TimerStatus is one timer.
type TimerStatus struct {
	Stream string    `json:"stream"`
	Stage  string    `json:"stage"` // absent, debounce, for or batch
	By     string    `json:"by"`
	Due    time.Time `json:"due,omitzero"` // zero: it has fired, and waits for what ends that
	Fired  bool      `json:"fired"`
	Count  int       `json:"count"` // matches that wait for it
}

// WindowCount is how many matches, or firings, are in a window.
type WindowCount struct {
	Stream     string `json:"stream"`
	Stage      string `json:"stage"` // count or throttle
	By         string `json:"by"`
	Count      int    `json:"count"`
	Suppressed int    `json:"suppressed"` // by throttle, since the last that passed
}
