package event_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"triggerd/internal/event"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// every returns an event with every field set.
func every() *event.Event {
	return &event.Event{
		Name: "incrby", Origin: event.FromStream, Cause: event.CauseCommand,
		DB: 3, Key: []byte("stock:42"), Type: "string", Command: "DECRBY", Args: [][]byte{[]byte("stock:42"), []byte("3")},
		Time: time.Date(2026, 11, 23, 10, 12, 5, 123456789, time.FixedZone("CET", 3600)), Bytes: 41,
		ReplID: "8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6", Offset: 851576, Index: 2,
		Tx:     event.Tx{ID: "8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6:851600", Index: 1, Size: 3},
		Source: "redis://prod-a:6379",
	}
}

var delivery = event.Delivery{
	ID: "8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6:851576/2:stock-zero/crm", Rule: "stock-zero",
	Params: map[string]string{"sku": "42", "a": "1"}, Attempt: 2,
}

func TestAppendJSONGolden(t *testing.T) {
	allBytes := make([]byte, 256)
	for i := range allBytes {
		allBytes[i] = byte(i)
	}
	for name, test := range map[string]struct {
		change func(e *event.Event, d *event.Delivery)
	}{
		"full": {func(*event.Event, *event.Delivery) {}},
		"part": {func(e *event.Event, _ *event.Delivery) {
			e.Name, e.Command, e.Args, e.Part, e.Cut = "set", "MSET", [][]byte{[]byte("stock:42"), []byte("3")}, event.Part{Index: 2, Size: 3}, true
		}},
		"zero": {func(e *event.Event, d *event.Delivery) { *e, *d = event.Event{}, event.Delivery{} }},
		"flushall": {func(e *event.Event, _ *event.Delivery) {
			e.Name, e.Key, e.Type, e.Command, e.Args, e.Tx = event.FlushAll, nil, "", "FLUSHALL", nil, event.Tx{}
		}},
		"empty-key": {func(e *event.Event, _ *event.Delivery) { e.Key, e.Args = []byte{}, [][]byte{{}, nil} }},
		"binary": {func(e *event.Event, d *event.Delivery) {
			e.Key, e.Args = []byte("k\xff"), [][]byte{allBytes, []byte("\xed\xa0\x80"), []byte("ключ 🔑")}
			d.Params = map[string]string{"sku": "\xfe"}
		}},
		"snapshot": {func(e *event.Event, d *event.Delivery) {
			*e = event.Event{Name: event.Snapshot, Origin: event.FromSnapshot, Cause: event.CauseUnknown, Key: []byte("k"), Type: "hash", Time: e.Time, Source: e.Source}
			d.Params = nil
		}},
		"absent": {func(e *event.Event, d *event.Delivery) {
			*e = event.Event{Name: event.Absent, Origin: event.FromClock, Time: e.Time, Source: e.Source}
			d.Params, d.Timing = nil, event.Timing{Status: "firing", By: "web-1"}
		}},
		"count": {func(e *event.Event, d *event.Delivery) {
			d.Timing = event.Timing{By: "\xff", Count: 101, First: e.Time, Last: e.Time.Add(time.Second), Suppressed: 7}
		}},
		"batch": {func(e *event.Event, d *event.Delivery) {
			first := &event.Event{Name: "set", Key: []byte("k\xff"), Args: [][]byte{[]byte("v")}, Time: e.Time.Add(-time.Second), After: event.String([]byte("v"))}
			d.Timing = event.Timing{Count: 2, Batch: []event.Item{{Event: first, ID: "1"}, {Event: e, ID: d.ID, Params: d.Params}}}
		}},
		"summary": {func(e *event.Event, d *event.Delivery) {
			last := *e
			*e = event.Event{Name: event.Schedule, Origin: event.FromClock, Time: last.Time, Source: last.Source}
			d.Timing = event.Timing{Summary: []event.Line{
				{Rule: "stock-zero", Count: 5, Suppressed: 2, First: last.Time.Add(-time.Hour), Last: last.Time, Event: &last, Params: d.Params},
				{Rule: "idle"},
			}}
			d.Params = nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e, d := every(), delivery
			test.change(e, &d)
			line := event.AppendJSON(nil, e, d)
			if bytes.ContainsAny(line, "\n\r") {
				t.Errorf("more than one line: %s", line)
			}
			var got bytes.Buffer // indented, so that a diff can be read
			if err := json.Indent(&got, line, "", "  "); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			got.WriteByte('\n')
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
			}
		})
	}
}

