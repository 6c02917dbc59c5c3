package admin

import (
	"encoding/json"
	"time"
)

// Status describes a daemon at one moment. Its JSON form is that of the API. It
// holds no secrets: of an address only scheme and host, of a command only its
// name.
type Status struct {
	At      time.Time `json:"at"`
	Started time.Time `json:"started"` // when the daemon began
	Ready   string    `json:"ready"`   // "ok", or why it is not ready; see Daemon.Ready

	// Streams are the streams that are followed. If there is only one, Source
	// is that one, otherwise nil.
	Source  *StreamStatus  `json:"source,omitempty"`
	Streams []StreamStatus `json:"streams"`
	Counts  Stats          `json:"counts"`

	MaxPending int            `json:"max_pending"`
	Rules      []RuleStatus   `json:"rules"`   // in file order
	Actions    []ActionStatus `json:"actions"` // by name

	// DeadLetters is how many dead letters are kept. If DeadLettersMore is set,
	// as it may be in the first moments of a daemon, there are more.
	DeadLetters     int  `json:"dead_letters"`
	DeadLettersMore bool `json:"dead_letters_more,omitempty"`

	Store  StoreStatus  `json:"store"`
	Reload ReloadStatus `json:"reload"`
}

// StreamStatus describes a stream.
//
// A server sends what it has at once, and something every ten seconds. So
// LastData tells whether the stream is alive.
type StreamStatus struct {
	Name           string    `json:"name"`
	State          string    `json:"state"` // connecting, syncing, streaming, waiting, stopped
	Since          time.Time `json:"since"` // when State began
	Server         string    `json:"server"`
	ServerName     string    `json:"server_name,omitempty"`    // Redis or Valkey; "" if that is not known
	ServerVersion  string    `json:"server_version,omitempty"` // as it said with its last snapshot
	ServerRole     string    `json:"server_role,omitempty"`    // primary or replica; "" if it does not say
	ReplID         string    `json:"replid"`
	Offset         int64     `json:"offset"`          // as ReceivedOffset
	ReceivedOffset int64     `json:"received_offset"` // last byte read from the server
	HandledOffset  int64     `json:"handled_offset"`  // last byte whose events are matched, and their firings planned
	BehindBytes    int64     `json:"behind_bytes"`    // received, and not handled
	BehindSeconds  float64   `json:"behind_seconds"`  // how long ago the oldest of them came
	ServerBytes    int64     `json:"server_bytes"`    // what the server had for us when it was last asked, and has not been received; 0 if it does not say
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
	Primary        string    `json:"attached_to,omitempty"` // the server that Sentinels have named; "": Server is the server
	Rewinds        int64     `json:"rewinds"`               // times that the stream went back, before what a new primary does not have
	RewoundBytes   int64     `json:"rewound_bytes"`
	Foreign        int64     `json:"foreign"` // times that a server with another history was waited out
	ProtocolErrors int64     `json:"protocol_errors"`
	SnapshotErrors int64     `json:"snapshot_errors"`

	// BacklogBytes is the size of the server's backlog, 0 if the server does
	// not say. BacklogSeconds is how long triggerd could be away from now on
	// without a gap, if the server is written to as fast as in the last minute.
	// It is nil if that is not known, or, with BacklogBytes set, if the time
	// has no end.
	BacklogBytes   int64    `json:"backlog_bytes,omitempty"`
	BacklogSeconds *float64 `json:"backlog_seconds,omitempty"`

	Spool  SpoolStatus  `json:"spool"`
	Values ValuesStatus `json:"values"` // on disk
	Stats  StreamStats  `json:"counts"`
}

// SpoolStatus tells of what is received and still needed.
type SpoolStatus struct {
	Bytes   int64  `json:"bytes"`          // that it takes, on disk or in memory
	Limit   int64  `json:"limit"`          // of Bytes
	Files   bool   `json:"files"`          // it is on disk
	GivenUp int64  `json:"given_up_bytes"` // bytes that were let go though the next start may need them
	Full    string `json:"full,omitempty"` // why nothing is written to it
}

