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
	"triggerd/internal/glob"
	"triggerd/internal/secret"
	"triggerd/internal/timing"
)

// Options tells Load, Parse and Build what this package cannot know. The zero
// value is usable: what would need an answer is not checked then.
type Options struct {
	// Action checks the fields of one action of the given kind: those that are
	// the kind's own, expanded. Where its error, or an error that it joins,
	// has a method Field() string, that dotted path inside the action is the
	// place that is reported. nil: kinds and their fields are not checked.
	Action func(kind string, fields map[string]any) (ActionFacts, error)

	// Commands lists the server's commands, for suggestions, for @class, and
	// for warnings about commands that never arrive. nil: names of commands are
	// not checked, and @class is an error.
	Commands []Command

	// Events lists the names of events, for suggestions. nil: not checked.
	Events []string

	// Source checks the URL of [source], expanded, with its user and password in
	// it. nil: not checked.
	Source func(url string) error

	// Kinds lists the kinds of actions, to tell whoever names none, and to keep
	// secrets out of messages.
	Kinds []Kind

	// Feed checks a command in the feed of a test, and returns what is wrong with
	// it, and what to do about it; "" for nothing. nil: not checked.
	Feed func(command string) (mistake, hint string)

	// Allow has codes of warnings that are not reported; see WarningCodes.
	Allow []string

	// Offline has no variable of the environment, no file but the rules', and no
	// program looked up. Set.Lookups lists what would have been, and a value that
	// depends on it is not checked.
	Offline bool

	// NoInclude refuses to include files.
	NoInclude bool

	// MaxMistakes limits how many mistakes are found, and of warnings and notes as
	// many each. 0: all are.
	MaxMistakes int

	// MaxPatterns limits the regular expressions of all rules, as
	// condition.Config.MaxPatterns does. 0: only each by itself is limited.
	MaxPatterns int

	// Reads, if it is not nil, is told of each file that the rules, or one of
	// their secrets, are read from, and of each pattern of an include: also of what
	// is not there, and where there are mistakes, so that one can see when it would
	// be worth to read them again.
	Reads func(path string, isPattern bool)

	// LookupEnv looks up a variable of the environment. nil: os.LookupEnv.
	LookupEnv func(string) (string, bool)
}

// Command describes one command of the server.
type Command struct {
	Name    string   // upper case, with its subcommand if it has one: "XGROUP CREATE"
	Classes []string // "@string", "@write", ...
	Instead string   // not "": the command is never replicated; what to write instead
	Events  []string // that it makes; nil: not known
	Types   []string // that a key of these may have afterwards, "none" among them; nil: any
}

// Kind describes one kind of action.
type Kind struct {
	Name    string
	Secrets []string // names of the fields, those of tables too, whose texts are secrets

	// Templates and URLs are the dotted paths of the fields whose texts are
	// templates, and URLs. That of a table stands for all that is in it.
	Templates, URLs []string

	// Tables are the dotted paths of the fields that are tables of texts with
	// names of the user's own: headers, variables, parameters.
	Tables []string
}

// Set is a rules file, checked and ready to match. Only its counters change
// once it is made. It is safe for concurrent use. A Matcher matches, and each
// goroutine needs its own.
type Set struct {
	Source   Source
	Store    Store
	HTTP     HTTP
	Defaults Defaults
	Rules    []*Rule  // in file order, included files where they are named; disabled rules too
	Tests    []*Test  // in file order, as rules
	Warnings []*Error // mistakes that are allowed, but hardly meant
	Notes    []*Error // what is as it should be, and may surprise
	Files    []string // every file that was read, as it was named; empty for Build

	Lookups    []Lookup // what was not looked up, of Options.Offline; each once
	EmptyFiles []string // of Files, those that say nothing

	// ShutdownTimeout is how long attempts may take to end once triggerd was told
	// to stop; 10 s by default.
	ShutdownTimeout time.Duration

	// Secrets are the values that came from the environment or from files,
	// except hosts. No text for people may contain one.
	Secrets *secret.Masker

	patterns []*Rule // what is matched: the rules, and after them their cancel patterns

	index *index
	needs *needIndex // nil: nothing is needed

	elements []string // see Elements
	kept     []Kept   // see Kept

	texts []sourceText // see Text

	explain  sync.Mutex          // guards compiler
	compiler *condition.Compiler // of the file's conditions, to explain rules with
}

// Source is where events come from: the [source] section.
type Source struct {
	URL          string // redis:// rediss:// redis+sentinel:// unix://; "" if the file does not say. May contain a password
	User         string // who to be, where the URL does not say
	Password     string // of User, or of everybody; a secret
	Start        Start  // StartResume by default
	Ack          string // none (the default), received, spooled, durable
	PsyncCommand string // PSYNC by default
	MaxMirror    int64  // bytes of memory for values of keys; 1 GiB by default
	Spool        int64  // bytes of disk for what is received and not handled; 0: in memory only; 1 GiB by default

	SentinelUser     string        // who to be to Sentinels
	SentinelPassword string        // a secret
	Prefer           string        // primary (the default), replica: of the servers that Sentinels know
	Announce         string        // host:port under which triggerd answers Sentinels; "": it does not
	SentinelHello    bool          // rules see what Sentinels publish to each other
	ForeignWait      time.Duration // how long a server with another history is not believed; 15 s by default
	Rewound          string        // deliver (the default), cancel: what becomes of firings of writes that were lost in a failover
}

