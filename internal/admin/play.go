package admin

import (
	"context"
	"encoding/json"
	"time"
)

// Playground answers what rules would do that nobody uses. Nothing is sent, read
// or written for it. Any goroutine may call its methods.
type Playground interface {
	Check(ctx context.Context, q CheckQuestion) (*CheckAnswer, error)
	Test(ctx context.Context, q TestQuestion) (*TestAnswer, error)
	// Explain returns ErrQuery if a command is none, and ErrUnknown if there is no
	// such rule.
	Explain(ctx context.Context, q ExplainQuestion) (*ExplainAnswer, error)
}

// CheckQuestion is a rules file to be checked.
type CheckQuestion struct {
	Text string `json:"text"`
}

// CheckAnswer is what was found in a rules file. Its JSON form is that of triggerd
// check --json, with the names of the rules.
type CheckAnswer struct {
	OK       bool      `json:"ok"`
	Errors   []Finding `json:"errors"`
	Warnings []Finding `json:"warnings"`
	Notes    []Finding `json:"notes,omitempty"`
	Kept     []Kept    `json:"kept,omitempty"`
	Lookups  []Lookup  `json:"not_looked_up,omitempty"` // what is not looked up offline
	Rules    []string  `json:"rules,omitempty"`
}

// Kept is what is kept in memory of the keys of a pattern.
type Kept struct {
	Keys    string   `json:"keys"`   // "": all keys
	Values  bool     `json:"values"` // and not only type and deadline
	Reasons []string `json:"reasons"`
}

// Finding is a mistake or a warning.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 1-based; 0: unknown
	Col     int    `json:"col"`  // 1-based, in bytes
	Rule    string `json:"rule,omitempty"`
	Field   string `json:"field,omitempty"`
	Code    string `json:"code,omitempty"` // of a warning
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Lookup is something that rules need and that is not in their file.
type Lookup struct {
	What string `json:"what"` // variable, file, credential, program
	Name string `json:"name"`
}

// TestQuestion is a rules file of which the tests are run whose names contain Only.
type TestQuestion struct {
	Text string `json:"text"`
	Only string `json:"only,omitempty"`
}

// TestAnswer is what came of tests. If the rules have mistakes, none were run.
type TestAnswer struct {
	CheckAnswer
	Passed  int          `json:"passed"`
	Failed  int          `json:"failed"`
	Results []TestResult `json:"results"`
}

// TestResult is what came of one test.
type TestResult struct {
	Name        string   `json:"name"`
	Line        int      `json:"line,omitempty"`
	Passed      bool     `json:"passed"`
	Differences []string `json:"differences"`
}

// ExplainQuestion asks what a rule makes of commands.
type ExplainQuestion struct {
	Text     string   `json:"text"`
	Rule     string   `json:"rule"`
	Commands []string `json:"commands"`         // as they are typed; "+30m" moves the clock
	Before   string   `json:"before,omitempty"` // the value of the first command's key, as JSON; "": it is not there
	Start    string   `json:"start,omitempty"`  // when the clock begins, as in RFC 3339; "": now
	DB       int      `json:"db,omitempty"`
}

// ExplainAnswer is what a rule makes of commands. If the rules have mistakes,
// there are no steps.
type ExplainAnswer struct {
	CheckAnswer
	Rule    string   `json:"rule,omitempty"`
	FoundBy []string `json:"found_by,omitempty"` // how the index finds the rule
	Fires   int      `json:"fires"`
	Steps   []Step   `json:"steps"`
	Cut     bool     `json:"cut,omitempty"` // there is more, which is not told
}

// Step is what a rule makes of a command, or of a pause.
type Step struct {
	Command   string    `json:"command,omitempty"`
	Pause     string    `json:"pause,omitempty"`
	At        time.Time `json:"at"` // of the clock, after it
	ArrivesAs string    `json:"arrives_as,omitempty"`
	Withheld  string    `json:"withheld,omitempty"`
	Fired     []Fired   `json:"fired"` // by time alone
	Events    []Event   `json:"events"`
}

// Event is what a rule makes of an event.
type Event struct {
	Event    string  `json:"event"`
	Key      *string `json:"key"` // null: it is of no key
	DB       int     `json:"db"`
	Known    bool    `json:"known"` // Before or After is
	Before   Excerpt `json:"before,omitzero"`
	After    Excerpt `json:"after,omitzero"`
	Checks   []Check `json:"checks"`
	Matches  bool    `json:"matches"`
	Withheld string  `json:"withheld,omitempty"`
	Fired    []Fired `json:"fired"`
}

// Check is one thing that a rule asks of an event.
type Check struct {
	Field string `json:"field"`
	Want  string `json:"want"`
	Got   string `json:"got"`
	OK    bool   `json:"ok"`
	Saw   []Seen `json:"saw"`
}

// Seen is what a part of a condition looked at.
type Seen struct {
	Source string `json:"source"`
	Value  string `json:"value"`
}

// Fired is one firing.
type Fired struct {
	DryRun   bool       `json:"dry_run,omitempty"`
	Requests []Rendered `json:"requests"`
}

// Rendered is what an action would send, without secrets: an object with action,
// and call, named and body, or error.
type Rendered struct {
	Action  string          `json:"action"`
	Preview json.RawMessage `json:"-"`
	Error   string          `json:"error,omitempty"`
}

// MarshalJSON implements json.Marshaler: the members of the preview stand beside
// the action's name.
func (r Rendered) MarshalJSON() ([]byte, error) {
	type plain Rendered
	b, err := json.Marshal(plain(r))
	if err != nil || len(r.Preview) < 2 || r.Preview[0] != '{' {
		return b, err
	}
	if string(r.Preview) == "{}" {
		return b, nil
	}
	return append(append(b[:len(b)-1], ','), r.Preview[1:]...), nil
}
