package store

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	iofs "io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sidecar is the file "checkpoint" beside the database. It is a line of text
// that says up to which durable commit the database once was, so that the next
// start can tell whether it still is. It is replaced as a whole: a new file is
// written, synced and renamed.
type sidecar struct {
	fs  vfs.FS
	dir string

	mu     sync.Mutex            // guards what follows
	count  uint64                // durable commits
	latest map[string]streamMark // of streams, by name
	saved  uint64                // the count in the file; 0: there is none yet

	writing sync.Mutex // one write at a time
}

// streamMark is a stream's checkpoint, and the count of the commit that set it.
// Commits may be noted in another order than they were made.
type streamMark struct {
	count    uint64
	position string // "": removed
}

func newSidecar(fs vfs.FS, dir string) *sidecar {
	return &sidecar{fs: fs, dir: dir, latest: map[string]streamMark{}}
}

// sidecarLine is what the file says, in one line:
//
//	triggerd 3 <count of commits> {<stream, quoted> <checkpoint, quoted>} <crc32c of all before it, in hexadecimal>
//
// Format 2 had only one quoted checkpoint, that of the stream Standalone,
// without the stream's name. Format 1 had no database; its file has this
// checkpoint unquoted, and no count.
type sidecarLine struct {
	version   uint32
	count     uint64
	positions map[string]string // by stream
}

// sidecarLimit is more than the checkpoints of a thousand streams take when
// they are quoted.
const sidecarLimit = 32 << 20

// damagedSidecar says that the file is damaged.
type damagedSidecar struct{ path, what string }

func (e *damagedSidecar) Error() string { return e.path + ": " + e.what }

func (c *sidecar) path() string { return c.fs.PathJoin(c.dir, "checkpoint") }

// read returns what the file says; a zero version means that there is no file.
// Errors are ErrNewer, a damagedSidecar, or those of reading.
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
		f := formatRecord{version: line.version}
		return sidecarLine{}, f.newer()
	}
	return line, nil
}

// parseSidecar parses the line, or says what is wrong with it. Of a line of a
// later version it returns only the version.
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
		l.positions = standalone(rest)
	case version <= formatVersion:
		count, quoted, _ := strings.Cut(rest, " ")
		l.count, err = strconv.ParseUint(count, 10, 64)
		texts, ok := unquoteAll(quoted)
		switch {
		case err == nil && ok && version == 2 && len(texts) == 1:
			l.positions = standalone(texts[0])
		case err == nil && ok && version == formatVersion && len(texts)%2 == 0:
			l.positions = make(map[string]string, len(texts)/2)
			for i := 0; i < len(texts); i += 2 {
				l.positions[texts[i]] = texts[i+1]
			}
		default:
			return l, "its fields cannot be read"
		}
	}
	return l, ""
}

// standalone returns the checkpoints of a format that had only one stream.
func standalone(position string) map[string]string {
	if position == "" {
		return map[string]string{}
	}
	return map[string]string{Standalone: position}
}

// unquoteAll splits a line of quoted texts with one space between two.
func unquoteAll(line string) (texts []string, ok bool) {
	for line != "" {
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, false
		}
		text, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, false
		}
		texts = append(texts, text)
		rest, more := strings.CutPrefix(line[len(quoted):], " ")
		if !more && rest != "" || more && rest == "" {
			return nil, false
		}
		line = rest
	}
	return texts, true
}

func (l sidecarLine) text() string {
	line := fmt.Appendf(nil, "triggerd %d %d ", formatVersion, l.count)
	for _, stream := range slices.Sorted(maps.Keys(l.positions)) {
		line = append(strconv.AppendQuoteToASCII(line, stream), ' ')
		line = append(strconv.AppendQuoteToASCII(line, l.positions[stream]), ' ')
	}
	return string(line) + checksum(string(line)) + "\n"
}

func checksum(line string) string {
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(line), castagnoli))
}

// advance records that a commit, and the checkpoints that it set, are durable.
func (c *sidecar) advance(count uint64, checkpoints []streamPosition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count = max(c.count, count)
	for _, p := range checkpoints {
		if count >= c.latest[p.stream].count {
			c.latest[p.stream] = streamMark{count, p.position}
		}
	}
}

// commits returns how many durable commits there were.
func (c *sidecar) commits() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// position returns a stream's checkpoint, "" if there is none.
func (c *sidecar) position(stream string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest[stream].position
}

// line returns what is durable in the database.
func (c *sidecar) line() sidecarLine {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := sidecarLine{formatVersion, c.count, make(map[string]string, len(c.latest))}
	for stream, m := range c.latest {
		if m.position != "" {
			l.positions[stream] = m.position
		}
	}
	return l
}

// write brings the file up to date.
func (c *sidecar) write() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	upToDate := c.count == c.saved
	c.mu.Unlock()
	if upToDate {
		return nil
	}
	next := c.line()
	if err := c.replace(next.text()); err != nil {
		return fmt.Errorf("save checkpoint file: %w", err)
	}
	c.mu.Lock()
	c.saved = next.count
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

// compareSidecar compares the file with the database. It also takes the
// position of a format 1 directory into a new database.
func (s *Store) compareSidecar(saved sidecarLine, damaged *damagedSidecar) error {
	c, have := &s.next, s.side.line().positions
	switch {
	case damaged != nil && c.count <= 1:
		return fmt.Errorf("%w; to start without it, and miss what changed meanwhile, remove the file", damaged)
	case damaged != nil:
		s.log.Error("the checkpoint file is damaged; whether the store lost its tail cannot be told, and the file is written anew", "err", damaged)
	case saved.version == 1 && have[Standalone] == "" && saved.positions[Standalone] != "":
		if err := s.SaveCheckpoint(Standalone, saved.positions[Standalone]); err != nil {
			return err
		}
	case saved.version == 0 && c.count > 1:
		s.log.Error("the checkpoint file is missing; whether the store lost its tail cannot be told, and the file is written anew", "path", s.side.path())
	case saved.count > c.count:
		s.lost = newLostTail(saved.count-c.count, have, saved.positions)
		s.log.Error("the store lost its tail", "err", s.lost)
		c.count = saved.count       // so that the next commit is above all that were
		s.side.saved = s.side.count // said again until there is one
		return nil
	}
	return s.side.write()
}
