package actions

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"triggerd/internal/event"
)

var logKind = Kind{
	Name: "log", Doc: "writes a line to triggerd's log", Concurrency: 1, make: newLog,
	Fields: []Field{
		{Name: "level", Values: []string{"debug", "info", "warn", "error"}, Default: `"info"`},
		{Name: "message", Template: true, Default: `"{{.event}} {{.key}}"`},
	},
}

// logAction writes one slog record per firing.
//
// The message is what the user wrote, with the data in it; the attributes
// rule, event, key, db, offset and firing are there for machines, and of rules
// with time fields status, by, count and suppressed where they are set.
// Unprintable bytes are escaped in both, so that data cannot forge a line. A
// secret in the text that the user wrote is masked; the data is as it is.
type logAction struct {
	handler slog.Handler
	level   slog.Level
	message *tmpl // nil: the default, which most rules keep
}

// maxLogText is where a message or a key is cut in a log record: a key may be
// 512 MB long, and a log is read by people.
const maxLogText = 4 << 10

func newLog(d *fields, o Options) Action {
	a := &logAction{handler: o.Logger.Handler()}
	level := d.choice("level", "info", "debug", "warn", "error")
	_ = a.level.UnmarshalText([]byte(level)) // the four names are slog's own
	if text, ok := d.text("message", ""); ok {
		if strings.TrimSpace(text) == "" {
			d.fail("message", "is empty; leave it out for %q", "{{.event}} {{.key}}")
		}
		a.message = d.template("message", text, plain)
		a.message.mask(o.Secrets)
	}
	return a
}

// Reads is what the message reads.
func (a *logAction) Reads() event.Parts { return a.message.reads() }

// text renders the message.
func (a *logAction) text(f *Firing) (string, error) {
	if a.message == nil {
		return f.Event.Name + " " + shortText(f.Event.Key, maxLogText), nil
	}
	message, err := a.message.render(&view{firing: f}, maxBody)
	if err != nil {
		return "", fmt.Errorf("message: %w", err)
	}
	return shortText(message, maxLogText), nil
}

// Do returns the handler's error: slog.Logger would swallow it, and a log that
// cannot be written is a delivery that did not happen. A record below the
// logger's level counts as written.
func (a *logAction) Do(ctx context.Context, f *Firing) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	message, err := a.text(f)
	if err != nil {
		return Result{}, Unsent(err)
	}
	if !a.handler.Enabled(ctx, a.level) {
		return Result{}, nil
	}
	r := slog.NewRecord(time.Now(), a.level, message, 0)
	r.AddAttrs(slog.String("rule", f.Rule), slog.String("event", f.Event.Name))
	if f.Event.Key != nil {
		r.AddAttrs(slog.String("key", shortText(f.Event.Key, maxLogText)))
	}
	r.AddAttrs(slog.Int("db", f.Event.DB), slog.Int64("offset", f.Event.Offset), slog.String("firing", shortText(f.ID, maxLogText)))
	r.AddAttrs(timingAttrs(f)...)
	if err := a.handler.Handle(ctx, r); err != nil {
		return Result{}, fmt.Errorf("write log record: %w", err)
	}
	return Result{}, nil
}

// timingAttrs are the attributes of a firing of a rule with time fields.
func timingAttrs(f *Firing) (attrs []slog.Attr) {
	if f.Status != "" {
		attrs = append(attrs, slog.String("status", f.Status))
	}
	if f.By != "" {
		attrs = append(attrs, slog.String("by", shortText(f.By, maxLogText)))
	}
	if f.Count != 0 {
		attrs = append(attrs, slog.Int("count", f.Count))
	}
	if f.Suppressed != 0 {
		attrs = append(attrs, slog.Int("suppressed", f.Suppressed))
	}
	return attrs
}

// shortText returns b as event.AppendText shows it, cut after about limit bytes
// of b with a note of how many are missing.
func shortText[T ~string | ~[]byte](b T, limit int) string { return shortOf(b, limit, 0) }

// shortOf is shortText of the beginning of a text, of which more bytes are left.
func shortOf[T ~string | ~[]byte](b T, limit, more int) string {
	head, left := cut(b, limit)
	return string(event.AppendText(nil, head)) + missing(left+more)
}

// missing tells of bytes that were cut off.
func missing(left int) string {
	if left == 0 {
		return ""
	}
	return fmt.Sprintf("...(+%d bytes)", left)
}

// cut returns the first limit bytes of b, or up to three fewer where that would
// split a character, and how many bytes are left.
func cut[T ~string | ~[]byte](b T, limit int) (head T, left int) {
	if len(b) <= limit {
		return b, 0
	}
	n := limit
	for n > limit-3 && b[n]&0xC0 == 0x80 { // a continuation byte
		n--
	}
	return b[:n], len(b) - n
}
