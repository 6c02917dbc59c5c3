package source_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/resp"
	"triggerd/source"
)

// played returns "db words" of each command and "db key" of each key.
func played(t *testing.T, s source.Source) (got []string, last source.Position, err error) {
	t.Helper()
	for rec, err := range s.Records(t.Context(), source.Position{}, nil) {
		if err != nil {
			return got, last, err
		}
		switch rec.Kind {
		case source.Command:
			got = append(got, fmt.Sprintf("%d %s", rec.DB, joinWords(rec.Args)))
		case source.Key:
			got = append(got, fmt.Sprintf("%d key %s", rec.DB, rec.Entry.Key))
		}
		if !rec.Pos.IsZero() {
			last = rec.Pos
		}
	}
	return got, last, nil
}

func joinWords(args [][]byte) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = string(a)
	}
	return strings.Join(words, " ")
}

// The append-only files that servers write, of one file with a snapshot in
// front and of many with a manifest, play as what was done to the server.
func TestOpenStreamAppendOnly(t *testing.T) {
	tests := []struct{ server, file string }{
		{"redis-6.0", "appendonly.aof"},
		{"redis-7.0", "appendonlydir/appendonly.aof.manifest"},
		{"valkey-9.1", "appendonlydir/appendonly.aof.manifest"},
	}
	for _, tt := range tests {
		t.Run(tt.server, func(t *testing.T) {
			args := []string{"--appendonly", "yes", "--appendfsync", "always"}
			if tt.server != "redis-6.0" {
				args = append(args, "--aof-timestamp-enabled", "yes")
			}
			srv := redistest.Start(t, tt.server, args...)
			began := time.Now().Add(-2 * time.Second)
			redistest.Do(t, srv, "SET", "old", "1")
			redistest.Do(t, srv, "BGREWRITEAOF")
			awaitRewrite(t, func() string { return redistest.Do(t, srv, "INFO", "persistence").(string) })
			c := redistest.Dial(t, srv)
			for _, line := range []string{"SELECT 3", "SET new 2", "MULTI", "INCR n", "INCR n", "EXEC", "DEL new"} {
				if _, err := c.Do(strings.Fields(line)...); err != nil {
					t.Fatal(err)
				}
			}
			s, err := source.OpenRecording(filepath.Join(srv.Dir, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			got, last, err := played(t, s)
			if err != nil {
				t.Fatal(err)
			}
			want := "0 key old, 3 SET new 2, 3 INCR n, 3 INCR n, 3 DEL new"
			if strings.Join(got, ", ") != want {
				t.Errorf("played %v, want %s", got, want)
			}
			if last.DB != 3 || last.Offset < 100 {
				t.Errorf("last position %v", last)
			}
			for rec := range s.Records(t.Context(), source.Position{}, nil) {
				if rec.Time.Before(began) || rec.Time.After(time.Now()) {
					t.Errorf("a record of %v, played at %v", rec.Time, time.Now())
				}
			}
		})
	}
}

func awaitRewrite(t *testing.T, info func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if s := info(); strings.Contains(s, "aof_rewrite_in_progress:0") && strings.Contains(s, "aof_rewrite_scheduled:0") {
			return
		}
	}
	t.Fatal("the rewrite does not end")
}

// A time that an append-only file notes is that of the commands behind it. The
// first one is told by itself: the clock begins there, and not at what follows.
func TestStreamAnnotations(t *testing.T) {
	in := "#TS:1700000000\r\n" + string(resp.AppendCommand(nil, "SET", "a", "1")) + "#TS:1700000100.25\r\n" + string(resp.AppendCommand(nil, "SET", "a", "2")) + "#TS:1700000200\r\n"
	var got []int64
	for rec, err := range source.NewRecording(strings.NewReader(in), "x").Records(t.Context(), source.Position{}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, rec.Time.UnixMilli())
		if alone := rec.Kind == source.Heartbeat; alone != (len(got) == 1 || len(got) == 4) {
			t.Errorf("record %d is of kind %d", len(got), rec.Kind)
		}
	}
	if !slices.Equal(got, []int64{1700000000000, 1700000000000, 1700000100250, 1700000200000}) {
		t.Errorf("times %v", got)
	}
	for _, bad := range []string{"#TS:x\r\n", "#TS:\r\n", "#TS:1.x\r\n", "#TS:1.-5\r\n", "#\r\n", "#TS:1 2\r\n"} {
		if _, _, err := played(t, source.NewRecording(strings.NewReader(bad), "x")); err == nil {
			t.Errorf("%q is played", bad)
		}
	}
}

// Who stops at the first time is asked no more, whatever follows.
func TestStopAtTheFirstTime(t *testing.T) {
	for range source.NewRecording(strings.NewReader("#TS:1700000000\r\n*1\r\n$x\r\n"), "x").Records(t.Context(), source.Position{}, nil) {
		break
	}
}

func TestStreamErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	set := string(resp.AppendCommand(nil, "SET", "a", "1"))
	multi := string(resp.AppendCommand(nil, "MULTI"))
	tests := []struct {
		name, content, want string
		plays               int
	}{
		{"inline.aof", set + "SET a 1", "inline.aof: behind byte 27, inside a command: unexpected EOF", 1},
		{"open.aof", set + multi + "\x00\x00", "inside a command", 1},
		{"middle.aof", set + set[:len(set)-3] + set, "middle.aof: protocol error at byte 52: argument is not followed by CRLF", 1},
		{"wrong.aof", set + "$5\r\nhello\r\n", "wrong.aof: protocol error at byte 27", 1},
		{"cut.rdb", "REDIS0010", "cut.rdb: ", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := source.OpenRecording(write(tt.name, tt.content))
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := played(t, s)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(got) != tt.plays {
				t.Errorf("played %v, %v; want %d records and %q", got, err, tt.plays, tt.want)
			}
		})
	}
	for name, content := range map[string]string{
		"none.manifest":   "",
		"type.manifest":   "file a seq 1 type x\n",
		"path.manifest":   "file ../a seq 1 type b\n",
		"seq.manifest":    "file a seq x type b\n",
		"bases.manifest":  "file a seq 1 type b\nfile b seq 2 type b\n",
		"binary.manifest": "\x00\xff\n",
		"gone.manifest":   "file cut.rdb seq 1 type b\nfile nobody.aof seq 1 type i\n",
		"order.manifest":  "file cut.rdb seq 2 type i\nfile cut.rdb seq 1 type i\n",
		"odd.manifest":    "file cut.rdb seq 1 type\n",
		"quote.manifest":  "file \"cut.rdb seq 1 type b\n",
		"dots.manifest":   "file .. seq 1 type b\n",
		"slash.manifest":  "file a\\b seq 1 type b\n",
		"large.manifest":  strings.Repeat("# a comment that goes on\n", 50_000),
	} {
		if _, err := source.OpenRecording(write(name, content)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := source.OpenRecording(filepath.Join(dir, "nobody.manifest")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a manifest that is not there: %v", err)
	}
	s, err := source.OpenRecording(filepath.Join(dir, "nobody.aof"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := played(t, s); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// Several files play one after another, with offsets that go on; stopping early
// stops all.
func TestStreamSeveral(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i := range 3 {
		path := filepath.Join(dir, fmt.Sprint(i))
		in := resp.AppendCommand(nil, "SELECT", fmt.Sprint(i))
		in = resp.AppendCommand(in, "SET", "k", fmt.Sprint(i))
		if err := os.WriteFile(path, in, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	s, err := source.OpenRecording(paths...)
	if err != nil {
		t.Fatal(err)
	}
	got, last, err := played(t, s)
	if want := "0 SET k 0, 1 SET k 1, 2 SET k 2"; strings.Join(got, ", ") != want || err != nil {
		t.Errorf("played %v, %v, want %s", got, err, want)
	}
	if want := int64(3 * (23 + 27)); last.Offset != want || last.DB != 2 {
		t.Errorf("last position %v, want offset %d", last, want)
	}
	n := 0
	for range s.Records(t.Context(), source.Position{}, nil) {
		n++
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range s.Records(ctx, source.Position{}, nil) {
		n++
	}
	if n != 1 {
		t.Errorf("%d records after stopping", n)
	}
	var none io.Reader = strings.NewReader("")
	if got, _, err := played(t, source.NewRecording(none, "empty")); len(got) != 0 || err != nil {
		t.Errorf("nothing plays as %v, %v", got, err)
	}
}

// logged records what a recording tells, as "file offset bytes".
func logged(s *source.Recording) *[]string {
	var lines []string
	s.Logger = slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
		_, rest, _ := strings.Cut(string(b), "file=")
		lines = append(lines, filepath.Base(strings.TrimSuffix(rest, "\n")))
		return len(b), nil
	}), nil))
	return &lines
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// An append-only file that was cut, wherever that was, plays up to the last whole
// command or transaction, and where that ends is told: as a server starts with it.
func TestRecordingCut(t *testing.T) {
	dir := t.TempDir()
	whole := "#TS:1700000000\r\n" + string(resp.AppendCommand(resp.AppendCommand(resp.AppendCommand(nil, "SELECT", "1"), "SET", "a", "1"), "MULTI"))
	inside := len(whole) - len("*1\r\n$5\r\nMULTI\r\n")
	whole += string(resp.AppendCommand(resp.AppendCommand(resp.AppendCommand(nil, "SET", "b", "2"), "EXEC"), "SET", "c", "3")) + "#TS:1700000001\r\n"
	path := filepath.Join(dir, "x.aof")
	for n := range len(whole) + 1 {
		if err := os.WriteFile(path, []byte(whole[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := source.OpenRecording(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := logged(s)
		got, _, err := played(t, s)
		if err != nil {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
		if len(*lines) == 0 {
			continue
		}
		var at, left int
		if _, err := fmt.Sscanf((*lines)[0], "x.aof offset=%d bytes=%d", &at, &left); err != nil || at+left != n || len(*lines) != 1 {
			t.Errorf("cut to %d bytes: told %q", n, *lines)
		}
		if n > inside && len(got) == 1 && at != inside {
			t.Errorf("cut to %d bytes: told %q, want offset %d", n, *lines, inside)
		}
		again, err := source.OpenRecording(path)
		if err == nil {
			err = os.Truncate(path, int64(at))
		}
		if err != nil {
			t.Fatal(err)
		}
		told := logged(again)
		if same, _, err := played(t, again); err != nil || !slices.Equal(same, got) || len(*told) > 0 {
			t.Errorf("cut to %d bytes plays %q, cut to the %d that were told %q, %v", n, got, at, same, err)
		}
	}
}

// Real servers write the files, which are then cut: a server that starts with the
// cut file has the keys that its recording leaves.
func TestRecordingCutAgainstServers(t *testing.T) {
	for name, file := range map[string]string{"redis-6.0": "appendonly.aof", "redis-7.0": "appendonlydir/appendonly.aof.1.incr.aof"} {
		t.Run(name, func(t *testing.T) {
			args := []string{"--appendonly", "yes", "--appendfsync", "always"}
			srv := redistest.Start(t, name, args...)
			for i := range 4 {
				redistest.Do(t, srv, "SET", fmt.Sprint("key", i), "value")
			}
			if err := srv.Kill(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(srv.Dir, file)
			info, err := os.Stat(path)
			if err == nil {
				err = os.Truncate(path, info.Size()-5)
			}
			if err != nil {
				t.Fatal(err)
			}
			open := path
			if name == "redis-7.0" {
				open = filepath.Join(srv.Dir, "appendonlydir/appendonly.aof.manifest")
			}
			s, err := source.OpenRecording(open)
			if err != nil {
				t.Fatal(err)
			}
			lines := logged(s)
			got, _, err := played(t, s)
			if want := "0 SET key0 value, 0 SET key1 value, 0 SET key2 value"; err != nil || strings.Join(got, ", ") != want || len(*lines) != 1 {
				t.Errorf("played %q, %v, told %q", got, err, *lines)
			}
			if err := srv.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := redistest.Do(t, srv, "DBSIZE"); fmt.Sprint(n) != "3" {
				t.Errorf("the server has %v keys", n)
			}
			if cut, err := os.Stat(path); err != nil || !strings.Contains((*lines)[0], fmt.Sprintf("offset=%d ", cut.Size())) {
				t.Errorf("the server has cut its file to %d bytes, %v; told %q", cut.Size(), err, *lines)
			}
		})
	}
}

// Of a manifest only the last file may be cut, and offsets in errors are those in
// the file.
func TestRecordingManifest(t *testing.T) {
	dir := t.TempDir()
	set := string(resp.AppendCommand(nil, "SET", "a", "1"))
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("base.rdb", "REDIS0009\x00\x01k\x01v\xff\x00\x00\x00\x00\x00\x00\x00\x00")
	write("whole one.aof", set+set)
	write("cut.aof", set+set[:20])
	write("wrong.aof", set+"*1\r\n$x\r\n"+set)
	for _, tt := range []struct{ name, content, plays, err, told string }{
		{"all", "# comment\nfile \"whole one.aof\" seq 1 type i startoffset 7\nfile gone seq 9 type h\nfile base.rdb seq 1 type b\nfile cut.aof seq 2 type i\n", "0 key k, 0 SET a 1, 0 SET a 1, 0 SET a 1", "", "cut.aof offset=27 bytes=20"},
		{"cut in between", "file cut.aof seq 1 type i\nfile base.rdb seq 2 type i\n", "0 SET a 1", "cut.aof: behind byte 27, inside a command: unexpected EOF", ""},
		{"damaged", "file base.rdb seq 1 type b\nfile wrong.aof seq 2 type i", "0 key k, 0 SET a 1", "wrong.aof: protocol error at byte 32: not a digit", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := source.OpenRecording(write("x.manifest", tt.content))
			if err != nil {
				t.Fatal(err)
			}
			lines := logged(s)
			got, _, err := played(t, s)
			if strings.Join(got, ", ") != tt.plays || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("played %q, %v", got, err)
			}
			if strings.Join(*lines, ", ") != tt.told {
				t.Errorf("told %q, want %s", *lines, tt.told)
			}
		})
	}
	_, err := source.OpenRecording(write("x.manifest", "\n# two\nfile base.rdb seq 1 type b\nfile nobody seq 1 type i\n"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "x.manifest:4: ") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// The reading of a value that is far too large ends when it is wanted no more.
func TestRecordingStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.rdb")
	head := "REDIS0009\x00\x01k\x81\x00\x00\x00\x80\x00\x00\x00\x00" // a string of 512 GiB
	err := os.WriteFile(path, []byte(head), 0o600)
	if err == nil {
		err = os.Truncate(path, 1<<39) // it takes no room on the disk
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := source.OpenRecording(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	keys := 0
	for rec, err := range s.Records(ctx, source.Position{}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind == source.Key {
			keys++
			time.AfterFunc(20*time.Millisecond, cancel) // while the value is passed over, which takes many minutes
		}
	}
	if keys != 1 {
		t.Errorf("%d keys", keys)
	}
}
