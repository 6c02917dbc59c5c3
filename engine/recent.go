package engine

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/event"
)

// recentEvents is how many events that rules have fired for are kept, to look at.
const recentEvents = 1024

// maxRecentValue is how many bytes of a value, and of arguments, are kept of one.
// An event that has more is kept as a copy.
const maxRecentValue = 2048

// recent keeps the last events that rules have fired for. Streams add, anybody
// reads.
type recent struct {
	next atomic.Uint64
	ring [recentEvents]atomic.Pointer[firedEvent]
}

// firedEvent is an event that a rule has fired for.
type firedEvent struct {
	rule string
	ev   *event.Event // owned
}

// note keeps an owned event for which a rule has fired.
func (s *stream) note(rule string, state *ruleState, ev *event.Event) {
	if ev.Key == nil {
		return
	}
	if isLarge(ev.Before) || isLarge(ev.After) || lenOf(ev.Args) > maxRecentValue {
		ev = ev.CloneCut(maxRecentValue)
	}
	fired := &firedEvent{rule, ev}
	state.lastEvent.Store(fired)
	r := &s.e.recent
	r.ring[(r.next.Add(1)-1)%recentEvents].Store(fired)
}

func isLarge(v event.Value) bool {
	if v == nil {
		return false
	}
	if v.Type() == "string" {
		return v.Len() > maxRecentValue
	}
	return v.Len() > maxRecentValue/64
}

func lenOf(list [][]byte) int {
	n := 0
	for _, b := range list {
		n += len(b)
	}
	return n
}

// LastEvent returns the last event of a key for which some rule has fired. The
// key is as text. The error is admin.ErrUnknown if none is kept.
func (e *Engine) LastEvent(key string) (*admin.LastEvent, error) {
	next := e.recent.next.Load()
	for i := range uint64(recentEvents) {
		f := e.recent.ring[(next-1-i)%recentEvents].Load()
		if f != nil && printable(f.ev.Key) == key {
			return f.show(), nil
		}
	}
	return nil, fmt.Errorf("%w: no rule has fired for the key %q lately: the last %d events are kept", admin.ErrUnknown, key, recentEvents)
}

func (f *firedEvent) show() *admin.LastEvent {
	ev := f.ev
	out := &admin.LastEvent{
		At: ev.Time, Rule: f.rule, Event: ev.Name, Key: printable(ev.Key), DB: ev.DB, Command: typed(ev, maxRecentValue),
		Before: excerptOf(ev.Before, maxExcerpt), After: excerptOf(ev.After, maxExcerpt),
	}
	if ev.Before != nil && ev.Before.Type() != "none" && !ev.Before.Truncated() {
		out.Given = event.AppendJSONValue(nil, ev.Before)
	}
	return out
}

// maxExcerpt is how many bytes are shown of a value, and of a command, to those
// who watch.
const maxExcerpt = 256

// excerptOf returns the beginning of a value.
func excerptOf(v event.Value, limit int) admin.Excerpt {
	if v == nil {
		return admin.Excerpt{}
	}
	x := admin.Excerpt{Known: true}
	switch v.Type() {
	case "none":
		x.None = true
	case "string":
		x.Text = cutText(printable(v.Prefix(limit)), limit, v.Len() > limit)
	default:
		part := event.CloneValue(v, limit)
		x.Text = cutText(string(event.AppendJSONValue(nil, part)), 4*limit, part.Truncated())
	}
	return x
}

// cutText returns at most limit bytes of a text, with an ellipsis where some are
// missing.
func cutText(text string, limit int, cut bool) string {
	if len(text) > limit {
		text, cut = strings.ToValidUTF8(text[:limit], ""), true
	}
	if cut {
		text += "…"
	}
	return text
}

// typed returns the beginning of an event's command as it is typed; "" if it is
// of none.
func typed(ev *event.Event, limit int) string {
	if ev.Command == "" {
		return ""
	}
	b := []byte(ev.Command)
	for _, a := range ev.Args {
		if len(b) > limit {
			break
		}
		b = append(b, ' ')
		b = appendTyped(b, a[:min(len(a), limit)])
	}
	return cutText(string(b), limit, ev.Cut || len(b) > limit)
}

// appendTyped appends an argument, in quotes if it has to be.
func appendTyped(dst, arg []byte) []byte {
	plain := len(arg) > 0
	for _, c := range arg {
		plain = plain && c > ' ' && c < 0x7f && c != '"' && c != '\'' && c != '\\'
	}
	if plain {
		return append(dst, arg...)
	}
	dst = append(dst, '"')
	for _, c := range arg {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < ' ' || c == 0x7f:
			dst = fmt.Appendf(dst, `\x%02x`, c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// lastMatchOf returns when a rule last matched; zero: it has not.
func (st *ruleState) lastMatchOf() time.Time {
	if ns := st.lastMatch.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}
