package rdb_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"triggerd/rdb"
)

// The files in testdata were written by the servers in their names; the JSON
// beside them is what those servers answered for each key (TYPE, OBJECT
// ENCODING, PEXPIRETIME, and the type's own commands). Of a large collection it
// has the first recorded elements; the .lfu and .nocompress-nocrc files were
// written by another run of the same commands, so times in them differ.
const recorded = 300

func corpus(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.rdb")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("%d files in testdata, want at least 20", len(files))
	}
	return files
}

type serverKey struct {
	Type     string
	Enc      string
	ExpireAt *int64 `json:"pttl_at"`
	Value    any
}

func expected(t *testing.T, file string) map[string]serverKey {
	t.Helper()
	base := strings.TrimSuffix(file, ".rdb")
	for _, variant := range []string{".lfu", ".nocompress-nocrc"} {
		base = strings.TrimSuffix(base, variant)
	}
	data, err := os.ReadFile(base + ".expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]serverKey
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCorpus(t *testing.T) {
	for _, file := range corpus(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want := expected(t, file)
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			r := rdb.NewReader(f)
			r.Strict = true
			for {
				e, err := r.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				name := fmt.Sprintf("%d/%s", e.DB, e.Key)
				w, ok := want[name]
				if !ok {
					t.Errorf("key %s is not in the server's answer, or twice in the snapshot", name)
					continue
				}
				delete(want, name)
				checkEntry(t, name, file, e, w)
				v, err := r.Value()
				if err != nil {
					t.Fatal(err)
				}
				checkValue(t, name, v, w, !strings.Contains(file, ".lfu.") && !strings.Contains(file, ".nocompress-"))
			}
			for name := range want {
				t.Errorf("key %s is missing", name)
			}
			checkEnd(t, file, r)
		})
	}
}

func checkEntry(t *testing.T, name, file string, e *rdb.Entry, w serverKey) {
	t.Helper()
	typ := e.Type.String()
	if typ == "module" {
		typ = "vectorset" // the only one these servers have built in
	}
	if typ != w.Type {
		t.Errorf("%s: type %s, want %s", name, typ, w.Type)
	}
	if enc := e.Encoding.String(); !sameEncoding(enc, w.Enc) {
		t.Errorf("%s: encoding %s, the server says %s", name, enc, w.Enc)
	}
	if w.ExpireAt != nil && e.ExpireAt != max(0, *w.ExpireAt) {
		t.Errorf("%s: expires at %d, want %d", name, e.ExpireAt, *w.ExpireAt)
	}
	if lfu := strings.Contains(file, ".lfu."); lfu != (e.Freq >= 0) {
		t.Errorf("%s: frequency %d", name, e.Freq)
	}
	if lru := strings.Contains(file, "lru"); lru != (e.Idle >= 0) {
		t.Errorf("%s: idle time %d", name, e.Idle)
	}
}

// sameEncoding tells whether a value that the server holds as mem may be stored
// as file.
func sameEncoding(file, mem string) bool {
	switch mem {
	case "embstr", "raw":
		return file == "raw" || file == "module"
	case "int": // stored as text from 32 bits on
		return file == "int" || file == "raw"
	case "listpack": // small lists are quicklists of one node in the file
		return file == mem || file == "quicklist"
	}
	return file == mem
}

