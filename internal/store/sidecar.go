package store

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	iofs "io/fs"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sidecar is the file "checkpoint": a line of text that says up to which
// durable commit the database once was, so that the next start can tell
// whether it still is. It is replaced as a whole: written beside, synced,
// renamed.
type sidecar struct {
	fs  vfs.FS
	dir string

	mu    sync.Mutex // guards what follows
	last  sidecarLine
	saved sidecarLine

	writing sync.Mutex // one write at a time
}

// sidecarLine is what the file says.
//
//	triggerd 2 <count of commits> <checkpoint, quoted> <crc32c of all before it, in hexadecimal>
//
// Format 1, in which there was no database, had the checkpoint as it is in
// place of the count and the quoted checkpoint.
type sidecarLine struct {
	version  uint32
	count    uint64
	position string
}

// sidecarLimit is more than any checkpoint takes when it is quoted.
const sidecarLimit = 16*MaxName + 256

// damagedSidecar tells that the file is there and cannot be what was written.
type damagedSidecar struct{ path, what string }

func (e *damagedSidecar) Error() string { return e.path + ": " + e.what }

func (c *sidecar) path() string { return c.fs.PathJoin(c.dir, "checkpoint") }

// read returns what the file says; a zero version: there is no file. Errors are
// ErrNewer, a damagedSidecar, or those of reading.
func (c *sidecar) read() (sidecarLine, error) {
	f, err := c.fs.Open(c.path())
	if errors.Is(err, iofs.ErrNotExist) {
		return sidecarLine{}, nil
	}
	if err != nil {
		return sidecarLine{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, sidecarLimit))
	if err != nil {
		return sidecarLine{}, fmt.Errorf("checkpoint file: %w", err)
	}
	line, what := parseSidecar(string(b))
	if what != "" {
		return sidecarLine{}, &damagedSidecar{c.path(), what}
	}
	if line.version > formatVersion {
		return sidecarLine{}, newer(line.version)
	}
	return line, nil
}

// parseSidecar reads the line, or says what is wrong with it. Of a later
// version it knows the version only.
func parseSidecar(text string) (l sidecarLine, what string) {
	text, ended := strings.CutSuffix(text, "\n")
	i := strings.LastIndexByte(text, ' ')
	if !ended || i < 0 || checksum(text[:i+1]) != text[i+1:] {
		return l, "it is damaged"
	}
	word, rest, _ := strings.Cut(text[:i], " ")
	number, rest, _ := strings.Cut(rest, " ")
	version, err := strconv.ParseUint(number, 10, 32)
	if word != "triggerd" || err != nil || version == 0 {
		return l, "it is not a checkpoint file"
	}
	l.version = uint32(version)
	switch {
	case version == 1:
		l.position = rest
	case version == formatVersion:
		count, quoted, _ := strings.Cut(rest, " ")
		l.count, err = strconv.ParseUint(count, 10, 64)
		position, quoteErr := strconv.Unquote(quoted)
		if err != nil || quoteErr != nil {
			return l, "its fields cannot be read"
		}
		l.position = position
	}
	return l, ""
}

func (l sidecarLine) text() string {
	line := fmt.Sprintf("triggerd %d %d %s ", formatVersion, l.count, strconv.QuoteToASCII(l.position))
	return line + checksum(line) + "\n"
}

func checksum(line string) string {
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(line), castagnoli))
}

// advance notes what is durable in the database.
func (c *sidecar) advance(count uint64, position string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if count > c.last.count || c.last.version == 0 {
		c.last = sidecarLine{formatVersion, count, position}
	}
}

// latest returns what is durable in the database.
func (c *sidecar) latest() (count uint64, position string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last.count, c.last.position
}

// write brings the file up to date.
func (c *sidecar) write() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	next, saved := c.last, c.saved
	c.mu.Unlock()
	if next == saved {
		return nil
	}
	if err := c.replace(next.text()); err != nil {
		return fmt.Errorf("save checkpoint file: %w", err)
	}
	c.mu.Lock()
	c.saved = next
	c.mu.Unlock()
	return nil
}

func (c *sidecar) replace(text string) error {
	temp := c.path() + ".new"
	f, err := c.fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := c.fs.Rename(temp, c.path()); err != nil {
		return err
	}
	return syncDir(c.fs, c.dir)
}

// compareSidecar tells what the file and the database say of one another, and
// brings the position of a format 1 directory into a new database.
func (s *Store) compareSidecar(saved sidecarLine, damaged *damagedSidecar) error {
	c := &s.next
	switch {
	case damaged != nil && c.count <= 1:
		return fmt.Errorf("%w; to start without it, and miss what changed meanwhile, remove the file", damaged)
	case damaged != nil:
		s.log.Error("the checkpoint file is damaged; whether the store lost its tail cannot be told, and the file is written anew", "err", damaged)
	case saved.version == 1 && c.checkpoint == "" && saved.position != "":
		if err := s.SaveCheckpoint(saved.position); err != nil {
			return err
		}
	case saved.version == 0 && c.count > 1:
		s.log.Error("the checkpoint file is missing; whether the store lost its tail cannot be told, and the file is written anew", "path", s.side.path())
	case saved.count > c.count:
		s.lost = &LostTail{From: c.checkpoint, To: saved.position, Commits: saved.count - c.count}
		s.log.Error("the store lost its tail", "from", s.lost.From, "to", s.lost.To, "commits", s.lost.Commits)
		c.count = saved.count      // so that the next commit is above all that were
		s.side.saved = s.side.last // said again until there is one
		return nil
	}
	return s.side.write()
}
