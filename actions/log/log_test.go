package log_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/log"
	"triggerd/internal/event"
	"triggerd/internal/secret"
)

// logger writes to b without the time.
func logger(b *bytes.Buffer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestLog(t *testing.T) {
	const attrs = ` rule=stock-zero event=incrby key=stock:42 db=3 offset=851576 firing=8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6:851576/0:stock-zero/crm` + "\n"
	for name, test := range map[string]struct {
		fields table
		change func(f *actions.Firing)
		want   string
	}{
		"default":     {nil, nil, `level=INFO msg="incrby stock:42"` + attrs},
		"own":         {table{"level": "warn", "message": "{{.params.sku}} is sold out"}, nil, `level=WARN msg="42 is sold out"` + attrs},
		"error":       {table{"level": "error", "message": "x"}, nil, `level=ERROR msg=x` + attrs},
		"below level": {table{"level": "debug"}, nil, ``},
		"no key":      {nil, func(f *actions.Firing) { f.Event.Key = nil }, `level=INFO msg="incrby "` + strings.Replace(attrs, " key=stock:42", "", 1)},
		"forged line": {nil, func(f *actions.Firing) { f.Event.Key = []byte("a\nlevel=ERROR\x1b[31m\xff") },
			`level=INFO msg="incrby a\\nlevel=ERROR\\x1b[31m\\xff"` + strings.Replace(attrs, "key=stock:42", `key="a\\nlevel=ERROR\\x1b[31m\\xff"`, 1)},
		"timing": {nil, func(f *actions.Firing) {
			f.Timing = event.Timing{Status: "firing", By: "\xff", Count: 3, Suppressed: 2}
		},
			`level=INFO msg="incrby stock:42"` + strings.TrimSuffix(attrs, "\n") + ` status=firing by=\xff count=3 suppressed=2` + "\n"},
		"long key": {table{"message": "{{.key}}"}, func(f *actions.Firing) { f.Event.Key = []byte(strings.Repeat("é", 4000)) },
			`level=INFO msg="` + strings.Repeat("é", 2048) + `...(+3904 bytes)"` + strings.Replace(attrs, "key=stock:42", `key="`+strings.Repeat("é", 2048)+`...(+3904 bytes)"`, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			f := actionstest.Firing()
			if test.change != nil {
				test.change(f)
			}
			if _, err := mustNew(t, test.fields, actions.Options{Logger: logger(&b, slog.LevelInfo)}).Do(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			if b.String() != test.want {
				t.Errorf("got  %s\nwant %s", b.String(), test.want)
			}
		})
	}
}

func TestLogUnrenderable(t *testing.T) {
	var b bytes.Buffer
	a := mustNew(t, table{"message": actionstest.Unrenderable}, actions.Options{Logger: logger(&b, slog.LevelInfo)})
	if _, err := a.Do(t.Context(), actionstest.Firing()); !actions.IsPermanent(err) || b.Len() > 0 {
		t.Errorf("got %v and %q", err, b.String())
	}
}

// brokenHandler cannot write.
type brokenHandler struct{ slog.Handler }

var errBroken = errors.New("disk full")

func (brokenHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (brokenHandler) Handle(context.Context, slog.Record) error { return errBroken }

// TestLogError: slog.Logger would swallow it.
func TestLogError(t *testing.T) {
	_, err := mustNew(t, nil, actions.Options{Logger: slog.New(brokenHandler{})}).Do(t.Context(), actionstest.Firing())
	if !errors.Is(err, errBroken) || actions.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestLogSuite(t *testing.T) {
	actionstest.Run(t, func(t *testing.T) actions.Action {
		return mustNew(t, nil, actions.Options{Logger: slog.New(slog.NewJSONHandler(&bytes.Buffer{}, nil))})
	})
}

// What the user wrote into a message is masked, and the data in it is not.
func TestLogMasksItsOwnText(t *testing.T) {
	for message, want := range map[string]string{
		"with stock:42 for {{.key}}":           "with *** for stock:42",
		`{{"stock:42"}} {{printf "%s" .key}}.`: "*** stock:42.",
		"stock:42":                             "***",
		"{{.event}}":                           "incrby",
	} {
		var out bytes.Buffer
		a, err := actions.Kinds{&log.Kind}.New("log", table{"message": message}, actions.Options{Logger: slog.New(slog.NewTextHandler(&out, nil)), Secrets: secret.New("stock:42", "event")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, fmt.Sprintf("msg=%q", want)) && !strings.Contains(got, "msg="+want+" ") || !strings.Contains(got, "key=stock:42") {
			t.Errorf("%s: %s, want %s", message, got, want)
		}
	}
}

// A preview is the line without its time, whatever the log's form and level are,
// with what is known to be a secret masked in the data too.
func TestPreview(t *testing.T) {
	for name, test := range map[string]struct {
		fields table
		key    string
		want   string
	}{
		"default":     {nil, "stock:42", `level=INFO msg="incrby stock:42" rule=stock-zero event=incrby key=stock:42 db=3`},
		"own":         {table{"level": "debug", "message": "value-1 of {{.key}}"}, "stock:42", `level=DEBUG msg="*** of stock:42" rule=`},
		"forged line": {table{"message": "{{.key}}"}, "a\nlevel=ERROR\x1b[31m\xff", `level=INFO msg="a\\nlevel=ERROR\\x1b[31m\\xff" rule=`},
		"secret data": {table{"message": "{{.key}}"}, "value-1", `level=INFO msg=*** rule=stock-zero event=incrby key=*** db=3`},
	} {
		t.Run(name, func(t *testing.T) {
			f := actionstest.Firing()
			f.Event.Key = []byte(test.key)
			var b bytes.Buffer
			a := mustNew(t, test.fields, actions.Options{Logger: slog.New(slog.NewJSONHandler(&b, nil)), Secrets: secret.New("value-1")})
			p, err := actions.Render(t.Context(), a, f)
			if err != nil {
				t.Fatal(err)
			}
			if text := p.String(); !strings.HasPrefix(text, test.want) || strings.Count(text, "\n") != 1 {
				t.Errorf("got  %s\nwant %s", text, test.want)
			}
			if b.Len() > 0 {
				t.Errorf("a preview wrote %s", &b)
			}
		})
	}
	if _, err := actions.Render(t.Context(), mustNew(t, table{"message": actionstest.Unrenderable}, actions.Options{}), actionstest.Firing()); !actions.IsUnsent(err) {
		t.Errorf("got %v", err)
	}
}
