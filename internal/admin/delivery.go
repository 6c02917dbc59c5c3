package admin

import (
	"encoding/json"
	"time"
)

// Query selects deliveries or dead letters. The zero value selects all.
type Query struct {
	Action string // full name
	Rule   string
	Reason string            // of dead letters: attempts, age, permanent, dropped, damaged, cancelled, rewound
	Error  string            // of dead letters: that of their Cause
	ID     string            // of the firing
	Since  time.Time         // only those that were planned, delivered or given up at this time or later; zero: whenever
	Key    func(string) bool // by the key as text; nil: all

	Hidden  bool   // a cause is what is known of an error, without what may be data
	Failing bool   // only pending firings that were attempted
	Before  uint64 // only numbers below this one; 0: from the latest on. For pending firings: only numbers above it
	Limit   int    // at most that many; 0: 100
}

// Selection says which firings or dead letters are to be changed: those of the
// numbers, or, if All is set, all that Query selects, whose limit does not count.
type Selection struct {
	Numbers []uint64
	All     bool
	Query   Query
	Expect  *int // how many there are at most, or nothing is changed: ErrRefused; nil: however many
}

// Delivery is a firing that waits, that was delivered, or that was given up. Its
// JSON form is that of the API.
type Delivery struct {
	Number    uint64    `json:"number"` // its own, for ever
	State     string    `json:"state"`  // pending, delivered, dead
	Action    string    `json:"action"`
	Rule      string    `json:"rule"`
	ID        string    `json:"id"` // the firing's, the receiver's webhook-id
	Event     string    `json:"event,omitempty"`
	Key       string    `json:"key,omitempty"`
	Attempts  int       `json:"attempts"`
	Planned   time.Time `json:"planned"`
	Due       time.Time `json:"due,omitzero"` // of the next attempt, if it has to wait for that
	LastError string    `json:"last_error,omitempty"`
	Excerpt   string    `json:"excerpt,omitempty"` // of the last response, or what a program wrote
	Delivered time.Time `json:"delivered,omitzero"`
	Status    string    `json:"status,omitempty"`  // what the receiver said
	Code      int       `json:"code,omitempty"`    // of the attempt that delivered it, see Attempt
	Seconds   float64   `json:"seconds,omitempty"` // that this attempt took

	DeadLetter  uint64 `json:"dead_letter,omitempty"` // its number as a dead letter
	Reason      string `json:"reason,omitempty"`      // why it was given up
	Redelivered bool   `json:"redelivered,omitempty"` // it was delivered before, under the same ID, and is delivered once more

	Firing   json.RawMessage `json:"firing,omitempty"`   // what is delivered; where one is shown, not where many are listed
	Timeline []Attempt       `json:"timeline,omitempty"` // the same: its attempts, the oldest first. Of very many the first and the last
	Request  *Request        `json:"request,omitempty"`  // the same
}

// Attempt is one attempt to deliver a firing.
type Attempt struct {
	Number    int       `json:"number"`              // 1 for the first
	Uncounted bool      `json:"uncounted,omitempty"` // the endpoint was down, so it is no attempt of the firing; of several only the last is kept
	At        time.Time `json:"at"`                  // when it began
	Seconds   float64   `json:"seconds"`
	Outcome   string    `json:"outcome"`           // delivered, retried, given_up
	Code      int       `json:"code,omitempty"`    // status of the answer, or exit code of the program
	Text      string    `json:"text,omitempty"`    // what the receiver said, or the error
	Excerpt   string    `json:"excerpt,omitempty"` // of the answer
}

// Request is what was sent to deliver a firing, without secrets.
type Request struct {
	Sent      bool     `json:"sent"`                 // it was sent so; false: it would be sent so now
	Call      []string `json:"call,omitempty"`       // method and URL, or a program and its arguments
	Headers   []Header `json:"headers,omitempty"`    // or the variables of a program
	EventBody bool     `json:"event_body,omitempty"` // the body is the JSON of the firing
	Body      string   `json:"body,omitempty"`       // before it is compressed; cut at 64 KiB
}

// Header is a header of a request, or a variable of a program.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Cancelled is what came of a cancel.
type Cancelled struct {
	Count     int      `json:"count"`               // firings that are dead letters now, with the reason cancelled
	Ended     []uint64 `json:"ended,omitempty"`     // of these, those with an attempt in flight, which has failed
	Delivered []uint64 `json:"delivered,omitempty"` // those with an attempt in flight, which has succeeded: they are delivered
	InFlight  []uint64 `json:"in_flight,omitempty"` // those whose attempt has not ended yet: cancelled if it fails, delivered if it succeeds
	Gone      []uint64 `json:"gone,omitempty"`      // those that were delivered or given up before their turn came
}

// Cause is a group of dead letters: of an action, given up for the same.
type Cause struct {
	Action string    `json:"action"`
	Reason string    `json:"reason"`
	Error  string    `json:"error"` // what their errors have in common
	Count  int       `json:"count"`
	First  time.Time `json:"first"` // when the first and the last were given up
	Last   time.Time `json:"last"`
	Number uint64    `json:"number"` // of the last, as an example
}

// DeadLetter is a firing that was given up. Its JSON form is that of the API.
type DeadLetter struct {
	Number   uint64          `json:"number"`
	Action   string          `json:"action"`
	Rule     string          `json:"rule"`
	ID       string          `json:"id"`
	Reason   string          `json:"reason"` // attempts, age, permanent, dropped, damaged, cancelled, rewound
	Error    string          `json:"error"`
	Excerpt  string          `json:"excerpt,omitempty"` // of the last response
	Event    string          `json:"event,omitempty"`
	Key      string          `json:"key,omitempty"`
	Attempts int             `json:"attempts"`
	Planned  time.Time       `json:"planned"`
	GivenUp  time.Time       `json:"given_up"`
	Firing   json.RawMessage `json:"firing,omitempty"`   // what was to be delivered; null for what was dropped unseen
	Timeline []Attempt       `json:"timeline,omitempty"` // where one is shown: its attempts, the oldest first
	Request  *Request        `json:"request,omitempty"`  // the same: what would be sent now
}
