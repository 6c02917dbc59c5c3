package source_test

import (
	"math"
	"strings"
	"testing"

	"triggerd/source"
)

var id40 = strings.Repeat("8371b4fb1155b71f", 3)[:40]

func TestPositionText(t *testing.T) {
	for _, p := range []source.Position{
		{},
		{ReplID: id40},
		{ReplID: id40, Offset: 851576, DB: 15},
		{ReplID: "sync-ABC", Offset: 1 << 62, DB: math.MaxInt32},
		{ReplID: id40, Offset: 7, DB: 1, Events: 10_000},
	} {
		got, err := source.ParsePosition(p.String())
		if err != nil || got != p {
			t.Errorf("ParsePosition(%q): got %v, %v", p.String(), got, err)
		}
	}
}

func TestPositionErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "not of the form replid:offset/db",
		"abc":                            "not of the form replid:offset/db",
		"abc:1":                          "not of the form replid:offset/db",
		":1/0":                           "not a replication ID",
		"a b:1/0":                        "not a replication ID",
		strings.Repeat("a", 65) + ":1/0": "not a replication ID",
		"abc:-1/0":                       "not an offset",
		"abc:x/0":                        "not an offset",
		"abc:9223372036854775807/0":      "not an offset",
		"abc:1/-1":                       "not a database number",
		"abc:1/":                         "not a database number",
		"abc:1/2147483648":               "not a database number",
		"abc:1/0/0":                      "not a database number",
		"abc:1/0+":                       "not a number of events",
		"abc:1/0+0":                      "not a number of events",
		"abc:1/0+-1":                     "not a number of events",
		"abc:1/0+4611686018427387904":    "not a number of events",
	} {
		if _, err := source.ParsePosition(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParsePosition(%q): got error %v, want one with %q", text, err, want)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"-", id40 + ":851576/0", "a:1/2", ":/", "a:18446744073709551616/0", "a:007/00", "a:1/2+3", "a:1/2+03"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := source.ParsePosition(s)
		if err != nil {
			if p != (source.Position{}) {
				t.Errorf("an error, and position %v", p)
			}
			return
		}
		if p.IsZero() != (s == "-") {
			t.Errorf("%q: IsZero is %v", s, p.IsZero())
		}
		if p.Offset < 0 || p.Offset+1 < 0 || p.DB < 0 || p.Events < 0 {
			t.Errorf("%q: negative: %+v", s, p)
		}
		if again, err := source.ParsePosition(p.String()); err != nil || again != p {
			t.Errorf("%q: written as %q and read again as %+v, %v", s, p.String(), again, err)
		}
	})
}
