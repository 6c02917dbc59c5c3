package firing

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/event"
)

// ID names a firing: "TRIGGER:RULE/ACTION". The same input gives the same ID,
// after any restart, so it is the receiver's idempotency key. "" is no ID.
type ID string

// Trigger names what fired. It is the beginning of the IDs of its firings:
//
//	replid:offset/n        the n-th event of the command that ends at offset
//	replid:offset/sN       the n-th event that the snapshot revealed that was taken at offset
//	snapshot:N/hash        a key of a snapshot, by its hash; N numbers the attachment
//	expired:ms/hash        a key, by its hash, that expired on time
//	absent:ms/hash         an absence, by the hash of the value of "by"
//	resolved:hash/hash     the end of what the trigger with the first hash began; the other is of the key
//	clock:ms/0             the run of a schedule
type Trigger string

// TriggerOf returns the trigger of an event.
func TriggerOf(ev *event.Event) Trigger { return Trigger(appendTrigger(make([]byte, 0, 64), ev)) }

// TriggerHash returns a hash of the trigger of an event, which is the same in
// every process.
func TriggerHash(ev *event.Event) uint64 {
	var buf [128]byte
	return hash64(appendTrigger(buf[:0], ev))
}

// hash64 is FNV-1a.
func hash64[T ~string | ~[]byte](text T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

func appendTrigger(id []byte, ev *event.Event) []byte {
	if ev.Origin == event.FromClock { // an expiry on time
		id = append(id, "expired:"...)
		id = strconv.AppendInt(id, ev.Time.UnixMilli(), 10)
		id = append(id, '/')
		return strconv.AppendUint(id, KeyHash(ev.DB, ev.Key), 36)
	}
	if ev.Origin == event.FromSnapshot {
		id = append(id, "snapshot:"...)
		id = strconv.AppendInt(id, int64(ev.Index), 10)
		id = append(id, '/')
		return strconv.AppendUint(id, KeyHash(ev.DB, ev.Key), 36)
	}
	id = append(append(id, ev.ReplID...), ':')
	id = strconv.AppendInt(id, ev.Offset, 10)
	id = append(id, '/')
	if ev.Origin == event.FromResync {
		id = append(id, 's') // a command that ends at the same offset has numbers of its own
	}
	return strconv.AppendInt(id, int64(ev.Index), 10)
}

// AbsentTrigger returns the trigger of an absence that was noticed at a time in
// milliseconds since 1970, for a value of the rule's "by".
func AbsentTrigger(ms int64, by string) Trigger {
	return Trigger("absent:" + strconv.FormatInt(ms, 10) + "/" + strconv.FormatUint(hash64(by), 36))
}

// ResolvedTrigger returns the trigger of the end of what has begun with the
// trigger that has the hash began, for a value that tells the rule's keys apart.
// So what has begun once ends once, whatever ends it.
func ResolvedTrigger(began uint64, by string) Trigger {
	return Trigger("resolved:" + strconv.FormatUint(began, 36) + "/" + strconv.FormatUint(hash64(by), 36))
}

// RunTrigger returns the trigger of a schedule's run at a time in milliseconds
// since 1970.
func RunTrigger(ms int64) Trigger { return Trigger("clock:" + strconv.FormatInt(ms, 10) + "/0") }

// Due returns when what the clock has fired was due: an expiry on time, an absence,
// a run of a schedule. It returns false for all else.
func (t Trigger) Due() (at time.Time, ok bool) {
	kind, rest, _ := strings.Cut(string(t), ":")
	switch kind {
	case "expired", "absent", "clock":
		text, _, _ := strings.Cut(rest, "/")
		ms, err := strconv.ParseInt(text, 10, 64)
		return time.UnixMilli(ms), err == nil
	}
	return time.Time{}, false
}

// Firing returns the ID of the firing that t makes for an action of a rule.
func (t Trigger) Firing(rule, action string) ID { return ID(string(t) + ":" + rule + "/" + action) }

// String returns the text of t.
func (t Trigger) String() string { return string(t) }

var errID = errors.New("not the ID of a firing")

// ParseID checks that s has the form of an ID.
func ParseID(s string) (ID, error) {
	if id := ID(s); id.Rule() != "" && id.Action() != "" && strings.Contains(string(id.Trigger()), ":") {
		return id, nil
	}
	return "", fmt.Errorf("%w: %.100q", errID, s)
}

// IsZero reports whether id is no ID.
func (id ID) IsZero() bool { return id == "" }

// String returns the text of id.
func (id ID) String() string { return string(id) }

// Trigger returns the trigger of the firing.
func (id ID) Trigger() Trigger {
	o, _ := id.cut()
	return o
}

// Rule returns the name of the rule.
func (id ID) Rule() string {
	_, rest := id.cut()
	rule, _, _ := strings.Cut(rest, "/")
	return rule
}

// Action returns the name of the action within its rule.
func (id ID) Action() string {
	_, rest := id.cut()
	_, action, _ := strings.Cut(rest, "/")
	return action
}

// ReplID returns the replication ID that the event's offset belongs to, "" for
// a firing that the clock has made.
func (id ID) ReplID() string {
	head, _, _ := strings.Cut(string(id), ":")
	switch head {
	case "expired", "absent", "clock", "snapshot", "resolved":
		return ""
	}
	return head
}

// cut splits id into the trigger and "RULE/ACTION". A trigger has one slash, and
// no colon after it.
func (id ID) cut() (Trigger, string) {
	slash := strings.IndexByte(string(id), '/')
	if slash < 0 {
		return "", ""
	}
	colon := strings.IndexByte(string(id[slash:]), ':')
	if colon < 0 {
		return "", ""
	}
	return Trigger(id[:slash+colon]), string(id[slash+colon+1:])
}

// KeyHash returns a hash of a database and a key. It is the same in every
// process.
func KeyHash(db int, key []byte) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for i := range b {
		b[i] = byte(uint64(db) >> (8 * i))
	}
	h.Write(b[:])
	h.Write(key)
	return h.Sum64()
}
