package log

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/excerpt"
	"triggerd/internal/firing"
	"triggerd/internal/secret"
	"triggerd/internal/tmpl"
)

// Kind is the kind log.
var Kind = actions.Kind{
	Name: "log", Doc: "writes a line to triggerd's log", Concurrency: 1, New: newLog,
	Fields: []actions.Field{
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
	message *tmpl.Template // nil: the default, which most rules keep
	masker  *secret.Masker
}

// maxLogText is where a message or a key is cut in a log record: a key may be
// 512 MB long, and a log is read by people.
const maxLogText = 4 << 10

func newLog(s *actions.Settings) (actions.Action, error) {
	a := &logAction{handler: s.Logger.Handler(), masker: s.Secrets}
	level, _ := s.Choice("level")
	_ = a.level.UnmarshalText([]byte(level)) // the four names are slog's own
	if text, ok := s.Text("message"); ok {
		if strings.TrimSpace(text) == "" {
			s.Fail("message", "is empty; leave it out for %q", "{{.event}} {{.key}}")
		}
		a.message = s.Template("message", text)
		a.message.Mask(s.Secrets)
	}
	return a, nil
}

// Reads is what the message reads.
func (a *logAction) Reads() event.Parts { return a.message.Reads() }

// Elements is what it reads of values.
func (a *logAction) Elements() []string { return a.message.Elements() }

// Params are the names that the templates read of what a key pattern captured.
func (a *logAction) Params() []string { return a.templates().Params() }

// KeyPieces is what is known of the names of other keys that the templates read.
func (a *logAction) KeyPieces() [][]string { return a.templates().KeyPieces() }

// OtherKeys are these keys for a firing.
func (a *logAction) OtherKeys(f *firing.Firing) []string { return a.templates().OtherKeys(f) }

func (a *logAction) templates() tmpl.Templates { return tmpl.Templates{a.message} }

// text renders the message.
func (a *logAction) text(ctx context.Context, f *firing.Firing) (string, error) {
	if a.message == nil {
		return f.Event.Name + " " + excerpt.Short(f.Event.Key, maxLogText), nil
	}
	message, err := a.message.Render(ctx, tmpl.NewView(f), tmpl.MaxText)
	if err != nil {
		return "", fmt.Errorf("message: %w", err)
	}
	return excerpt.Short(message, maxLogText), nil
}

// Do returns the handler's error: slog.Logger would swallow it, and a log that
// cannot be written is a delivery that did not happen. A record below the
// logger's level counts as written.
func (a *logAction) Do(ctx context.Context, f *firing.Firing) (actions.Result, error) {
	if err := ctx.Err(); err != nil {
		return actions.Result{}, err
	}
	message, err := a.text(ctx, f)
	if err != nil {
		return actions.Result{}, actions.Unrendered(ctx, err)
	}
	if !a.handler.Enabled(ctx, a.level) {
		return actions.Result{}, nil
	}
	if err := a.handler.Handle(ctx, a.record(f, message, time.Now())); err != nil {
		return actions.Result{}, fmt.Errorf("write log record: %w", err)
	}
	return actions.Result{Sent: func() actions.Sent {
		p, _ := a.preview(f, message) // into memory, so it does not fail
		return actions.Sent{Preview: p}
	}}, nil
}

// Render shows the line as text, without its time, whatever form the log has and
// whether or not its level is written.
func (a *logAction) Render(ctx context.Context, f *firing.Firing) (actions.Preview, error) {
	message, err := a.text(ctx, f)
	if err != nil {
		return actions.Preview{}, actions.Unsent(err)
	}
	return a.preview(f, message)
}

// preview shows the line with a message.
func (a *logAction) preview(f *firing.Firing, message string) (actions.Preview, error) {
	var line bytes.Buffer
	h := slog.NewTextHandler(&line, &slog.HandlerOptions{Level: a.level})
	if err := h.Handle(context.Background(), a.record(f, message, time.Time{})); err != nil {
		return actions.Preview{}, fmt.Errorf("write log record: %w", err)
	}
	return actions.NewPreview(nil, nil, line.Bytes(), a.masker), nil
}

// record returns the record of a firing with its rendered message.
func (a *logAction) record(f *firing.Firing, message string, at time.Time) slog.Record {
	r := slog.NewRecord(at, a.level, message, 0)
	r.AddAttrs(slog.String("rule", f.Rule), slog.String("event", f.Event.Name))
	if f.Event.Key != nil {
		r.AddAttrs(slog.String("key", excerpt.Short(f.Event.Key, maxLogText)))
	}
	r.AddAttrs(slog.Int("db", f.Event.DB), slog.Int64("offset", f.Event.Offset), slog.String("firing", excerpt.Short(f.ID, maxLogText)))
	r.AddAttrs(timingAttrs(f)...)
	return r
}

// timingAttrs are the attributes of a firing of a rule with time fields.
func timingAttrs(f *firing.Firing) (attrs []slog.Attr) {
	if f.Status != "" {
		attrs = append(attrs, slog.String("status", f.Status))
	}
	if f.By != "" {
		attrs = append(attrs, slog.String("by", excerpt.Short(f.By, maxLogText)))
	}
	if f.Count != 0 {
		attrs = append(attrs, slog.Int("count", f.Count))
	}
	if f.Suppressed != 0 {
		attrs = append(attrs, slog.Int("suppressed", f.Suppressed))
	}
	return attrs
}