// ValuesStatus tells what of the values of keys is on disk.
type ValuesStatus struct {
	Position  string    `json:"position,omitempty"` // that they are of; "": none are
	At        time.Time `json:"at,omitzero"`        // when that was noted; zero: by an earlier process
	Files     int       `json:"files"`
	Bytes     int64     `json:"bytes"`                // of the files
	LastError string    `json:"last_error,omitempty"` // why they could not be written; "": they could
	Forgotten int64     `json:"forgotten"`            // times that they could not be restored
}

// StreamStats counts what one stream has brought, since the process began.
type StreamStats struct {
	Records int64 `json:"records"` // commands and snapshot keys read
	Bytes   int64 `json:"bytes"`   // of these commands, on the wire
	Events  int64 `json:"events"`  // changes of keys that they made
	Gaps    int64 `json:"gaps"`    // full resyncs that missed something

	MirrorKeys  int64 `json:"mirror_keys"`  // keys that are kept for rules
	MirrorBytes int64 `json:"mirror_bytes"` // memory for them, estimated
	ValuesLost  int64 `json:"values_lost"`  // times that a value became unknown

	LostBy map[string]int64 `json:"values_lost_by,omitempty"` // the same by reason
}

// RuleStatus describes a rule. Counts begin with the process, and go on over
// reloads.
type RuleStatus struct {
	Name            string    `json:"name"`
	Enabled         bool      `json:"enabled"`
	DryRun          bool      `json:"dry_run"`
	PausedSince     time.Time `json:"paused_since,omitzero"` // zero: it is not paused
	Pause           *Pause    `json:"pause,omitempty"`       // nil: it is not paused
	Matches         int64     `json:"matches"`
	File            string    `json:"file,omitempty"` // where it is written
	Line            int       `json:"line,omitempty"`
	Targets         []string  `json:"targets,omitempty"`    // the full names of its actions
	LastMatch       time.Time `json:"last_match,omitzero"`  // zero: none since the process began
	MatchRate       float64   `json:"match_rate,omitempty"` // a second, lately; only where rules are listed
	Rates           []int     `json:"rates,omitempty"`      // matches in each ten seconds of the last ten minutes; likewise
	Firings         int64     `json:"firings"`              // planned, one for each match and action
	Skipped         int64     `json:"skipped"`              // matches while it was paused
	DryRuns         int64     `json:"dry_runs"`             // matches while it was in dry run
	Dropped         int64     `json:"dropped"`              // firings that there was no room for
	ConditionErrors int64     `json:"condition_errors"`
	NotNumbers      int64     `json:"not_numbers"`               // events about which the condition did not decide, since something is no number
	ConditionError  string    `json:"condition_error,omitempty"` // the first of the present rules

	// How long evaluations of the condition took in all, an estimate from a
	// sample, and which part that was of the last minute: 1 is all the time that
	// the goroutine has that reads the stream.
	ConditionSeconds float64 `json:"condition_seconds"`
	ConditionShare   float64 `json:"condition_share"`

	// Only for a rule with time fields: the values by which it counts or waits
	// now, its armed timers, the next run of its schedule, and how much did not
	// fire, by reason, since the process began.
	States     int              `json:"states,omitempty"`
	Armed      int              `json:"armed,omitempty"`
	Open       int              `json:"open,omitempty"` // of the states, what has fired and not ended; see until
	NextRun    time.Time        `json:"next_run,omitzero"`
	Suppressed map[string]int64 `json:"suppressed,omitempty"`
	Timed      bool             `json:"-"` // it has time fields
}

