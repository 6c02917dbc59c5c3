package rules

import (
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/robfig/cron/v3"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/secret"
	"triggerd/internal/timing"
)

// Options tells Load, Parse and Build what this package cannot know itself.
// The zero value is usable: nothing that needs an answer is checked then.
type Options struct {
	// Action checks the fields of one action of the given kind: those that are
	// the kind's own, expanded. Where its error, or an error that it joins,
	// has a method Field() string, that dotted path inside the action is the
	// place that is reported. Without an error it returns which parts of an
	// event the action reads, so that they are kept. nil: kinds and their fields
	// are not checked.
	Action func(kind string, fields map[string]any) (event.Parts, error)

	// Commands lists the server's commands, for suggestions, for @class and
	// for warnings about commands that never arrive. nil: names of commands
	// are not checked, and @class is an error.
	Commands []Command

	// Events lists the names of events, for suggestions. nil: not checked.
	Events []string

	// LookupEnv looks up a variable of the environment. nil: os.LookupEnv.
	LookupEnv func(string) (string, bool)
}

// Command is what is known of one command of the server.
type Command struct {
	Name    string   // upper case, with its subcommand where it has one: "XGROUP CREATE"
	Classes []string // "@string", "@write", ...
	Instead string   // not "": it never arrives in the replication stream; what to write instead
}

// Set is a rules file, checked and ready to match. Everything but the counters
// is fixed once it is made. It is safe for concurrent use; matching is done by
// a Matcher, of which each goroutine has its own.
type Set struct {
	Source   Source
	Store    Store
	HTTP     HTTP
	Rules    []*Rule  // in file order, included files where they are named; disabled rules too
	Tests    []*Test  // in file order, as rules
	Warnings []*Error // what is allowed but can hardly be meant
	Files    []string // every file that was read, as it was named; empty for Build

	SecretFiles []string // every file that ${file:} or ${credential:} stood for

	// ShutdownTimeout is how long attempts may take to end once triggerd was told
	// to stop; 10 s by default.
	ShutdownTimeout time.Duration

	// Secrets are the values that came from the environment or from files, but
	// for hosts: no text that people read may have one in it.
	Secrets *secret.Masker

	patterns []*Rule // the rules and, behind them, their cancel patterns: what is matched

	index *index
	needs *needIndex // nil: nothing is needed

	explain  sync.Mutex          // guards compiler
	compiler *condition.Compiler // of the file's conditions, to explain rules with
}

// Source is where events come from: the [source] section.
type Source struct {
	URL          string // redis:// rediss:// unix://; "" if the file does not say. May contain a password
	Start        Start  // StartResume by default
	Ack          string // none (the default), received, durable
	PsyncCommand string // PSYNC by default
	MaxMirror    int64  // bytes of memory for values of keys; 1 GiB by default
}

// Store is where deliveries wait: the [store] section.
type Store struct {
	Dir        string        // "triggerd-data" by default
	MaxPending int           // firings that may wait; 1,000,000 by default
	MaxBytes   int64         // of disk space; 0 if the file does not say: 10 GiB
	Retention  time.Duration // of settled deliveries and dead letters; 7 days by default
}

// HTTP is where a running daemon can be asked: the [http] section.
type HTTP struct {
	Listen string // host:port, "127.0.0.1:9797" by default; "": nowhere
	Token  string // what a client has to show; "": nothing, as long as Listen is a loopback address. A secret
}

// Rule is one [[rule]].
type Rule struct {
	Name        string
	Description string
	Tags        []string
	Severity    string // "" if the file does not say
	When        string // the condition as it is written; "" if there is none
	Enabled     bool   // a disabled rule never matches and has no schedule to keep
	DryRun      bool   // matches and is counted, but nothing is delivered
	Snapshot    bool   // matches the keys of a snapshot too
	Values      bool   // values are kept for its keys, and delivered, whether it reads them or not
	OnTime      bool   // its keys' "expired" is to come at their deadline: see NeedOnTime

	// Schedule, if not nil, makes this a rule of the clock: it matches no
	// event, and fires at each of the schedule's times.
	Schedule cron.Schedule

	// Time is what the rule says of time; nil if it says nothing, and no other
	// rule sums it up, and for a disabled rule. See Match.Role and Matcher.Keys.
	Time *timing.Rule

	Order    firing.Order    // of the firings of a key; firing.OrderKey by default
	Overflow firing.Overflow // when too many firings wait; firing.Block by default
	Actions  []*Action

	File      string // where the rule begins; Line is 0 for Build
	Line, Col int

	pattern
}

// Action is one [[rule.action]]: what to do with a match, and how hard to try.
type Action struct {
	Name   string         // unique within the rule: "name", else the target, else the kind, "-2" and so on after repeats
	Target string         // the [targets.NAME] that it uses; "" if it has its own fields
	Kind   string         // webhook, exec, log, ...
	Fields map[string]any // the kind's own, expanded; values as BurntSushi/toml gives them. Shared with other rules; may hold secrets

	Timeout     time.Duration // of one attempt
	Retry       Retry
	Concurrency int // attempts at the same time, over all rules where Target is set; 0 if the file does not say
	RateLimit   RateLimit
	Order       firing.Order // the rule's, unless the action says otherwise

	File      string // where the action begins; Line is 0 for Build
	Line, Col int

	reads event.Parts // what its templates read of an event
}

// RateLimit bounds how many attempts are made in a time, over all rules where
// a target has it. The zero value is no limit.
type RateLimit struct {
	Max int
	Per time.Duration
}

// Retry says how long a delivery is attempted. The wait before attempt n+1 is
// drawn between 0 and min(MaxBackoff, Backoff * 2^(n-1)).
type Retry struct {
	MaxAttempts int
	Backoff     time.Duration
	MaxBackoff  time.Duration
	MaxAge      time.Duration // since the event; 0: no limit
}

// Match is a rule and an event that it matched. It borrows the event.
type Match struct {
	Rule  *Rule
	Event *event.Event
	// Role is Fires but for rules with absent and cancel, and those with for.
	// See Matcher.Keys for the values by which such a rule keeps its states.
	Role timing.Role

	companion *Rule // the cancel pattern that matched; nil: Rule itself
}

// conditionCounts is how many events a rule's condition did not decide about.
type conditionCounts struct{ failed, notNumber atomic.Uint64 }

// ConditionErrors returns how many events the rule's condition could not be
// evaluated for, that of its cancel, or a by of its time fields. Such an event
// does not match.
func (r *Rule) ConditionErrors() uint64 {
	if r.counts == nil {
		return 0
	}
	return r.counts.failed.Load()
}

// NotNumbers returns for how many events the rule's condition, or that of its
// cancel, was neither true nor false since something is no number. What is not
// there is not counted. Such an event does not match.
func (r *Rule) NotNumbers() uint64 {
	if r.counts == nil {
		return 0
	}
	return r.counts.notNumber.Load()
}

// WantsSnapshot reports whether some enabled rule matches keys of a snapshot,
// so that values of a full resync have to be read at all.
func (s *Set) WantsSnapshot() bool {
	for _, r := range s.patterns {
		if r.Enabled && r.Snapshot {
			return true
		}
	}
	return false
}

func (o *Options) lookupEnv(name string) (string, bool) {
	if o.LookupEnv != nil {
		return o.LookupEnv(name)
	}
	return os.LookupEnv(name)
}
