package source

import (
	"strings"
	"testing"

	"triggerd/internal/spool"
)

func TestLineage(t *testing.T) {
	a := lineage{{"a", 0}}
	ab := a.rename("b", 100)   // a until 100, then b
	abc := ab.rename("c", 200) // and then c
	for _, c := range []struct {
		name    string
		line    lineage
		end     int64
		h       history
		verdict verdict
		at      int64
		renamed int64
	}{
		{"the same", a, 50, history{replID: "a", offset: 60, switched: -1}, resume, 50, -1},
		{"promoted where reading stopped", a, 50, history{replID: "b", offset: 50, earlier: "a", switched: 50}, resume, 50, 50},
		{"promoted behind that", a, 50, history{replID: "b", offset: 90, earlier: "a", switched: 80}, resume, 50, 80},
		{"promoted with less", a, 50, history{replID: "b", offset: 60, earlier: "a", switched: 40}, rewind, 40, 40},
		{"promoted with nothing", a, 50, history{replID: "b", offset: 0, earlier: "a", switched: 0}, rewind, 0, 0},
		{"a replica that lags", a, 50, history{replID: "a", offset: 49, switched: -1, replica: true}, lagging, 0, 0},
		{"a primary that went back", a, 50, history{replID: "a", offset: 49, switched: -1}, foreign, 0, 0},
		{"empty", a, 50, history{replID: "x", offset: 0, switched: -1}, foreign, 0, 0},
		{"promoted twice", a, 50, history{replID: "c", offset: 90, earlier: "b", switched: 80}, foreign, 0, 0},
		{"the failover is undone", ab, 150, history{replID: "a", offset: 300, switched: -1}, rewind, 100, -1},
		{"undone, and another one instead", ab, 150, history{replID: "x", offset: 300, earlier: "a", switched: 120}, rewind, 100, 120},
		{"another one, before the undone", ab, 150, history{replID: "x", offset: 300, earlier: "a", switched: 90}, rewind, 90, 90},
		{"of two that of the newer name", abc, 250, history{replID: "x", offset: 300, earlier: "b", switched: 220}, rewind, 200, 220},
		{"back to the first", abc, 250, history{replID: "a", offset: 40, switched: -1, replica: true}, rewind, 40, -1},
		{"a replica that lagged at the switch", a, 50, history{replID: "b", offset: 60, earlier: "a", switched: 40, replica: true}, rewind, 40, 40},
		{"of which the primary says more", a, 50, history{replID: "b", offset: 60, earlier: "a", switched: 55, replica: true, exact: true}, resume, 50, 55},
		{"and which has not got that far", a, 50, history{replID: "b", offset: 45, earlier: "a", switched: 55, replica: true, exact: true}, lagging, 0, 0},
		{"and which has got to the switch, before the end", a, 50, history{replID: "b", offset: 45, earlier: "a", switched: 45, replica: true, exact: true}, rewind, 45, 45},
		{"the name from now on", ab, 150, history{replID: "c", offset: 300, earlier: "b", switched: 150}, resume, 150, 150},
	} {
		got := c.line.compare(&c.h, c.end)
		if got.verdict != c.verdict || got.at != c.at || got.renamed != c.renamed {
			t.Errorf("%s: got %+v, want verdict %d at %d, renamed %d", c.name, got, c.verdict, c.at, c.renamed)
		}
	}
	if got := abc.back(100).rename("x", 100); got.current() != "x" || len(got) != 2 || got.nameAt(100) != "a" || got.nameAt(101) != "x" || abc.current() != "c" {
		t.Errorf("got %v, and %v before", got, abc)
	}
	var long lineage
	for i := range 100 {
		long = long.rename(strings.Repeat("x", i+1), int64(i))
	}
	if len(long) != maxAncestors || len(long.current()) != 100 {
		t.Errorf("%d names are known", len(long))
	}
}

// TestLineageOfSpool: what a process has received tells the next one its lineage.
func TestLineageOfSpool(t *testing.T) {
	log, err := spool.Open(spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	append := func(n int) {
		room, err := log.Room(t.Context())
		if err != nil || len(room) < n {
			t.Fatal(err)
		}
		log.Append(n, log.Stats().Since)
	}
	mark := func(m spool.Mark) { log.Mark(m, log.Stats().Since) }
	place := func(id string, at int64) spool.Place { return spool.Place{ReplID: id, Offset: at, DB: -1} }
	mark(spool.Mark{Kind: spool.Attached, Full: true, Place: place("a", 100)})
	append(50)
	mark(spool.Mark{Kind: spool.Renamed, Place: place("b", 150)})
	append(20)
	mark(spool.Mark{Kind: spool.Detached})
	mark(spool.Mark{Kind: spool.Attached, Back: true, Place: place("c", 130)})
	append(10)
	got := lineageOf(log)
	if len(got) != 2 || got[0].replID != "a" || got[1] != (ancestor{"c", 130}) {
		t.Errorf("got %v, want a, and c from 130 on: b is dead", got)
	}
}

func TestHistory(t *testing.T) {
	const id1, id2 = "8371445dcee5f5fa3e5b6a9a1e9ddb1e6b4a1b5a", "1371445dcee5f5fa3e5b6a9a1e9ddb1e6b4a1b5b"
	h, err := parseHistory("# Replication\r\nrole:slave\r\nmaster_link_status:down\r\nmaster_replid:" + id1 + "\r\nmaster_replid2:" + id2 + "\r\nmaster_repl_offset:77\r\nsecond_repl_offset:51\r\n")
	if want := (history{replID: id1, offset: 77, earlier: id2, switched: 50, replica: true, linkDown: true}); err != nil || h != want {
		t.Errorf("got %+v, %v; want %+v", h, err, want)
	}
	h, err = parseHistory("role:master\r\nmaster_replid:" + id1 + "\r\nmaster_replid2:0000000000000000000000000000000000000000\r\nmaster_repl_offset:0\r\nsecond_repl_offset:-1\r\n")
	if want := (history{replID: id1, switched: -1}); err != nil || h != want {
		t.Errorf("got %+v, %v; want %+v", h, err, want)
	}
	for _, text := range []string{"", "role:master", "master_replid:a b", "master_replid:a\r\nmaster_repl_offset:-7", "master_replid:a\r\nsecond_repl_offset:x"} {
		if h, err := parseHistory(text); err == nil {
			t.Errorf("%q: got %+v", text, h)
		}
	}
}

func FuzzHistory(f *testing.F) {
	f.Add("role:slave\r\nmaster_replid:a\r\nmaster_replid2:b\r\nmaster_repl_offset:77\r\nsecond_repl_offset:51\r\n", int64(60))
	f.Fuzz(func(t *testing.T, text string, end int64) {
		h, err := parseHistory(text)
		if err != nil || end < 0 || end > maxOffset {
			return
		}
		got := lineage{{"a", 0}, {"b", end / 2}}.compare(&h, end)
		if got.verdict == resume && got.at != end || got.verdict == rewind && (got.at < 0 || got.at >= end || got.at > h.offset) || got.renamed >= 0 && got.renamed < got.at {
			t.Errorf("%+v: %+v", h, got)
		}
	})
}
