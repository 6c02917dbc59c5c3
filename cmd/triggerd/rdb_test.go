package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"triggerd/rdb"
)

const rdbFile = "../../rdb/testdata/redis-8.6.3.rdb"

// rdbCommand runs the command with args and returns what it prints.
func rdbCommand(t *testing.T, stdin []byte, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut strings.Builder
	cmd := newRDBCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{}, args...)) // nil would be the arguments of the test
	cmd.SetIn(bytes.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	err = cmd.Execute()
	return out.String(), errOut.String(), err
}

type rdbLine struct {
	DB       int
	Key      string
	Type     string
	Encoding string
	Value    json.RawMessage
}

func rdbLines(t *testing.T, out string) (lines []rdbLine) {
	t.Helper()
	for s := range strings.Lines(out) {
		var l rdbLine
		if err := json.Unmarshal([]byte(s), &l); err != nil {
			t.Fatalf("%v: %.200s", err, s)
		}
		lines = append(lines, l)
	}
	return lines
}

func TestRDB(t *testing.T) {
	t.Parallel()
	all, _, err := rdbCommand(t, nil, rdbFile)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(rdbLines(t, all)); n != 36 {
		t.Errorf("%d keys, want 36", n)
	}
	data, err := os.ReadFile(rdbFile)
	if err != nil {
		t.Fatal(err)
	}
	piped, _, err := rdbCommand(t, data, "-")
	if err != nil || piped != all {
		t.Errorf("from standard input: %v, %d bytes, want %d", err, len(piped), len(all))
	}
	for _, tc := range []struct {
		name string
		args []string
		want func(l rdbLine) bool
		keys int
	}{
		{"glob", []string{"--keys", "s:int*"}, func(l rdbLine) bool { return strings.HasPrefix(l.Key, "s:int") }, 5},
		{"two globs", []string{"--keys", "x:*", "--keys", "z:sl"}, func(l rdbLine) bool { return l.Type == "stream" || l.Key == "z:sl" }, 5},
		{"glob that matches nothing", []string{"--keys", "nothing"}, nil, 0},
		{"type", []string{"--type", "zset"}, func(l rdbLine) bool { return l.Type == "zset" }, 3},
		{"two types", []string{"--type", "list,module"}, func(l rdbLine) bool { return l.Type == "list" || l.Type == "module" }, 5},
		{"database", []string{"--db", "3"}, func(l rdbLine) bool { return l.DB == 3 }, 1},
		{"all of them", []string{"--db", "0,15", "--type", "list", "--keys", "*b*"}, func(l rdbLine) bool { return l.Type == "list" }, 2},
		{"no values", []string{"--no-values"}, func(l rdbLine) bool { return l.Value == nil }, 36},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, errOut, err := rdbCommand(t, nil, append(tc.args, rdbFile)...)
			if err != nil || errOut != "" {
				t.Fatalf("%v, %s", err, errOut)
			}
			lines := rdbLines(t, out)
			if len(lines) != tc.keys {
				t.Errorf("%d keys, want %d", len(lines), tc.keys)
			}
			for _, l := range lines {
				if !tc.want(l) {
					t.Errorf("%+v should not be there", l)
				}
			}
		})
	}
}

func TestRDBStats(t *testing.T) {
	t.Parallel()
	out, _, err := rdbCommand(t, nil, "--stats", rdbFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"redis RDB version 13, written by redis 8.6.3\n",
		"36 keys in 3 databases, 1 of them with an expiry\n",
		"41702 bytes read in ", "checksum verified\n",
		"TYPE    ENCODING    KEYS  BYTES  AVERAGE\n",
		"\nall ",
		"LARGEST  DB  TYPE    ENCODING   KEY\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	_, largest, _ := strings.Cut(out, "LARGEST")
	if n := strings.Count(largest, "\n") - 1; n != manyLargest {
		t.Errorf("%d largest keys, want %d", n, manyLargest)
	}
	if out, _, err = rdbCommand(t, nil, "--stats", "--keys", "nothing", rdbFile); err != nil || !strings.Contains(out, "0 keys in 0 databases") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestRDBLargest gives sizes in all orders.
func TestRDBLargest(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		s := newRDBStats()
		var sizes []int64
		for range rng.IntN(40) {
			n := rng.Int64N(30)
			sizes = append(sizes, n)
			s.add(&rdb.Entry{Type: rdb.TypeList, Encoding: rdb.EncodingQuicklist}, n)
		}
		slices.SortFunc(sizes, func(a, b int64) int { return int(b - a) })
		var got []int64
		for _, l := range s.largest {
			got = append(got, l.bytes)
		}
		if want := sizes[:min(len(sizes), manyLargest)]; !slices.Equal(got, want) {
			t.Fatalf("largest %v, want %v", got, want)
		}
	}
}

func TestRDBErrors(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(rdbFile)
	if err != nil {
		t.Fatal(err)
	}
	damaged := slices.Clone(data)
	damaged[len(damaged)-1] ^= 1
	for _, tc := range []struct {
		name  string
		args  []string
		stdin []byte
		want  string
		usage bool // a wrong command line, not a failure
		lines int
	}{
		{"no file", nil, nil, "accepts 1 arg", true, 0},
		{"unknown type", []string{"--type", "table", "-"}, nil, `unknown type "table": not one of string, list`, true, 0},
		{"missing", []string{filepath.Join(t.TempDir(), "none.rdb")}, nil, "no such file", false, 0},
		{"a directory", []string{t.TempDir()}, nil, "is a directory", false, 0},
		{"empty", []string{"-"}, nil, "-: rdb: offset 0: unexpected EOF", false, 0},
		{"no snapshot", []string{"-"}, []byte("<!DOCTYPE html>"), "not an RDB snapshot", false, 0},
		{"cut", []string{"-"}, data[:len(data)-9], "offset 41693: unexpected EOF", false, 36},
		{"damaged", []string{"-"}, damaged, "offset 41694: wrong checksum", false, 36},
		{"stats of damaged", []string{"--stats", "-"}, damaged, "wrong checksum", false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, _, err := rdbCommand(t, tc.stdin, tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			var exit *exitError
			if errors.As(err, &exit) == tc.usage {
				t.Errorf("%v is a failure: %v", err, !tc.usage)
			}
			if n := len(rdbLines(t, out)); n != tc.lines {
				t.Errorf("%d keys are printed, want %d", n, tc.lines)
			}
		})
	}
}

// TestRDBCutInValue prints only whole lines, however the input ends.
func TestRDBCutInValue(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(rdbFile)
	if err != nil {
		t.Fatal(err)
	}
	for n := 200; n < len(data)-9; n += 1511 {
		out, _, err := rdbCommand(t, data[:n], "-")
		if err == nil {
			t.Fatalf("cut to %d bytes: no error", n)
		}
		rdbLines(t, out)
	}
}

func TestRDBTrailing(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(rdbFile)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "appendonly.aof")
	if err := os.WriteFile(file, append(data, "*1\r\n$4\r\nPING\r\n"...), 0o666); err != nil {
		t.Fatal(err)
	}
	out, errOut, err := rdbCommand(t, nil, file)
	if err != nil || len(rdbLines(t, out)) != 36 {
		t.Error(err)
	}
	if want := "14 bytes follow the snapshot, from offset 41702 on"; !strings.Contains(errOut, want) {
		t.Errorf("%q does not say %q", errOut, want)
	}
}

