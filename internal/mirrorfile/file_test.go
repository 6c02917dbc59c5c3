package mirrorfile_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"triggerd/internal/disk"
	"triggerd/internal/mirrorfile"
	"triggerd/internal/wire"
)

var meta = mirrorfile.Meta{Position: "abc:77/2", Need: "some keys", Server: "redis 7", Other: []byte{1, 2}}

// writer returns a Writer that runs until the test ends.
func writer(t testing.TB, dir string) *mirrorfile.Writer {
	t.Helper()
	w, err := mirrorfile.NewWriter(disk.System, dir, slog.New(slog.DiscardHandler), func() {})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func run(t testing.TB, w *mirrorfile.Writer) *mirrorfile.Writer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func write(t testing.TB, w *mirrorfile.Writer, base bool, blocks ...string) (mirrorfile.File, error) {
	t.Helper()
	w.Begin(base)
	for _, b := range blocks {
		w.Add([]byte(b))
	}
	w.End(&meta)
	return w.Wait(t.Context())
}

func read(dir string, f mirrorfile.File) (blocks []string, m mirrorfile.Meta, err error) {
	m, err = mirrorfile.Read(dir, f, func(b []byte) error {
		blocks = append(blocks, string(b))
		return nil
	})
	return blocks, m, err
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	w := run(t, writer(t, dir))
	long := string(bytes.Repeat([]byte("x"), 3<<20))
	var list []mirrorfile.File
	for i, blocks := range [][]string{{"one", long, "three"}, {}, {"four"}} {
		f, err := write(t, w, i == 0, blocks...)
		if err != nil {
			t.Fatal(err)
		}
		got, m, err := read(dir, f)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(blocks) || fmt.Sprint(m) != fmt.Sprint(meta) {
			t.Errorf("got %.100q, %v, %v", got, m, err)
		}
		in := wire.NewCursor(f.Append(nil))
		if again := mirrorfile.ParseFile(&in); again != f || in.End() != nil {
			t.Errorf("%v became %v", f, again)
		}
		if f2, m, err := mirrorfile.Verify(mirrorfile.Path(dir, f.Number)); err != nil || f2 != f || m.Position != meta.Position {
			t.Errorf("%v, %v, %v", f2, m, err)
		}
		list = append(list, f)
	}
	if w.Behind() != 0 {
		t.Errorf("%d bytes behind", w.Behind())
	}
	// What is in no list goes, a newer one stays.
	newer, err := write(t, w, false, "newer")
	if err != nil {
		t.Fatal(err)
	}
	w.Keep(list[1:], list[2].Number)
	write(t, w, false) // in whose turn it is done
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) != 4 {
		t.Errorf("left: %v", left)
	}
	if _, _, err := read(dir, newer); err != nil {
		t.Error(err)
	}
	if w2 := writer(t, dir); true { // another process goes on with other numbers
		run(t, w2)
		if f, err := write(t, w2, true); err != nil || f.Number <= newer.Number {
			t.Errorf("%v, %v", f, err)
		}
		w2.Keep(nil, w2.Last())
		write(t, w2, true)
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
			t.Errorf("left: %v", left)
		}
	}
}

// TestNoFileIsHalf: what a process leaves that dies while it writes, and what
// becomes of any byte that is another, is an error that names the file.
func TestNoFileIsHalf(t *testing.T) {
	dir := t.TempDir()
	w := run(t, writer(t, dir))
	f, err := write(t, w, true, "a block", "and another")
	if err != nil {
		t.Fatal(err)
	}
	path := mirrorfile.Path(dir, f.Number)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := read(dir, f)
		if !errors.Is(err, mirrorfile.ErrDamaged) && !errors.Is(err, mirrorfile.ErrNewer) || !bytes.Contains([]byte(err.Error()), []byte(path)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range whole {
		check(fmt.Sprintf("%d bytes", n), whole[:n])
		b := bytes.Clone(whole)
		b[n] ^= 0x10
		check(fmt.Sprintf("byte %d", n), b)
	}
	check("more", append(bytes.Clone(whole), 0))
	check("another file", []byte("a file of somebody else, which is long enough to be one"))
	other, err := write(t, w, true, "a block", "and anothez")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(mirrorfile.Path(dir, other.Number))
	check("the file of another number", b)
	newer := bytes.Clone(whole)
	binary.BigEndian.PutUint16(newer[15:], 2)
	check("newer", newer)
	if _, _, err := read(dir, f); !errors.Is(err, mirrorfile.ErrNewer) {
		t.Errorf("a later version: %v", err)
	}
	os.Remove(path)
	if _, _, err := read(dir, f); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestFaults: a file that could not be written is told, and leaves nothing; the
// next one is written.
func TestFaults(t *testing.T) {
	broken := errors.New("broken")
	once := func() func() error {
		n := 0
		return func() error {
			if n++; n == 1 {
				return broken
			}
			return nil
		}
	}
	for name, faults := range map[string]*mirrorfile.Faults{
		"create": {Create: once()}, "write": {Write: once()}, "sync": {Sync: once()},
		"space": {Free: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := writer(t, dir)
			w.Fail(faults)
			run(t, w)
			if f, err := write(t, w, true, "block"); !errors.Is(err, broken) && !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("%v, %v", f, err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
			if name == "space" {
				return
			}
			f, err := write(t, w, true, "block")
			if _, _, rerr := read(dir, f); err != nil || rerr != nil {
				t.Errorf("%v, %v", err, rerr)
			}
		})
	}
	w := writer(t, t.TempDir())
	w.Fail(&mirrorfile.Faults{SyncDir: once()})
	run(t, w)
	if _, err := write(t, w, true); !errors.Is(err, broken) {
		t.Errorf("a name that is not synced: %v", err)
	}
}

// FuzzRead reads anything: blocks come only of a file that says so, and what it
// takes in memory is what it has.
func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	w := run(f, writer(f, dir))
	for _, blocks := range [][]string{{"a block", "another"}, {}} {
		w.Begin(len(blocks) > 0)
		for _, b := range blocks {
			w.Add([]byte(b))
		}
		w.End(&meta)
		file, err := w.Wait(context.Background())
		if err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(mirrorfile.Path(dir, file.Number))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		path := mirrorfile.Path(dir, 1)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file, _, err := mirrorfile.Verify(path)
		if err != nil {
			return
		}
		var blocks [][]byte
		m, err := mirrorfile.Read(dir, file, func(b []byte) error {
			blocks = append(blocks, bytes.Clone(b))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		size, sum := int64(0), uint32(0)
		for i, b := range blocks {
			size += int64(len(b))
			head := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, file.Number), uint64(i))
			table := crc32.MakeTable(crc32.Castagnoli)
			sum = crc32.Update(sum, table, binary.BigEndian.AppendUint32(nil, crc32.Checksum(append(head, b...), table)))
		}
		if size != file.Bytes || sum != file.Sum || len(m.Position) > len(b) {
			t.Fatalf("%v has %d bytes, sum %x", file, size, sum)
		}
	})
}
