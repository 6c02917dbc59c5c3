package admin

import (
	"encoding/json"
	"time"
)

// Query selects deliveries or dead letters. The zero value selects all.
type Query struct {
	Action string // full name
	Rule   string
	Reason string // of dead letters: attempts, age, permanent, dropped, damaged

	Failing bool   // only pending firings that were attempted
	Before  uint64 // only numbers below this one; 0: from the latest on. For pending firings: only numbers above it
	Limit   int    // at most that many; 0: 100
}

// Delivery is a firing that waits, or that was delivered. Its JSON form is
// that of the API.
type Delivery struct {
	Number    uint64          `json:"number"` // its own, for ever
	State     string          `json:"state"`  // pending, delivered
	Action    string          `json:"action"`
	Rule      string          `json:"rule"`
	ID        string          `json:"id"`              // the firing's, the receiver's webhook-id
	Event     string          `json:"event,omitempty"` // not of delivered ones: their events are not kept
	Key       string          `json:"key,omitempty"`
	Attempts  int             `json:"attempts"`
	Planned   time.Time       `json:"planned"`
	Due       time.Time       `json:"due,omitzero"` // of the next attempt, if it has to wait for that
	LastError string          `json:"last_error,omitempty"`
	Excerpt   string          `json:"excerpt,omitempty"` // of the last response, or what a program wrote
	Delivered time.Time       `json:"delivered,omitzero"`
	Status    string          `json:"status,omitempty"` // what the receiver said
	Firing    json.RawMessage `json:"firing,omitempty"` // what is delivered; where one is shown, not where many are listed
}

// DeadLetter is a firing that was given up. Its JSON form is that of the API.
type DeadLetter struct {
	Number   uint64          `json:"number"`
	Action   string          `json:"action"`
	Rule     string          `json:"rule"`
	ID       string          `json:"id"`
	Reason   string          `json:"reason"` // attempts, age, permanent, dropped, damaged
	Error    string          `json:"error"`
	Excerpt  string          `json:"excerpt,omitempty"` // of the last response
	Event    string          `json:"event,omitempty"`
	Key      string          `json:"key,omitempty"`
	Attempts int             `json:"attempts"`
	Planned  time.Time       `json:"planned"`
	GivenUp  time.Time       `json:"given_up"`
	Firing   json.RawMessage `json:"firing,omitempty"` // what was to be delivered; null for what was dropped unseen
}
