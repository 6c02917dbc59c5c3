package event

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends e, delivered as d says, as one CloudEvents 1.0 structured
// event on one line, and returns the extended slice. Bytes that are not UTF-8
// appear as {"$base64":"..."}; a subject has to be a string, so it is left out
// for a key that is not UTF-8, and for events that concern no key.
//
// "before" and "after" are null where the key was, or is, not there. Where the
// value is not known they are null too, and "unknown" names them. They are
// written whole: CloneCut cuts what is too long, and "truncated" says so.
// "redelivered" is true, and else not there. "ttl_ms" is null where the key has no deadline, or none that is known. "part"
// is there only where Part is set.
//
// What a rule with time fields adds is there only where it is set: "status" with
// "since" and "duration", in milliseconds, "by", "count", "first", "last", "suppressed", "events" of a batch, each with
// "id", "time" and its "status" beside what the data tells of an event, and "summary".
func AppendJSON(dst []byte, e *Event, d Delivery) []byte {
	dst = slices.Grow(dst, e.jsonSize()+len(d.ID)+2*len(d.Rule))
	dst = append(dst, `{"specversion":"1.0","id":`...)
	dst = appendString(dst, d.ID)
	dst = append(dst, `,"type":`...)
	dst = appendString(dst, e.cloudEventType())
	dst = append(dst, `,"source":`...)
	dst = appendString(dst, e.Source+"/"+strconv.Itoa(e.DB))
	if e.Key != nil && utf8.Valid(e.Key) {
		dst = append(dst, `,"subject":`...)
		dst = appendString(dst, e.Key)
	}
	dst = append(dst, `,"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = append(dst, `","datacontenttype":"application/json","data":{"rule":`...)
	dst = appendString(dst, d.Rule)
	dst = append(dst, ',')
	dst = e.appendChange(dst, d.Params)
	dst = append(dst, `,"attempt":`...)
	dst = strconv.AppendInt(dst, int64(d.Attempt), 10)
	if d.Rewound {
		dst = append(dst, `,"rewound":true`...)
	}
	if d.Redelivered {
		dst = append(dst, `,"redelivered":true`...)
	}
	dst = e.appendTruncated(dst)
	dst = d.Timing.appendJSON(dst)
	return append(dst, `}}`...)
}

// jsonSize is about how much the JSON of an ordinary event takes.
func (e *Event) jsonSize() int {
	n := 640 + 2*len(e.Key) + len(e.Source) + len(e.ReplID)
	for _, a := range e.Args {
		n += len(a) + 3
	}
	return n + len(e.Tx.ID)
}

// appendChange appends what an event tells, as the members of an object.
func (e *Event) appendChange(dst []byte, params map[string]string) []byte {
	dst = append(dst, `"event":`...)
	dst = appendString(dst, e.Name)
	dst = append(dst, `,"cause":`...)
	dst = appendOrNull(dst, string(e.Cause))
	dst = append(dst, `,"command":`...)
	dst = appendOrNull(dst, e.Command)
	dst = append(dst, `,"args":`...)
	dst = appendList(dst, e.Args)
	dst = e.Part.appendJSON(dst)
	dst = append(dst, `,"db":`...)
	dst = strconv.AppendInt(dst, int64(e.DB), 10)
	dst = append(dst, `,"key":`...)
	if e.Key == nil {
		dst = append(dst, "null"...)
	} else {
		dst = AppendJSONBytes(dst, e.Key)
	}
	dst = append(dst, `,"key_type":`...)
	dst = appendOrNull(dst, e.Type)
	dst = append(dst, `,"before":`...)
	dst = AppendJSONValue(dst, e.Before)
	dst = append(dst, `,"after":`...)
	dst = AppendJSONValue(dst, e.After)
	dst = append(dst, e.unknownJSON()...)
	dst = append(dst, `,"changed":`...)
	dst = appendList(dst, e.Changed)
	dst = append(dst, `,"ttl_ms":`...)
	if e.TTL > 0 {
		dst = strconv.AppendInt(dst, e.TTL, 10)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"params":{`...)
	for i, name := range slices.Sorted(maps.Keys(params)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = AppendJSONBytes(dst, params[name])
	}
	dst = append(dst, `},"tx":`...)
	dst = e.Tx.appendJSON(dst)
	dst = append(dst, `,"origin":`...)
	dst = appendString(dst, e.Origin)
	dst = append(dst, `,"replid":`...)
	dst = appendOrNull(dst, e.ReplID)
	dst = append(dst, `,"offset":`...)
	return strconv.AppendInt(dst, e.Offset, 10)
}

func (e *Event) appendTruncated(dst []byte) []byte {
	truncated := e.Cut || e.Before != nil && e.Before.Truncated() || e.After != nil && e.After.Truncated()
	return strconv.AppendBool(append(dst, `,"truncated":`...), truncated)
}

// appendJSON appends members, each after a comma.
func (t *Timing) appendJSON(dst []byte) []byte {
	dst = appendStatus(dst, t.Status, t.Since, t.Duration)
	if t.By != "" {
		dst = append(dst, `,"by":`...)
		dst = AppendJSONBytes(dst, t.By)
	}
	if t.Count != 0 {
		dst = append(dst, `,"count":`...)
		dst = strconv.AppendInt(dst, int64(t.Count), 10)
	}
	if !t.First.IsZero() {
		dst = append(dst, `,"first":`...)
		dst = appendTime(dst, t.First)
	}
	if !t.Last.IsZero() {
		dst = append(dst, `,"last":`...)
		dst = appendTime(dst, t.Last)
	}
	if t.Suppressed != 0 {
		dst = append(dst, `,"suppressed":`...)
		dst = strconv.AppendInt(dst, int64(t.Suppressed), 10)
	}
	if len(t.Batch) > 0 {
		dst = append(dst, `,"events":[`...)
		for i := range t.Batch {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = t.Batch[i].appendJSON(dst)
		}
		dst = append(dst, ']')
	}
	if len(t.Summary) > 0 {
		dst = append(dst, `,"summary":[`...)
		for i := range t.Summary {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = t.Summary[i].appendJSON(dst)
		}
		dst = append(dst, ']')
	}
	return dst
}

func (it *Item) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, it.ID)
	dst = append(dst, ',')
	dst = it.Event.appendWithTime(dst, it.Params)
	dst = appendStatus(dst, it.Status, it.Since, it.Duration)
	return append(dst, '}')
}

// appendStatus appends members, each after a comma. A duration is in
// milliseconds.
func appendStatus(dst []byte, status string, since time.Time, d time.Duration) []byte {
	if status == "" {
		return dst
	}
	dst = append(dst, `,"status":`...)
	dst = appendString(dst, status)
	if since.IsZero() {
		return dst
	}
	dst = append(dst, `,"since":`...)
	dst = appendTime(dst, since)
	if status != StatusResolved {
		return dst
	}
	dst = append(dst, `,"duration":`...)
	return strconv.AppendInt(dst, d.Milliseconds(), 10)
}

func (l *Line) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"rule":`...)
	dst = appendString(dst, l.Rule)
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, int64(l.Count), 10)
	dst = append(dst, `,"suppressed":`...)
	dst = strconv.AppendInt(dst, int64(l.Suppressed), 10)
	dst = append(dst, `,"first":`...)
	dst = appendTime(dst, l.First)
	dst = append(dst, `,"last":`...)
	dst = appendTime(dst, l.Last)
	if l.Event == nil {
		return append(dst, `,"event":null}`...)
	}
	dst = append(dst, `,"event":{`...)
	dst = l.Event.appendWithTime(dst, l.Params)
	return append(dst, `}}`...)
}

// appendWithTime appends the members of an event that is not the firing's own,
// whose time is beside its data.
func (e *Event) appendWithTime(dst []byte, params map[string]string) []byte {
	dst = append(dst, `"time":`...)
	dst = appendTime(dst, e.Time)
	dst = append(dst, ',')
	dst = e.appendChange(dst, params)
	return e.appendTruncated(dst)
}

// appendTime appends a time, or null for the zero time.
func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, "null"...)
	}
	return t.UTC().AppendFormat(dst, `"2006-01-02T15:04:05.000Z"`)
}