// ActionStatus describes an action: a target, or a rule's own action.
type ActionStatus struct {
	Name          string    `json:"name"`                    // "target/NAME" or "rule/NAME/ACTION"
	Kind          string    `json:"kind,omitempty"`          // webhook, exec, ...; "" if no rule has the action any more
	Destination   string    `json:"destination,omitempty"`   // scheme and host, or the command's name
	PausedSince   time.Time `json:"paused_since,omitzero"`   // zero: it is not paused
	Pause         *Pause    `json:"pause,omitempty"`         // nil: it is not paused
	Pending       int       `json:"pending"`                 // firings that wait, those in flight included
	OldestPending time.Time `json:"oldest_pending,omitzero"` // when the oldest of them was planned
	InFlight      int       `json:"in_flight"`
	BackingOff    int       `json:"backing_off"`         // keys whose next firing waits for its next attempt
	Breaker       string    `json:"breaker"`             // closed; open: the state is down or suspect; probing: that, and an attempt is being made
	HeldUntil     time.Time `json:"held_until,omitzero"` // no attempt before, if the state is held or down

	// State is the state of the action's endpoint:
	//
	//	up       nothing is wrong
	//	slowed   it gets fewer attempts at once than it may, since some were not answered
	//	suspect  many keys fail and nothing succeeds
	//	down     it cannot be reached
	//	held     it asked to be left alone
	//
	// In the last three states few attempts are made.
	State        string           `json:"state"`
	Since        time.Time        `json:"since,omitzero"`        // when the trouble began; zero: there is none
	Why          string           `json:"why,omitempty"`         // the reason of the state
	Window       int              `json:"window"`                // attempts at once, at present
	NextAttempt  time.Time        `json:"next_attempt,omitzero"` // if something waits for a time, and not for the end of another attempt
	FailingLanes int              `json:"failing_lanes"`         // keys whose last attempt failed
	FreshLanes   int              `json:"fresh_lanes"`           // keys that wait for their turn, and whose last attempt did not fail
	Evidence     Evidence         `json:"evidence"`
	Abandoned    int64            `json:"abandoned,omitempty"` // attempts that did not end when they should have
	Classes      map[string]int64 `json:"-"`                   // attempts, by what they said of the endpoint
	Statuses     map[string]int64 `json:"statuses,omitempty"`  // attempts, by class of the answer's status: 1xx to 5xx, exit of a program, none

	Delivered      int64     `json:"delivered"`
	Retried        int64     `json:"retried"`              // attempts that failed, to be made again
	GivenUp        int64     `json:"given_up"`             // firings that became dead letters
	Superseded     int64     `json:"superseded,omitempty"` // firings that a later one took the place of (latest_only)
	AttemptSeconds float64   `json:"attempt_seconds"`      // all attempts together
	LastSuccess    time.Time `json:"last_success,omitzero"`
	LastError      string    `json:"last_error,omitempty"`
	LastErrorAt    time.Time `json:"last_error_at,omitzero"`
}

// Evidence is what an endpoint's state follows from: what has failed since
// something last succeeded.
type Evidence struct {
	Reached  bool `json:"reached"`  // the last attempt that tells reached the endpoint
	Distinct int  `json:"distinct"` // keys that failed, and attempts that did not reach it
}

// StoreStatus describes the store.
type StoreStatus struct {
	Bytes     int64  `json:"bytes"`
	FreeBytes int64  `json:"free_bytes"` // -1: not known
	Commits   uint64 `json:"commits"`
	Damaged   int64  `json:"damaged"`        // records
	Full      string `json:"full,omitempty"` // why no more firings are taken in; "": they are

	Delivered *KeptStatus `json:"delivered,omitempty"` // what is kept of deliveries; null: only a line of each
}

// KeptStatus tells of deliveries that are kept whole.
type KeptStatus struct {
	Bytes int64 `json:"bytes"`
	Limit int64 `json:"limit"`
	Lost  int64 `json:"lost"` // deliveries that could not be kept
}

// ReloadStatus describes the last reading of the rules, at the start or later.
type ReloadStatus struct {
	At          time.Time `json:"at"`
	OK          bool      `json:"ok"`
	File        string    `json:"file,omitempty"`
	Error       string    `json:"error,omitempty"`
	LastSuccess time.Time `json:"last_success"`
	Succeeded   int64     `json:"succeeded"` // times that the rules were read since the start, the first time included
	Failed      int64     `json:"failed"`    // times that they could not be
}

