package rdb_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"triggerd/rdb"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func toJSON(t *testing.T, in io.Reader, noValues bool) string {
	t.Helper()
	var out strings.Builder
	j := rdb.NewJSONWriter(&out)
	j.NoValues = noValues
	r := rdb.NewReader(in)
	r.Strict = true
	for {
		if _, err := r.Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if err := j.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestJSON compares what is written of every type with a golden file.
func TestJSON(t *testing.T) {
	for name, magic := range map[string]string{"redis": "REDIS0015", "valkey": "VALKEY080"} {
		got := toJSON(t, bytes.NewReader(everyType(magic)), false)
		for line := range strings.Lines(got) {
			if !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %s", line)
			}
		}
		golden := "testdata/everytype." + name + ".jsonl"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: %s", golden, firstDifference(got, string(want)))
		}
	}
}

// TestJSONCorpus reads back the JSON of the corpus and looks for the server's
// values in it.
func TestJSONCorpus(t *testing.T) {
	for _, file := range corpus(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := expected(t, file)
		for line := range strings.Lines(toJSON(t, bytes.NewReader(data), false)) {
			var k struct {
				DB    int
				Key   string
				Type  string
				Value any
			}
			if err := json.Unmarshal([]byte(line), &k); err != nil {
				t.Fatalf("%s: %v: %.300s", file, err, line)
			}
			w, ok := want[fmt.Sprintf("%d/%s", k.DB, k.Key)]
			if !ok {
				t.Errorf("%s: key %s is not the server's", file, k.Key)
				continue
			}
			switch k.Type {
			case "list", "set":
				if got, want := len(k.Value.([]any)), len(w.Value.([]any)); got < want || want < recorded && got != want {
					t.Errorf("%s, %s: %d items, want %d", file, k.Key, got, want)
				}
			case "hash":
				ttl := strings.Contains(k.Key, "lpex") || strings.Contains(k.Key, "meta")
				for _, f := range k.Value.([]any) {
					if n := len(f.([]any)); n != 2 && !ttl || n != 3 && ttl {
						t.Errorf("%s, %s: field %v", file, k.Key, f)
					}
				}
			case "stream":
				m := k.Value.(map[string]any)
				w := w.Value.(map[string]any)
				if len(m["entries"].([]any)) != len(w["entries"].([]any)) || len(m["groups"].([]any)) != len(w["groups"].([]any)) {
					t.Errorf("%s, %s: stream %.300v", file, k.Key, m)
				}
			}
		}
		lines := strings.Count(toJSON(t, bytes.NewReader(data), true), "\n")
		if lines != len(want) {
			t.Errorf("%s: %d lines without values, want %d", file, lines, len(want))
		}
	}
}

// TestJSONLong writes strings that are written in pieces, text and not, in all
// places where they can be, in little memory.
func TestJSONLong(t *testing.T) {
	for _, s := range []string{
		strings.Repeat("plain text ", 100_000),
		strings.Repeat("h\u00e9\u20ac\"\n", 50_000),
		"\xff" + strings.Repeat("x", 200_001),
		strings.Repeat("a", 64<<10) + "\xe2\x82",
	} {
		want := func() any {
			if !utf8.ValidString(s) {
				return map[string]any{"$base64": base64.StdEncoding.EncodeToString([]byte(s))}
			}
			return s
		}()
		data := snapshot("REDIS0009",
			key(0, "string", str(s)),
			key(1, "list", length(2), str(s), str("short")),
			key(4, "hash", length(1), str(s), str(s)),
			key(5, "zset", length(1), str(s), double(1)),
			key(7, "module", length(1), length(5), str(s), length(0)),
			key(15, "stream", streamOf(listpack(1, 0, 1, s, 0, 2, 0, 0, s, 4)), lengths(1, 5, 1, 0)))
		wants := []any{want, []any{want, "short"}, []any{[]any{want, want}}, []any{[]any{want, "1"}},
			map[string]any{"module": "AAAAAAAAA", "version": 1.0, "parts": []any{want}},
			map[string]any{"entries": []any{map[string]any{"id": "5-1", "fields": []any{[]any{want, want}}}},
				"length": 1.0, "last_id": "5-1", "first_id": nil, "max_deleted_id": nil, "entries_added": nil, "groups": []any{}}}
		i := 0
		for line := range strings.Lines(toJSON(t, bytes.NewReader(data), false)) {
			var k struct{ Value any }
			if err := json.Unmarshal([]byte(line), &k); err != nil {
				t.Fatalf("%v: %.300s", err, line)
			}
			if !reflect.DeepEqual(k.Value, wants[i]) {
				t.Errorf("line %d is not as it should be: %.100s", i+1, line)
			}
			i++
		}
		if i != len(wants) {
			t.Errorf("%d lines, want %d", i, len(wants))
		}
	}
	huge := snapshot("REDIS0009", key(0, "k", str(strings.Repeat("x", 16<<20))))
	used := allocated(func() {
		r := rdb.NewReader(bytes.NewReader(huge))
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if err := rdb.NewJSONWriter(io.Discard).Write(r); err != nil {
			t.Fatal(err)
		}
	})
	if used > 40<<20 {
		t.Errorf("%d bytes allocated for a string of 16 MB", used)
	}
}