// TestProgressBar draws at most ten times a second, nothing for what is quick,
// and takes itself away.
func TestProgressBar(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := &progressBar{w: &out, size: 100e6, start: time.Now()}
	p.advance(10e6, p.start.Add(200*time.Millisecond))
	if out.Len() != 0 {
		t.Errorf("drawn too early: %q", out.String())
	}
	p.clear()
	if out.Len() != 0 {
		t.Errorf("cleared what was not drawn: %q", out.String())
	}
	p.advance(40e6, p.start.Add(500*time.Millisecond))
	if want := "\r[###############...............]  50%  50 of 100 MB  100 MB/s "; out.String() != want {
		t.Errorf("bar is %q, want %q", out.String(), want)
	}
	out.Reset()
	p.advance(1e6, p.start.Add(550*time.Millisecond))
	if out.Len() != 0 {
		t.Errorf("drawn again after 50 ms: %q", out.String())
	}
	p.advance(49e6, p.start.Add(600*time.Millisecond))
	if !strings.Contains(out.String(), "100%") {
		t.Errorf("bar is %q, want 100%%", out.String())
	}
	out.Reset()
	p.clear()
	if want := "\r\x1b[K"; out.String() != want {
		t.Errorf("cleared with %q, want %q", out.String(), want)
	}
	if none := newProgressBar(&out, &out, 100); none != nil {
		t.Error("a bar for what is no terminal")
	}
	lines := newProgressLines(&out, 100e6)
	out.Reset()
	lines.advance(20e6, lines.start.Add(9*time.Second))
	lines.advance(20e6, lines.start.Add(10*time.Second))
	lines.advance(20e6, lines.start.Add(19*time.Second))
	lines.size = 0
	lines.advance(40e6, lines.start.Add(20*time.Second))
	lines.clear()
	if want := "triggerd: 40 of 100 MB read, 4 MB/s\ntriggerd: 100 MB read, 5 MB/s\n"; out.String() != want {
		t.Errorf("lines are %q, want %q", out.String(), want)
	}
	var none *progressBar
	if err := iotest.TestReader(none.watch(strings.NewReader("abc")), []byte("abc")); err != nil {
		t.Error(err)
	}
	if err := iotest.TestReader(&watchedReader{strings.NewReader("abc"), p}, []byte("abc")); err != nil {
		t.Error(err)
	}
}

// Collections without elements are left out, and said to be; a set with a member
// twice is refused.
func TestRDBCrafted(t *testing.T) {
	t.Parallel()
	file := func(body string) []byte {
		return []byte("REDIS0012\xfe\x00" + body + "\x00\x02k3\x013\xff\x00\x00\x00\x00\x00\x00\x00\x00")
	}
	out, errOut, err := rdbCommand(t, file("\x04\x01h\x00\x01\x01l\x00"), "-")
	if lines := rdbLines(t, out); err != nil || len(lines) != 1 || lines[0].Key != "k3" || !strings.Contains(errOut, "-: 2 keys left out") {
		t.Errorf("%v, %s, %s", err, out, errOut)
	}
	out, _, err = rdbCommand(t, file("\x02\x01s\x02\x01a\x01a"), "-")
	if err == nil || out != "" || !strings.Contains(err.Error(), `offset 17: key "s": set member "a" is there twice`) {
		t.Errorf("%v, %s", err, out)
	}
}
