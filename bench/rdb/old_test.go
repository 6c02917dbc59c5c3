package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cupcake "github.com/cupcake/rdb"
	"github.com/cupcake/rdb/nopdecoder"

	"triggerd/rdb"
)

// TestOldServers reads the snapshots that come with cupcake/rdb, which were
// written by servers of 2010 to 2016 (zipmaps, ziplists, version 2 on), and
// compares every element with what cupcake/rdb reads.
func TestOldServers(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cupcake/rdb").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "fixtures", "*.rdb"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want := &cupcakeLines{}
			open(t, file, func(in io.Reader) error { return cupcake.Decode(in, want) })
			var got []string
			open(t, file, func(in io.Reader) (err error) { got, err = triggerdLines(in); return err })
			if !slices.Equal(got, want.lines) {
				t.Errorf("\n got %.500q\nwant %.500q", got, want.lines)
			}
		})
	}
}

func open(t *testing.T, file string, read func(io.Reader) error) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := read(f); err != nil {
		t.Fatal(err)
	}
}

// triggerdLines returns each key and element as text.
func triggerdLines(in io.Reader) (lines []string, err error) {
	r := rdb.NewReader(in)
	for {
		e, err := r.Next()
		if err == io.EOF {
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
		if e.Type == rdb.TypeString {
			b, err := r.Bytes()
			if err != nil {
				return nil, err
			}
			lines = append(lines, fmt.Sprintf("string %q %q %d", e.Key, b, e.ExpireAt))
			continue
		}
		lines = append(lines, fmt.Sprintf("%v %q %d", e.Type, e.Key, e.ExpireAt))
		for el, err := range r.Elements() {
			if err != nil {
				return nil, err
			}
			lines = append(lines, fmt.Sprintf("%q %q %v", el.Member, el.Value, el.Score))
			el.Value, el.Score = nil, 0
		}
	}
}

type cupcakeLines struct {
	nopdecoder.NopDecoder
	lines []string
}

func (d *cupcakeLines) add(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *cupcakeLines) Set(key, value []byte, expiry int64) {
	d.add("string %q %q %d", key, value, expiry)
}
func (d *cupcakeLines) StartHash(key []byte, length, expiry int64) { d.add("hash %q %d", key, expiry) }
func (d *cupcakeLines) StartSet(key []byte, length, expiry int64)  { d.add("set %q %d", key, expiry) }
func (d *cupcakeLines) StartList(key []byte, length, expiry int64) { d.add("list %q %d", key, expiry) }
func (d *cupcakeLines) StartZSet(key []byte, length, expiry int64) { d.add("zset %q %d", key, expiry) }
func (d *cupcakeLines) Hset(key, field, value []byte)              { d.add("%q %q 0", field, value) }
func (d *cupcakeLines) Sadd(key, member []byte)                    { d.add("%q %q 0", member, "") }
func (d *cupcakeLines) Rpush(key, value []byte)                    { d.add("%q %q 0", value, "") }
func (d *cupcakeLines) Zadd(key []byte, score float64, member []byte) {
	d.add("%q %q %v", member, "", score)
}
