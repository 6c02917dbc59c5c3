package store_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"triggerd/internal/store"
)

var update = flag.Bool("update", false, "rewrite golden files")

// listing is all that a store has, as a golden file shows it. Bytes are quoted,
// times are milliseconds.
type listing struct {
	Checkpoint string
	NextJob    uint64
	Jobs       []listedJob
	Letters    []listedJob
	Settled    []listedJob
	Entries    map[string][][2]string // by space: key and value
}

type listedJob struct {
	Number   uint64 `json:",omitempty"`
	Seq      uint64
	Endpoint string
	Lane     uint64 `json:",omitempty"`
	ID       string
	Born     int64
	At       int64  `json:",omitempty"`
	Attempts int    `json:",omitempty"`
	Due      int64  `json:",omitempty"`
	Reason   string `json:",omitempty"`
	Text     string `json:",omitempty"`
	Excerpt  string `json:",omitempty"`
	Payload  string `json:",omitempty"`
}

func list(t *testing.T, s *store.Store) listing {
	t.Helper()
	l, err := tryList(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func tryList(s *store.Store) (l listing, err error) {
	l = listing{NextJob: s.Stats().NextJob, Entries: map[string][][2]string{}}
	if l.Checkpoint, err = s.Checkpoint(store.Standalone); err != nil {
		return l, err
	}
	endpoints, err := s.Endpoints()
	if err != nil {
		return l, err
	}
	for _, e := range endpoints {
		for p, err := range s.Pending(e.Name, 0) {
			if err != nil {
				return l, err
			}
			j, err := s.Load(p.Seq)
			if err != nil {
				return l, err
			}
			l.Jobs = append(l.Jobs, listedJob{
				Seq: p.Seq, Endpoint: j.Endpoint, Lane: p.Lane, ID: j.ID, Born: millis(p.Born), Due: millis(p.Due),
				Attempts: p.Attempts, Text: p.Error, Excerpt: p.Excerpt, Payload: quote(j.Payload),
			})
		}
	}
	for d, err := range s.Dead(0) {
		if err != nil {
			return l, err
		}
		letter := listedJob{
			Number: d.Number, Seq: d.Seq, Endpoint: d.Endpoint, ID: d.ID, Born: millis(d.Born), At: millis(d.At),
			Attempts: d.Attempts, Reason: d.Reason, Text: d.Error, Excerpt: d.Excerpt,
		}
		if d.Seq != 0 {
			j, err := s.Load(d.Seq)
			if err != nil {
				return l, err
			}
			letter.Payload = quote(j.Payload)
		}
		l.Letters = append(l.Letters, letter)
	}
	for r, err := range s.Settled(0) {
		if err != nil {
			return l, err
		}
		l.Settled = append(l.Settled, listedJob{
			Number: r.Number, Seq: r.Seq, Endpoint: r.Endpoint, ID: r.ID, Born: millis(r.Born), At: millis(r.At),
			Attempts: r.Attempts, Text: r.Status, Excerpt: r.Excerpt,
		})
	}
	for name, space := range map[string]store.Space{"mirror": mirror, "timers": timers, "state": store.State(store.Standalone), "pauses": store.Pauses} {
		for e, err := range s.Scan(space, nil, nil) {
			if err != nil {
				return l, err
			}
			l.Entries[name] = append(l.Entries[name], [2]string{quote(e.Key), quote(e.Value)})
		}
	}
	return l, nil
}

func quote(b []byte) string {
	s := strconv.QuoteToASCII(string(b))
	return s[1 : len(s)-1]
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// copyEarlier copies a data directory of an earlier format.
func copyEarlier(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name, "data"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// golden compares a listing with the one that the earlier program made.
func golden(t *testing.T, path string, l listing) {
	t.Helper()
	got, err := json.MarshalIndent(l, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("what is in the store differs from %s:\n%s", path, firstDifference(string(got), string(want)))
	}
}

func firstDifference(got, want string) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	from := max(0, i-200)
	return "got  " + got[from:min(len(got), i+200)] + "\nwant " + want[from:min(len(want), i+200)]
}