// Stats counts what a daemon has done since it began. Its JSON form is that of the API.
type Stats struct {
	Records    int64 `json:"records"`  // commands and snapshot keys read
	Bytes      int64 `json:"bytes"`    // of these commands, on the wire
	Events     int64 `json:"events"`   // changes of keys that they made
	Matches    int64 `json:"matches"`  // rules that matched them
	DryRuns    int64 `json:"dry_runs"` // of these, in rules that only count
	Firings    int64 `json:"firings"`  // deliveries planned
	Delivered  int64 `json:"delivered"`
	Failed     int64 `json:"failed"`     // attempts that failed
	GivenUp    int64 `json:"given_up"`   // firings not delivered in all their attempts
	Dropped    int64 `json:"dropped"`    // firings not even attempted, since too many waited
	Superseded int64 `json:"superseded"` // firings that a newer one of the same key took the place of (latest_only)
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

	// The rule as it is written, without secrets, and with what else of its file it
	// may need; "" if it was not read from a file.
	Source string `json:"source,omitempty"`
	Whole  string `json:"whole,omitempty"`

	LastEvent *LastEvent `json:"last_event,omitempty"` // for which the rule has fired

	Next string `json:"next,omitempty"` // the Cursor of the query for the following timers and windows; "" at the end

	Timers  []TimerStatus `json:"timers,omitempty"`  // those that are due first, up to the limit
	Windows []WindowCount `json:"windows,omitempty"` // the largest counts, up to the limit
	Held    int           `json:"held"`              // firings that wait until the rule may fire
	Opens   time.Time     `json:"opens,omitzero"`    // when the rule may fire again
}

// RuleQuery selects what of a rule is looked at.
type RuleQuery struct {
	By     string // only states whose by has this in it
	Cursor string // the Next of an earlier answer; "": from the first on
	Limit  int    // timers, and windows, at most
}

// LastEvent is an event for which a rule has fired. Values are shown from their
// beginning; Given is the value before in the form that a test is given, where it
// is short enough.
type LastEvent struct {
	At      time.Time `json:"at"`
	Rule    string    `json:"rule,omitempty"`
	Event   string    `json:"event"`
	Key     string    `json:"key"`
	DB      int       `json:"db,omitempty"`
	Command string    `json:"command,omitempty"` // as it is typed
	Before  Excerpt   `json:"before,omitzero"`
	After   Excerpt   `json:"after,omitzero"`

	Given json.RawMessage `json:"given,omitempty"`
}

// Rates is how much happened a second, the latest last.
type Rates struct {
	Events    []int    `json:"events"`
	Matches   []int    `json:"matches"`
	Firings   []int    `json:"firings"`
	Delivered []int    `json:"delivered"`
	Failed    []int    `json:"failed"`
	Rules     []string `json:"rules"` // the names of all rules
}

// RuleRates is what a rule did, the latest last.
type RuleRates struct {
	Kept    bool   `json:"kept"` // false: so many rules match that this one's rates are not kept
	Seconds Series `json:"seconds"`
	Minutes Series `json:"minutes"`
}

// Series counts matches and firings in each of a row of times.
type Series struct {
	Matches []int `json:"matches"`
	Firings []int `json:"firings"`
}

// TimerStatus describes a timer.
type TimerStatus struct {
	Stream string    `json:"stream"`
	Stage  string    `json:"stage"` // absent, debounce, for, open (until has not come) or batch
	By     string    `json:"by"`
	Due    time.Time `json:"due,omitzero"` // zero: it has fired, and waits for its end
	Fired  bool      `json:"fired"`
	Count  int       `json:"count"`          // matches that it will fire for
	Since  time.Time `json:"since,omitzero"` // of what is open: when it fired
}

// WindowCount is how many matches, or firings, a window has.
type WindowCount struct {
	Stream     string `json:"stream"`
	Stage      string `json:"stage"` // count or throttle
	By         string `json:"by"`
	Count      int    `json:"count"`
	Suppressed int    `json:"suppressed"` // by throttle, since the last that passed
}
