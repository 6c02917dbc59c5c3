package spool_test

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"triggerd/internal/spool"
)

// TestBack: a history that goes back, is renamed, and goes back again. Places are
// found where they live, and what is dead is told, in memory and out of the files.
func TestBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	l := open(t, spool.Options{Dir: dir})
	stop := running(t, l)
	at := time.Now()
	put := func(n int) spool.Address {
		t.Helper()
		room, err := l.Room(t.Context())
		if err != nil || len(room) < n {
			t.Fatal(err)
		}
		l.Append(n, at)
		end, _ := l.End()
		return end
	}
	place := func(id string, offset int64) spool.Place {
		return spool.Place{ReplID: id, Offset: offset, DB: -1}
	}
	mark := func(m spool.Mark) spool.Address { return l.Mark(m, at) }
	a := mark(spool.Mark{Kind: spool.Attached, Full: true, Place: place("a", 1000)})
	put(100) // a: 1000 to 1100
	detached := mark(spool.Mark{Kind: spool.Detached})
	b := mark(spool.Mark{Kind: spool.Attached, Back: true, Place: place("b", 1070)})
	put(50) // b: 1070 to 1120
	c := mark(spool.Mark{Kind: spool.Renamed, Place: place("c", 1120)})
	put(30) // c: 1120 to 1150
	mark(spool.Mark{Kind: spool.Detached})
	d := mark(spool.Mark{Kind: spool.Attached, Back: true, Place: place("d", 1050)}) // before the first, too
	put(10)
	check := func(l *spool.Log) {
		t.Helper()
		for _, f := range []struct {
			place spool.Place
			want  spool.Address
		}{
			{place("d", 1055), d + 5}, {place("d", 1050), d}, {place("d", 1049), a + 49}, {place("d", 1000), a},
			{place("a", 1100), a + 100}, // dead, and there
			{place("c", 1150), c + 30}, {place("c", 1100), b + 30}, {place("b", 1071), b + 1}, {place("b", 1069), a + 69},
		} {
			if got, ok := l.Find(f.place); !ok || got != f.want {
				t.Errorf("%v is at %d, %v; want %d", f.place, got, ok, f.want)
			}
		}
		for _, no := range []spool.Place{place("d", 1061), place("x", 1000), place("d", 999), place("b", 1151)} {
			if got, ok := l.Find(no); ok {
				t.Errorf("%v is at %d", no, got)
			}
		}
		last := spool.Dead{From: a + 50, Mark: d - 1}
		first := spool.Dead{From: a + 70, Mark: b - 1}
		for _, f := range []struct {
			at, limit spool.Address
			want      spool.Dead
		}{{0, 1 << 40, last}, {a + 60, 1 << 40, last}, {d - 1, 1 << 40, last}, {a, c, first}, {detached, c, first}} {
			if got, ok := l.FindDead(f.at, f.limit); !ok || got != f.want {
				t.Errorf("from %d to %d: dead is %v, %v; want %v", f.at, f.limit, got, ok, f.want)
			}
		}
		if got, ok := l.FindDead(d, 1<<40); ok {
			t.Errorf("dead is %v behind all", got)
		}
		if got, want := l.Lineage(), []spool.Place{place("d", 1060), place("a", 1050)}; !reflect.DeepEqual(got, want) {
			t.Errorf("lineage %v, want %v", got, want)
		}
	}
	check(l)
	stop()
	check(open(t, spool.Options{Dir: dir}))
}