func appendList(dst []byte, list [][]byte) []byte {
	dst = append(dst, '[')
	for i, b := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendJSONBytes(dst, b)
	}
	return append(dst, ']')
}

// unknownJSON names what is not known of a key.
func (e *Event) unknownJSON() string {
	switch {
	case e.Key == nil:
		return ""
	case e.Before == nil && e.After == nil:
		return `,"unknown":["before","after"]`
	case e.Before == nil:
		return `,"unknown":["before"]`
	case e.After == nil:
		return `,"unknown":["after"]`
	}
	return ""
}

// cloudEventType is the CloudEvents "type": what a router of events looks at.
func (e *Event) cloudEventType() string {
	if e.Key != nil {
		return "redis.key.changed"
	}
	return "redis." + e.Name
}

func (t Tx) appendJSON(dst []byte) []byte {
	if t.ID == "" {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, t.ID)
	dst = append(dst, `,"index":`...)
	dst = strconv.AppendInt(dst, int64(t.Index), 10)
	dst = append(dst, `,"size":`...)
	dst = strconv.AppendInt(dst, int64(t.Size), 10)
	return append(dst, '}')
}

// appendJSON appends a member after a comma, or nothing.
func (p Part) appendJSON(dst []byte) []byte {
	if p.Size == 0 {
		return dst
	}
	dst = strconv.AppendInt(append(dst, `,"part":{"index":`...), int64(p.Index), 10)
	dst = strconv.AppendInt(append(dst, `,"size":`...), int64(p.Size), 10)
	return append(dst, '}')
}

func appendOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return appendString(dst, s)
}

// AppendJSONBytes appends b as a JSON string, or, where b is not UTF-8, as
// {"$base64":"..."}.
func AppendJSONBytes[T ~string | ~[]byte](dst []byte, b T) []byte {
	if !utf8.ValidString(string(b)) {
		dst = append(dst, `{"$base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, []byte(b))
		return append(dst, `"}`...)
	}
	return appendString(dst, b)
}

// appendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, `\ufffd`...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// AppendText appends b for a person to read on a terminal or in a log: UTF-8
// text as it is, and what is unprintable or not UTF-8 escaped as in a Go
// string, without quotes.
func AppendText[T ~string | ~[]byte](dst []byte, b T) []byte {
	n := len(dst)
	dst = strconv.AppendQuote(dst, string(b))
	copy(dst[n:], dst[n+1:])
	return dst[:len(dst)-2]
}