func checkEnd(t *testing.T, file string, r *rdb.Reader) {
	t.Helper()
	version, valkey := r.Version()
	want := map[string]int{"redis-6.0.16": 9, "redis-7.0.15": 10, "redis-8.0.6": 12, "redis-8.6.3": 13, "valkey-9.1.2": 80}
	base := filepath.Base(file)
	server := base[:strings.IndexAny(base, "0123456789")] + strings.Join(strings.SplitN(base[strings.IndexAny(base, "0123456789"):], ".", 4)[:3], ".")
	if version != want[server] || valkey != strings.HasPrefix(server, "valkey") {
		t.Errorf("version %d, valkey %v, of %s", version, valkey, server)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if r.Offset() != info.Size() {
		t.Errorf("ended at offset %d of %d", r.Offset(), info.Size())
	}
	name, v, _ := strings.Cut(server, "-")
	if got, _ := r.Aux(name + "-ver"); got != v {
		t.Errorf("aux field %s-ver is %q, want %q", name, got, v)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("Next after the end: %v", err)
	}
}

// checkValue compares v with what the server said.
func checkValue(t *testing.T, name string, v rdb.Value, w serverKey, exactTimes bool) {
	t.Helper()
	switch v.Type {
	case rdb.TypeString:
		compare(t, name, text(v.String), w.Value)
	case rdb.TypeList:
		compare(t, name, first(texts(v.Items)), w.Value)
	case rdb.TypeSet:
		compare(t, name, first(sorted(texts(v.Items))), sorted(w.Value.([]any)))
	case rdb.TypeZSet:
		compare(t, name, first(zsetAnswer(v.Members)), w.Value)
	case rdb.TypeHash:
		fields, ttl := map[string]any{}, map[string]any{}
		for _, f := range v.Fields {
			fields[latin1(f.Name)] = text(f.Value)
			ttl[latin1(f.Name)] = float64(-1)
			if f.ExpireAt != 0 {
				ttl[latin1(f.Name)] = float64(f.ExpireAt)
			}
		}
		if len(fields) != len(v.Fields) {
			t.Errorf("%s: a field is there twice", name)
		}
		want := w.Value.(map[string]any)
		if wantTTL, ok := want["ttl"].(map[string]any); ok {
			compare(t, name+" expiries", among(ttl, wantTTL), wantTTL)
			want = want["fields"].(map[string]any)
		}
		compare(t, name, among(fields, want), want)
	case rdb.TypeStream:
		checkStream(t, name, v.Stream, w.Value.(map[string]any), exactTimes)
	case rdb.TypeModule:
		checkVectorSet(t, name, v.Module)
	}
}

func compare(t *testing.T, name string, got, want any) {
	t.Helper()
	g, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(g) != string(w) {
		t.Errorf("%s:\n got %.300s\nwant %.300s", name, g, w)
	}
}

// latin1 makes each byte a character, as the recorded answers have it.
func latin1(b []byte) string {
	rs := make([]rune, len(b))
	for i, c := range b {
		rs[i] = rune(c)
	}
	return string(rs)
}

// text is b as the answers have it: long ones by length and first 40 bytes.
func text(b []byte) any {
	if len(b) <= 200 {
		return latin1(b)
	}
	return map[string]any{"len": len(b), "head": latin1(b[:40])}
}

func texts(items [][]byte) []any {
	out := []any{}
	for _, b := range items {
		out = append(out, text(b))
	}
	return out
}

// first returns what was recorded of items.
func first(items []any) []any { return items[:min(len(items), recorded)] }

// among returns what was recorded of m.
func among(m, record map[string]any) map[string]any {
	if len(record) < recorded {
		return m
	}
	out := map[string]any{}
	for k := range record {
		out[k] = m[k]
	}
	return out
}

func sorted(items []any) []any {
	return slices.SortedFunc(slices.Values(items), func(a, b any) int {
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
}

// zsetAnswer is what ZRANGE WITHSCORES of a server with 15 or 17 digits says.
func zsetAnswer(members []rdb.Member) []any {
	members = slices.Clone(members)
	slices.SortStableFunc(members, func(a, b rdb.Member) int {
		if a.Score != b.Score {
			if a.Score < b.Score {
				return -1
			}
			return 1
		}
		return strings.Compare(string(a.Name), string(b.Name))
	})
	out := []any{}
	for _, m := range members {
		score := strconv.FormatFloat(m.Score, 'g', -1, 64)
		if math.IsInf(m.Score, 0) {
			score = strings.ToLower(strings.TrimPrefix(score, "+"))
		}
		out = append(out, text(m.Name), score)
	}
	return out
}

// checkStream compares s with the answers of XRANGE and XINFO STREAM FULL.
func checkStream(t *testing.T, name string, s *rdb.StreamValue, w map[string]any, exactTimes bool) {
	t.Helper()
	if !exactTimes {
		s, w = withoutTimes(t, s), withoutTimes(t, w)
	}
	entries := []any{}
	for _, e := range s.Entries {
		entries = append(entries, []any{e.ID.String(), texts(e.Fields)})
	}
	compare(t, name+" entries", entries, w["entries"])
	full := pairs(w["full"])
	compare(t, name+" length", s.Length, full["length"])
	compare(t, name+" last ID", s.LastID.String(), full["last-generated-id"])
	if want, ok := full["entries-added"]; ok {
		compare(t, name+" entries added", s.EntriesAdded, want)
		compare(t, name+" first ID", s.FirstID.String(), full["recorded-first-entry-id"])
		compare(t, name+" greatest deleted ID", s.MaxDeletedID.String(), full["max-deleted-entry-id"])
	}
	if s.HasHistory != (full["entries-added"] != nil) {
		t.Errorf("%s: history %v, the server says %v", name, s.HasHistory, full["entries-added"])
	}
	if s.HasProducers != (full["idmp-duration"] != nil) {
		t.Errorf("%s: producers %v, the server says %v", name, s.HasProducers, full["idmp-duration"])
	}
	if s.HasProducers {
		compare(t, name+" idmp", []any{s.IDMPDuration, s.IDMPMax, len(s.Producers), s.IIDsAdded, s.IIDsRepeated},
			[]any{full["idmp-duration"], full["idmp-maxsize"], full["pids-tracked"], full["iids-added"], full["iids-duplicates"]})
	}
	groups := []any{}
	for _, g := range s.Groups {
		groups = append(groups, groupAnswer(t, g))
	}
	wantGroups := []any{}
	for _, g := range full["groups"].([]any) {
		m := pairs(g)
		delete(m, "lag")
		delete(m, "entries-read") // null too where it is only not exact
		for i, c := range m["consumers"].([]any) {
			m["consumers"].([]any)[i] = pairs(c)
		}
		wantGroups = append(wantGroups, m)
	}
	compare(t, name+" groups", groups, wantGroups)
}

// withoutTimes returns a copy of v with all times of this century, which are
// recognized by their size, set to one.
func withoutTimes[T any](t *testing.T, v T) (out T) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	data = regexp.MustCompile(`\b17\d{11}\b`).ReplaceAll(data, []byte("1700000000000"))
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func groupAnswer(t *testing.T, g rdb.StreamGroup) map[string]any {
	t.Helper()
	byID := map[rdb.StreamID]rdb.StreamPending{}
	owner := map[rdb.StreamID]string{}
	for _, p := range g.Pending {
		byID[p.ID] = p
	}
	consumers := []any{}
	for _, c := range g.Consumers {
		own := []any{}
		for _, id := range c.Pending {
			owner[id] = latin1(c.Name)
			own = append(own, []any{id.String(), byID[id].Delivered, byID[id].Deliveries})
		}
		m := map[string]any{"name": latin1(c.Name), "seen-time": c.Seen, "pel-count": len(c.Pending), "pending": own[:min(10, len(own))]}
		if c.Active != 0 {
			m["active-time"] = c.Active
		}
		consumers = append(consumers, m)
	}
	pending := []any{}
	for _, p := range g.Pending {
		if owner[p.ID] == "" {
			t.Errorf("group %s: nobody has pending entry %v", g.Name, p.ID)
		}
		pending = append(pending, []any{p.ID.String(), owner[p.ID], p.Delivered, p.Deliveries})
	}
	return map[string]any{
		"name": latin1(g.Name), "last-delivered-id": g.LastID.String(),
		"pel-count": len(pending), "pending": pending[:min(10, len(pending))], "consumers": consumers,
	}
}

// pairs makes a map of a RESP2 answer that is one.
func pairs(v any) map[string]any {
	list := v.([]any)
	m := map[string]any{}
	for i := 0; i+1 < len(list); i += 2 {
		m[list[i].(string)] = list[i+1]
	}
	return m
}

// checkVectorSet looks at the one module value in the corpus, whose parts are
// those of vset.c: dimension, elements, quantization, ...
func checkVectorSet(t *testing.T, name string, m *rdb.ModuleValue) {
	t.Helper()
	if m.Name != "vectorset" || len(m.Parts) < 4 || m.Parts[0].Type != rdb.PartUint || m.Parts[0].Uint == 0 {
		t.Errorf("%s: module %q, %d parts: %+v", name, m.Name, len(m.Parts), m.Parts)
	}
}

// TestCorpusBreakAnywhere asks each value for its elements one by one, in all of the
// ways in which a loop can end early, and wants the next key to be the right
// one each time.
func TestCorpusBreakAnywhere(t *testing.T) {
	for _, file := range corpus(t) {
		keys := walk(t, file, func(*rdb.Reader, int) {})
		for stopAt := 1; stopAt <= 40; stopAt++ {
			got := walk(t, file, func(r *rdb.Reader, _ int) {
				n := 0
				for _, err := range r.Elements() {
					if err != nil {
						t.Fatalf("%s: %v", file, err)
					}
					if n++; n == stopAt {
						break
					}
				}
			})
			if !slices.Equal(got, keys) {
				t.Fatalf("%s: stopping after %d elements leads to other keys", file, stopAt)
			}
		}
	}
}

// walk returns each key with the offset after it, and calls f for each.
func walk(t *testing.T, file string, f func(r *rdb.Reader, i int)) (keys []string) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r := rdb.NewReader(in)
	r.Strict = true
	for i := 0; ; i++ {
		e, err := r.Next()
		if err == io.EOF {
			return keys
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		keys = append(keys, fmt.Sprintf("%d/%s at %d", e.DB, e.Key, r.Offset()))
		f(r, i)
	}
}