// Store is where deliveries wait: the [store] section.
type Store struct {
	Dir        string        // "triggerd-data" by default
	MaxPending int           // firings that may wait; 1,000,000 by default
	MaxBytes   int64         // of disk space; 0 if the file does not say: 10 GiB
	Retention  time.Duration // of settled deliveries and dead letters; 7 days by default

	KeepDelivered int64 // bytes of disk for deliveries that are kept whole; 0: none is; 256 MiB by default
}

// HTTP is where a running daemon can be asked: the [http] section.
type HTTP struct {
	Listen string // host:port, "127.0.0.1:9797" by default; "": nowhere
	Token  string // what a client has to show; "": nothing, as long as Listen is a loopback address. A secret

	MaxBehind  time.Duration // how old what is received and not handled may be for /readyz; 0: no matter; 1 minute by default
	ReadToken  string        // what a client may show that changes nothing; "": there is none. A secret
	ShowValues bool          // true by default; false: the API answers without values of data
}

// Defaults is what actions have that do not say otherwise: the [defaults]
// section.
type Defaults struct {
	Timeout time.Duration
	Retry   Retry
}

// Rule is one [[rule]].
type Rule struct {
	Name        string
	Description string
	Tags        []string
	Severity    string // "" if the file does not say
	When        string // the condition as it is written; "" if there is none
	Enabled     bool   // a disabled rule never matches, and its schedule never runs
	DryRun      bool   // matches and is counted, but nothing is delivered
	Snapshot    bool   // matches keys of a snapshot too
	Values      bool   // values of its keys are kept and delivered, even if it does not read them; see valuesByDefault
	OnTime      bool   // the "expired" of its keys comes at their deadline: see NeedOnTime

	// Schedule, if not nil, makes this a rule that the clock fires at each of
	// the schedule's times. It matches no event.
	Schedule cron.Schedule

	// Time is the rule's time fields. It is nil if there are none and no other
	// rule sums it up, and for a disabled rule. See Match.Role and
	// Matcher.Keys.
	Time *timing.Rule

	Order    firing.Order    // of the firings of a key; firing.OrderKey by default
	Overflow firing.Overflow // when too many firings wait; firing.Block by default
	Actions  []*Action

	// Digest tells the rule from another one of its name: it changes with what
	// the file says of the rule, its targets, and of the macros, lists and windows.
	Digest string

	File      string // where the rule begins; Line is 0 for Build
	Line, Col int

	pattern
}

// ActionFacts is what a kind tells of an action without mistakes. The zero value
// tells nothing.
type ActionFacts struct {
	Reads      event.Parts // the parts of an event that it reads, so that they are kept
	Elements   []string    // the names of elements of values that it reads
	Params     []string    // the names that it reads of what a key pattern captures
	Others     [][]string  // the other keys whose values it reads: texts of their names, with anything between two of them
	Tracks     bool        // it opens what a later firing closes: their order matters
	SendsEvent bool        // it sends the event as a whole, with the values that are known
	Warnings   []error     // placed as errors are; each has a method WarningCode() string
}

// Action is one [[rule.action]]: what to do with a match, and how often to try.
type Action struct {
	Name   string         // unique within the rule: "name", else the target, else the kind, "-2" and so on after repeats
	Target string         // the [targets.NAME] that it uses; "" if it has its own fields
	Kind   string         // webhook, exec, log, ...
	Fields map[string]any // the kind's own, expanded; values as BurntSushi/toml gives them. Shared with other rules; may hold secrets

	Timeout     time.Duration // of one attempt
	Retry       Retry
	Concurrency int // attempts at once, over all rules if Target is set; 0 if the file does not say
	RateLimit   RateLimit
	Order       firing.Order // the rule's, unless the action says otherwise

	File      string // where the action begins; Line is 0 for Build
	Line, Col int

	reads      event.Parts     // the parts of an event that its templates read
	elements   []string        // the names of elements of values that they read
	params     []string        // the names that they read of what the rule's key captures
	others     []*glob.Pattern // the other keys whose values they read
	sendsEvent bool            // see ActionFacts
	tracks     bool            // see ActionFacts
}

// RateLimit limits the attempts within a time, over all rules if a target has
// it. The zero value is no limit.
type RateLimit struct {
	Max int
	Per time.Duration
}

// Retry says how long a delivery is attempted. The pause before attempt n+1 is
// random, between 0 and min(MaxBackoff, Backoff * 2^(n-1)).
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
	// Role is Fires, except for rules with absent and cancel, and with for.
	// Matcher.Keys has the values by which such a rule keeps its states.
	Role timing.Role

	cancelPattern *Rule // the cancel pattern that matched; nil: Rule itself
}

// conditionCounts is how many events a rule's condition did not decide about.
type conditionCounts struct{ failed, notNumber atomic.Uint64 }

// ConditionErrors returns for how many events the rule's condition, that of its
// cancel, or a by of its time fields failed. Such an event does not match.
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

// WantsSnapshot reports whether some enabled rule matches keys of a snapshot.
// If not, a full resync need not hand out keys for rules to fire.
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
