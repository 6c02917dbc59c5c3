package tmpl

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// TestLimits: whatever a template does with much data, it ends, says why, and
// has not taken the memory of the machine.
func TestLimits(t *testing.T) {
	f := sampleFiring(nil)
	for range 100_000 {
		f.Event.Args = append(f.Event.Args, []byte("a"))
	}
	f.Event.Command = "1"
	double := func(s string) string { return `{{$x := "1"}}{{range .args}}` + s + `{{end}}` }
	for text, want := range map[string]error{
		"{{range .args}}{{range $.args}}{{end}}{{end}}":                                           errTooMany,
		"{{range $i, $a := .args}}{{range $.args}}{{if false}}x{{end}}{{continue}}{{end}}{{end}}": errTooMany,
		"{{range .args}}{{range $.args}}{{$x := .}}{{end}}{{end}}":                                errTooMany,
		"{{range 10000000000}}{{end}}":                                                            errTooMany,
		"{{range .args}}{{json $.args}}{{end}}":                                                   errTooMuch,
		"{{range .args}}{{$.args}}{{end}}":                                                        errTooLong,
		"{{range .args}}{{$x := print $.args}}{{end}}":                                            errTooMuch,
		"{{range .args}}{{if eq (len (printf `%v` $.args)) 0}}{{end}}{{end}}":                     errTooMuch,
		double(`{{$x = printf "%s%s" $x $x}}`):                                                    errTooMuch,
		double(`{{$x = printf "%[1]s%[1]s" $x}}`):                                                 errTooMuch,
		double(`{{$x = print $x $x}}`):                                                            errTooMuch,
		double(`{{$x = println $x $x}}`):                                                          errTooMuch,
		double(`{{$x = b64 $x}}`):                                                                 errTooMuch,
		double(`{{$x = html $x "<"}}`):                                                            errTooMuch,
		double(`{{$x = js $x $x}}`):                                                               errTooMuch,
		double(`{{$x = urlquery $x $x}}`):                                                         errTooMuch,
		double(`{{$x = $.time.Format $x}}`):                                                       errLayout,
		double(`{{$x = date $x $.time}}`):                                                         errLayout,
		"{{$x := ``}}{{range .args}}{{$x = printf `%s%999d` $x 1}}{{end}}":                        errTooMuch,
		`{{define "a"}}{{template "a" .}}{{end}}{{if gt (len .args) 9}}{{template "a" .}}{{end}}`: errTooDeep,
		`{{define "a"}}{{range .args}}{{template "b" $}}{{end}}{{end}}{{define "b"}}{{range .args}}{{end}}{{end}}{{template "a" .}}`: errTooMany,
	} {
		x, err := New(text)
		if err == nil {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = x.Render(t.Context(), NewView(f), MaxText)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 1<<30 {
				t.Errorf("%s: %d MiB were allocated", text, got>>20)
			}
		}
		if err == nil || !strings.Contains(err.Error(), want.Error()) {
			t.Errorf("%s: got %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{`{{printf "%1000000d" 1}}`, `{{printf "%*d" 1000000 1}}`, `{{printf "%.9999f" 1.0}}`} {
		if _, err := New(text); err == nil || !strings.Contains(err.Error(), "three digits") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestRenderEnds: a rendering ends with its context, which is not the fault of
// the firing.
func TestRenderEnds(t *testing.T) {
	x, err := New("{{range .args}}{{range $.args}}{{end}}{{end}}")
	if err != nil {
		t.Fatal(err)
	}
	f := sampleFiring(nil)
	f.Event.Args = make([][]byte, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.Render(ctx, NewView(f), MaxText); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got, err := x.Render(t.Context(), NewView(f), MaxText); got != "" || err != nil {
		t.Errorf("after that: %q, %v", got, err)
	}
}

// TestPrintf: it is Go's, but for what has no limit.
func TestPrintf(t *testing.T) {
	f := sampleFiring(nil)
	for _, format := range []string{
		"%s", "x%sy%dz", "%5v|%-5v", "%q", "%x %X", "100%%", "%[2]s %[1]s", "%.2f", "%+d", "%v", "%t", "é%sü", "%c", "%8.3s|",
	} {
		for _, arg := range []any{"text", int64(7), 2.5, true} {
			r := run{}
			want := fmt.Sprintf(format, arg, arg)
			want, _, _ = strings.Cut(want, "%!(EXTRA")
			if _, text := arg.(string); strings.Contains(want, "%!") || format == "%q" && !text {
				continue // below
			}
			if got, err := r.printf(format, arg, arg); err != nil || got != want {
				t.Errorf("printf %q %v: got %q, %v; want %q", format, arg, got, err, want)
			}
		}
	}
	for format, want := range map[string]string{
		"%d": "text 7 2.5 true ", "%5d|": " text|     7|   2.5|  true|      |", "%.2f": "text 7.00 2.50 true ", "%08.2f|": "    text| 00007.00| 00002.50|     true|         |", "%+d": "text +7 2.5 true ",
		"%s": "text 7 2.5 true ", "%q": `"text" "7" "2.5" "true" ""`, "%t": "text 7 2.5 true ", "%e": "text 7.000000e+00 2.500000e+00 true ",
	} {
		var got []string
		for _, arg := range []any{"text", int64(7), 2.5, true, nil} {
			s, err := new(run).printf(format, arg)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, s)
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("printf %q: got %q, want %q", format, got, want)
		}
	}
	x, err := New(`{{printf "%s has %d of %v" .key (len .args) .db}}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := x.Render(t.Context(), NewView(f), 100); err != nil || got != "key has 2 of 0" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWholeEvent: templates read all of an event, and what is not there is no
// text and null, never an error.
func TestWholeEvent(t *testing.T) {
	elements := func(typ string, list ...event.Element) event.Value { return event.Elements(typ, list) }
	hash := func(fields ...string) event.Value {
		var list []event.Element
		for i := 0; i < len(fields); i += 2 {
			list = append(list, event.Element{Name: fields[i], Value: fields[i+1]})
		}
		return elements("hash", list...)
	}
	firings := map[string]*firing.Firing{
		"hash": {Event: &event.Event{
			Key: []byte("k"), Before: hash("status", "new"), After: hash("amount", "5", "status", "paid"), Changed: [][]byte{[]byte("status")},
			TTL: 90_000, Tx: event.Tx{ID: "x:1", Index: 2, Size: 3},
		}, Timing: event.Timing{Status: "firing", By: "b", Count: 2}},
		"unknown": {Event: &event.Event{Key: []byte("k")}},
		"gone":    {Event: &event.Event{Part: event.Part{Index: 2, Size: 3}, Key: []byte("k"), Before: event.String([]byte("5")), After: event.None, TTL: event.TTLGone}},
		"zset": {Event: &event.Event{Key: []byte("k"), Before: event.None,
			After: elements("zset", event.Element{Name: "ann", Score: 1.5}, event.Element{Name: "bob", Score: 2})}},
		"list":   {Event: &event.Event{Key: []byte("k"), Before: event.None, After: elements("list", event.Element{Name: "a"}, event.Element{Name: "b"})}},
		"flush":  {Event: &event.Event{Name: "flushall", Command: "FLUSHALL"}},
		"stream": {Event: &event.Event{Key: []byte("k"), After: elements("stream", event.Element{Name: "1-0", Fields: []string{"f", "v"}})}},
	}
	for text, wants := range map[string]map[string]string{
		"{{.before.status}} -> {{.after.status}}":       {"hash": "new -> paid", "unknown": " -> ", "gone": " -> ", "zset": " -> ", "list": " -> "},
		"{{$.after.status}}{{(.after).status}}":         {"hash": "paidpaid", "unknown": "", "list": ""},
		"{{with .after}}{{.status}}{{else}}none{{end}}": {"hash": "paid", "unknown": "none", "gone": "none", "list": "", "zset": ""},
		`{{index .after "status"}}{{index .after 0}}`:   {"hash": "paid", "unknown": "", "gone": "", "list": "a"},
		"{{.after}}":                       {"hash": `{"amount":"5","status":"paid"}`, "unknown": "", "gone": "", "zset": `[["ann",1.5],["bob",2]]`, "list": "[a b]", "stream": `[["1-0",["f","v"]]]`},
		"{{json .before}} {{json .after}}": {"hash": `{"status":"new"} {"amount":"5","status":"paid"}`, "unknown": "null null", "gone": `"5" null`, "zset": `null [["ann",1.5],["bob",2]]`, "list": `null ["a","b"]`, "stream": `null [["1-0",["f","v"]]]`},
		"{{json .after.status}}":           {"hash": `"paid"`, "unknown": "null", "list": "null"},
		"{{json .key}} {{json .status}} {{json .by}} {{json .type}}|{{.key}}{{.status}}{{.by}}": {"hash": `"k" "firing" "b" null|kfiringb`, "flush": "null null null null|"},
		"{{.after.ann}}":                                      {"zset": "1.5", "hash": "", "stream": ""},
		"{{range .after}}<{{.}}>{{end}}":                      {"list": "<a><b>", "unknown": "", "gone": "", "hash": "<5><paid>"},
		"{{range .before}}<{{.}}>{{end}}":                     {"gone": "", "hash": "<new>"},
		"{{range .after}}{{.name}}={{.score}} {{end}}":        {"zset": "ann=1.5 bob=2 ", "list": "= = ", "hash": "= = "},
		"{{range .after}}{{.id}} {{join `,` .fields}}{{end}}": {"stream": "1-0 f,v"},
		"{{if .after}}there{{end}}{{len .after}}":             {"hash": "there2", "unknown": "0", "gone": "0", "list": "there2"},
		"{{if eq .after.status `paid`}}y{{end}}{{if gt (num .after.amount) 4}}y{{end}}{{if gt .after.amount 4}}y{{end}}": {"hash": "yyy", "unknown": "", "gone": "", "list": ""},
		"{{.ttl}} {{duration .ttl}}":                                                               {"hash": "90000 1m30s", "unknown": " ", "gone": "-2 "},
		"{{.tx.id}} {{.tx.index}}/{{.tx.size}}":                                                    {"hash": "x:1 2/3", "unknown": " /"},
		"{{join `,` .changed}} {{join `,` .unknown}}":                                              {"hash": "status ", "unknown": " before,after", "stream": " before"},
		"{{.after.amount | num | default 1}}":                                                      {"hash": "5", "unknown": "1"},
		"{{default `none` .after.status}}":                                                         {"hash": "paid", "unknown": "none", "gone": "none"},
		"{{.status}}{{.by}}{{.count}}":                                                             {"hash": "firingb2", "unknown": "0"},
		`{{define "a"}}{{.before.status}}{{end}}{{template "a" .}}`:                                {"hash": "new", "unknown": ""},
		"{{.before.status.deep.down}}":                                                             {"hash": "", "unknown": ""},
		"{{index .args 7}}{{index .args -1}}{{index .key 9}}|{{index .key 0}}":                     {"hash": "|k", "unknown": "|k"},
		"{{.params.sku}}{{index .params `sku`}}{{with .params}}{{.sku}}{{end}}":                    {"hash": "", "unknown": ""},
		"{{.part.index}}/{{.part.size}}{{if .part}}many{{end}}":                                    {"hash": "/", "gone": "2/3many"},
		"{{if eq .after.amount 5}}y{{end}}{{if eq (num .after.amount) 5.0}}y{{end}}":               {"hash": "yy", "unknown": "", "list": ""},
		"{{if eq .after.status ``}}y{{end}}{{if eq .by ``}}by{{end}}{{if ne `` .command}}n{{end}}": {"hash": "", "unknown": "yby", "flush": "ybyn"},
		"{{if eq .after.status 5}}y{{end}}{{if ne .after.amount 6}}n{{end}}":                       {"hash": "n", "unknown": "n"},
		"{{if eq .before .after}}same{{end}}{{if eq .after .after}}y{{end}}":                       {"hash": "y", "unknown": "samey", "zset": "y", "stream": "y", "list": "y"},
		"{{if eq .after.status `void` `paid`}}y{{end}}{{if eq .after .db true `x`}}y{{end}}":       {"hash": "y", "unknown": ""},
		"{{if eq .changed .unknown}}y{{end}}{{if eq .time .first}}y{{end}}{{if eq true 1}}{{end}}": {"hash": "y", "unknown": "y"},
		"{{printf `%d %.1f %s` .after.amount .after.amount .after.nothing}}":                       {"hash": "5 5.0 ", "unknown": "  "},
	} {
		x, err := New(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for name, want := range wants {
			if got, err := x.Render(t.Context(), NewView(firings[name]), MaxText); err != nil || got != want {
				t.Errorf("%s of %s: got %q, %v; want %q", text, name, got, err, want)
			}
		}
	}
}

// TestMoreFunctions is of those that make texts of values.
func TestMoreFunctions(t *testing.T) {
	f := sampleFiring(map[string]string{"n": "1234.567", "big": "9007199254740993", "word": "größer", "bin": "a\xffb"})
	f.Event.Time = time.Unix(1763888400, 0)
	for text, want := range map[string]string{
		"{{date `2006-01-02` .time}} {{.time | date `15:04`}}":                                               "2025-11-23 09:00",
		"{{date `2006` `1763888400`}} {{date `2006` `x`}}|":                                                  "2025 |",
		"{{round .params.n}} {{round 2 .params.n}} {{round `x`}}|":                                           "1235 1234.57 |",
		"{{num .params.big}} {{num `1e3`}} {{num `x`}}|":                                                     "9007199254740993 1000 |",
		"{{truncate 4 .params.word}} {{truncate 6 .params.word}}":                                            "grö… größer",
		"{{slice .params.word 0 2}} {{slice .args 1}} {{slice .key 0 99}}":                                   "gr [value] key",
		"{{len .params.word}} {{slice .params.word 2 4}} {{index .params.word 2}} {{slice .params.word 9}}|": "6 öß ö |",
		"{{len .params.bin}} {{slice .params.bin 1 2}}":                                                      "3 \xff",
		"{{duration 3600000}} {{duration 90000}} {{duration 1500}} {{duration 60000}}":                       "1h 1m30s 1.5s 1m",
		"{{upper .after}} {{.after | upper | json}}":                                                         `VALUE "VALUE"`,
	} {
		x, err := New(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := x.Render(t.Context(), NewView(f), MaxText); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", text, got, err, want)
		}
	}
}