func TestAppendJSONAppends(t *testing.T) {
	e := every()
	got := event.AppendJSON([]byte("before "), e, delivery)
	if want := "before " + string(event.AppendJSON(nil, e, delivery)); string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAppendJSONBytes(t *testing.T) {
	cases := map[string]string{
		"":                 `""`,
		"plain":            `"plain"`,
		"ключ 🔑 \u2028":    "\"ключ 🔑 \u2028\"",
		"<a href=\"&\">":   `"<a href=\"&\">"`,
		`back\slash`:       `"back\\slash"`,
		"\ufffd":           "\"\ufffd\"", // a real U+FFFD is text
		"\xff":             `{"$base64":"/w=="}`,
		"ok\xc3":           `{"$base64":"b2vD"}`,     // a sequence cut short
		"\xc0\x80":         `{"$base64":"wIA="}`,     // overlong NUL
		"\xed\xa0\x80":     `{"$base64":"7aCA"}`,     // surrogate
		"\xf4\x90\x80\x80": `{"$base64":"9JCAgA=="}`, // above U+10FFFF
		"\x7f":             `"\u007f"`,
		"\n\r\t":           `"\n\r\t"`,
	}
	for c := range byte(0x20) {
		if c != '\n' && c != '\r' && c != '\t' {
			cases[string(c)] = `"\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]) + `"`
		}
	}
	for in, want := range cases {
		if got := string(event.AppendJSONBytes(nil, in)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
		if got := string(event.AppendJSONBytes(nil, []byte(in))); got != want {
			t.Errorf("%q as bytes: got %s, want %s", in, got, want)
		}
	}
}

func TestAppendText(t *testing.T) {
	for in, want := range map[string]string{
		"":             ``,
		"stock:42":     `stock:42`,
		"ключ 🔑":       `ключ 🔑`,
		"a\nb\x1b[31m": `a\nb\x1b[31m`,
		"\xff":         `\xff`,
		`say "hi" \o/`: `say \"hi\" \\o/`,
		"\u202e\u200b": `\u202e\u200b`, // would turn the line around, would hide
		"\x7f\u0085":   `\x7f\u0085`,
	} {
		if got := string(event.AppendText([]byte(">"), in)); got != ">"+want {
			t.Errorf("%q: got %s, want >%s", in, got, want)
		}
	}
}

// decoded is the part of the JSON that bytes of others go into.
type decoded struct {
	ID      string
	Source  string
	Subject *string
	Data    struct {
		Rule, Event string
		Key         any
		Args        []any
		Params      map[string]any
		Offset      int64
		DB          int
	}
}

// bytesOf undoes AppendJSONBytes after encoding/json has read it.
func bytesOf(t *testing.T, v any) string {
	t.Helper()
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		s, ok := v["$base64"].(string)
		b, err := base64.StdEncoding.DecodeString(s)
		if !ok || err != nil || len(v) != 1 {
			t.Fatalf("%v: %v", v, err)
		}
		return string(b)
	}
	t.Fatalf("%T is no bytes", v)
	return ""
}

// FuzzAppendJSON: the output is always JSON on one line, and encoding/json gets
// back the bytes that went in.
func FuzzAppendJSON(f *testing.F) {
	f.Add([]byte("stock:42"), []byte("3"), "sku", "rule", int64(851576), 0)
	f.Add([]byte{}, []byte("\xff\x00\n\""), "", "\xff\\\"", int64(-1), 15)
	f.Add([]byte("\xed\xa0\x80"), []byte("\u2028<&>\x7f"), "\x00", "ключ", int64(1<<62), -1)
	f.Fuzz(func(t *testing.T, key, arg []byte, param, name string, offset int64, db int) {
		e := every()
		e.Key, e.Args, e.Offset, e.DB = key, [][]byte{arg, key}, offset, db
		e.Name, e.Source, e.Command, e.Type = name, name, name, name
		d := event.Delivery{ID: name, Rule: name, Params: map[string]string{param: string(arg)}, Attempt: 1}
		line := event.AppendJSON(nil, e, d)
		for _, c := range line {
			if c < ' ' {
				t.Fatalf("a control character in %q", line)
			}
		}
		if !utf8.Valid(line) {
			t.Fatalf("not UTF-8: %q", line)
		}
		var got decoded
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if key == nil {
			if got.Data.Key != nil {
				t.Fatalf("no key became %v", got.Data.Key)
			}
		} else if k := bytesOf(t, got.Data.Key); k != string(key) {
			t.Fatalf("key %q became %q", key, k)
		}
		if (got.Subject != nil) != (key != nil && utf8.Valid(key)) || got.Subject != nil && *got.Subject != string(key) {
			t.Fatalf("subject %v of %q", got.Subject, key)
		}
		if len(got.Data.Args) != 2 || bytesOf(t, got.Data.Args[0]) != string(arg) || bytesOf(t, got.Data.Args[1]) != string(key) {
			t.Fatalf("args became %v", got.Data.Args)
		}
		text := string([]rune(name)) // names are text: what is not becomes U+FFFD
		if got.ID != text || got.Data.Rule != text || got.Data.Event != text || got.Data.Offset != offset || got.Data.DB != db {
			t.Fatalf("%q, %d, %d became %+v", name, offset, db, got)
		}
		if len(got.Data.Params) != 1 || bytesOf(t, got.Data.Params[string([]rune(param))]) != string(arg) {
			t.Fatalf("params became %v", got.Data.Params)
		}
	})
}

// FuzzAppendText: what comes out is one printable line, and tells what went in.
func FuzzAppendText(f *testing.F) {
	f.Add([]byte("stock:42"))
	f.Add([]byte("\xff\x00\r\n\"\\\u202e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		text := string(event.AppendText(nil, b))
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q is shown as %q", b, text)
		}
		if back, err := strconv.Unquote(`"` + text + `"`); err != nil || back != string(b) {
			t.Fatalf("%q is shown as %s, which is %q, %v", b, text, back, err)
		}
	})
}
