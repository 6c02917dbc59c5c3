package keyspace

import "iter"

// Losses counts why values became unknown. A value that is not known is left
// out of events; it is known again once a command sets it whole, or a snapshot
// has it.
type Losses struct {
	Limit      int64 // Config.MaxMirror was reached, and the value that grew was dropped
	Source     int64 // it was made of keys that are not mirrored, or not known
	Mismatch   int64 // a command that cannot have done what the server did with the value that we have
	Malformed  int64 // a command without its arguments
	Undecided  int64 // a command whose result only the server knows (SORT .. BY, XTRIM MAXLEN ~)
	Unknown    int64 // a command that is not known named the key
	Script     int64 // a script came as it was sent, which may have changed any key
	Unreadable int64 // a payload of RESTORE, or a value of a snapshot, that cannot be read
	Opaque     int64 // the value is of a type that is not mirrored
	Snapshot   int64 // a snapshot ended before its time
	Rewound    int64 // a command that named the key was lost in a failover
}

// All gives each reason, as metrics and logs spell it, with its count.
func (l *Losses) All() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for _, r := range [...]struct {
			reason string
			n      int64
		}{
			{"limit", l.Limit}, {"source", l.Source}, {"mismatch", l.Mismatch}, {"malformed", l.Malformed}, {"undecided", l.Undecided},
			{"unknown_command", l.Unknown}, {"script", l.Script}, {"unreadable", l.Unreadable}, {"opaque", l.Opaque}, {"snapshot", l.Snapshot},
			{"rewound", l.Rewound},
		} {
			if !yield(r.reason, r.n) {
				return
			}
		}
	}
}

// Total is the sum of all reasons.
func (l *Losses) Total() (sum int64) {
	for _, n := range l.All() {
		sum += n
	}
	return sum
}

// Renewable is the sum of the reasons that a new snapshot makes up for. What is
// over the limit, or of a type that is not mirrored, stays unknown.
func (l *Losses) Renewable() int64 { return l.Total() - l.Limit - l.Opaque }

// LostSince brings losses up to date, and reports whether there were any since.
// It costs no more than comparing them.
func (in *Interpreter) LostSince(losses *Losses) bool {
	if in.stats.Lost == *losses {
		return false
	}
	*losses = in.stats.Lost
	return true
}