// TestJSONScore names doubles so that they read back the same.
func TestJSONScore(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0", 1: "1", -1.5: "-1.5", 0.1: "0.1", 1e6: "1000000", 1e20: "100000000000000000000", 1e21: "1e+21",
		1e-6: "0.000001", 1e-7: "1e-07", 1.7976931348623157e308: "1.7976931348623157e+308", 5e-324: "5e-324",
		9007199254740993: "9007199254740992",
	} {
		got := toJSON(t, bytes.NewReader(snapshot("REDIS0009", key(5, "k", length(1), str("m"), double(f)))), false)
		if !strings.HasSuffix(got, `"value":[["m","`+want+"\"]]}\n") {
			t.Errorf("score %v: %s", f, got)
		}
	}
}

// FuzzJSONBytes reads back any bytes, as key and as value.
func FuzzJSONBytes(f *testing.F) {
	for _, s := range []string{"", "plain", `"quoted\"`, "\x00\x1f\x7f", "h\u00e9llo \u2028 \U0001F600", "\xff\xfe", "12345678\"", "1234567\x80", "12345678\xe2\x82\xac", strings.Repeat("long and \n", 50)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		line := toJSON(t, bytes.NewReader(snapshot("REDIS0009", key(1, string(b), length(1), str(string(b))))), false)
		var k struct {
			Key   json.RawMessage
			Value []json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &k); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for _, raw := range []json.RawMessage{k.Key, k.Value[0]} {
			var s string
			var coded map[string]string
			switch {
			case utf8.Valid(b):
				if err := json.Unmarshal(raw, &s); err != nil || s != string(b) {
					t.Fatalf("%q became %s: %v", b, raw, err)
				}
			default:
				if err := json.Unmarshal(raw, &coded); err != nil || len(coded) != 1 || coded["$base64"] != base64.StdEncoding.EncodeToString(b) {
					t.Fatalf("%q became %s: %v", b, raw, err)
				}
			}
		}
	})
}

// TestJSONWriteError passes on what the writer says, while a value is written.
func TestJSONWriteError(t *testing.T) {
	full := errors.New("disk full")
	for _, data := range [][]byte{
		snapshot("REDIS0009", key(1, "k", length(100_000), bytes.Repeat(str("item"), 100_000))),
		snapshot("REDIS0009", key(0, "k", str(strings.Repeat("x", 100_000)))),
		snapshot("REDIS0009", key(7, "k", length(1), bytes.Repeat(lengths(2, 1<<60), 10_000), length(0))),
	} {
		j := rdb.NewJSONWriter(errWriter{full})
		r := rdb.NewReader(bytes.NewReader(data))
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if err := j.Write(r); !errors.Is(err, full) {
			t.Errorf("error %v, want %v", err, full)
		}
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("the reader cannot go on: %v", err)
		}
	}
}

type errWriter struct{ err error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.err }
