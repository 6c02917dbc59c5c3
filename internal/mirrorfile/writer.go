package mirrorfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"triggerd/internal/disk"
	"triggerd/internal/failpoint"
)

// minFree is how much of the disk a file leaves free: what the store and the
// spool need comes first.
const minFree = 128 << 20

// Writer writes the files of a mirror, one after another. Begin, Add, End, Poll,
// Drain and Wait are for one goroutine, Keep is for any. None of them but Wait
// and Drain waits for the disk.
type Writer struct {
	dir string
	log *slog.Logger
	fs  disk.FS

	told  func()        // the present file has come to its end
	wake  chan struct{} // capacity 1: Run has something to do
	ended chan result   // capacity 1

	mu    sync.Mutex // guards what follows
	less  *sync.Cond // bytes has become less
	queue []job
	bytes int64 // of blocks in queue
	spare []byte
	last  uint64 // number of the newest file
}

// job is what Run has to do next.
type job struct {
	begin *File
	block []byte
	end   *Meta
	keep  *keeping
}

// keeping says which files are to stay: those of the list, and those behind a
// number.
type keeping struct {
	list map[uint64]bool
	to   uint64
}

// result is what became of a file.
type result struct {
	file File
	err  error
}

// NewWriter returns a Writer of the files in a directory of a disk, which it makes. told
// is called, by another goroutine, whenever Poll would return something new.
func NewWriter(fs disk.FS, dir string, log *slog.Logger, told func()) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, log: log, fs: fs, told: told, wake: make(chan struct{}, 1), ended: make(chan result, 1)}
	w.less = sync.NewCond(&w.mu)
	parent := filepath.Dir(dir)
	if err := errors.Join(w.fs.SyncDir(parent), w.fs.SyncDir(filepath.Dir(parent))); err != nil { // they have new names
		return nil, err
	}
	list, err := numbers(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range list {
		w.last = max(w.last, n)
	}
	return w, nil
}

// Begin begins a file: a base, or what has changed since the one before. The one
// before has to have ended.
func (w *Writer) Begin(base bool) {
	w.mu.Lock()
	w.last++
	f := File{Number: w.last, Base: base}
	w.mu.Unlock()
	w.add(job{begin: &f})
}

// Add adds a block, which is the Writer's from now on, and at most MaxBlock bytes
// long. It returns memory for another one, or nil.
func (w *Writer) Add(block []byte) []byte {
	w.add(job{block: block})
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.spare
	w.spare = nil
	return b
}

// End says that the file has all its blocks.
func (w *Writer) End(m *Meta) { w.add(job{end: m}) }

// Behind returns how many bytes are not written yet.
func (w *Writer) Behind() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes
}

// Drain waits until no more than so many are not. Run has to be running.
func (w *Writer) Drain(bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.bytes > bytes {
		w.less.Wait()
	}
}

func (w *Writer) add(j job) {
	w.mu.Lock()
	w.queue = append(w.queue, j)
	w.bytes += int64(len(j.block))
	w.mu.Unlock()
	w.signal()
}

func (w *Writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Poll returns the file that has ended, once it outlives the machine. The error
// says why there is none. done: it is there, or not.
func (w *Writer) Poll() (f File, done bool, err error) {
	select {
	case r := <-w.ended:
		return r.file, true, r.err
	default:
		return File{}, false, nil
	}
}

// Wait waits for that.
func (w *Writer) Wait(ctx context.Context) (File, error) {
	select {
	case r := <-w.ended:
		return r.file, r.err
	case <-ctx.Done():
		return File{}, context.Cause(ctx)
	}
}

// Last returns the number of the newest file that was begun.
func (w *Writer) Last() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// Keep has all files removed up to a number that are not in a list. Newer ones may
// be written just now, or wait to be noted.
func (w *Writer) Keep(list []File, to uint64) {
	k := keeping{list: map[uint64]bool{}, to: to}
	for _, f := range list {
		k.list[f.Number] = true
	}
	w.add(job{keep: &k})
}

// Run writes until ctx is done, and then what was added before. It is to be
// called once.
func (w *Writer) Run(ctx context.Context) {
	var c current
	for {
		select {
		case <-ctx.Done():
			w.work(&c)
			c.giveUp(w)
			return
		case <-w.wake:
			w.work(&c)
		}
	}
}

// current is the file that is written.
type current struct {
	file   File
	f      disk.File // nil: there is none, or it has failed
	err    error
	blocks int64
	buf    []byte
}

// work does all that waits.
func (w *Writer) work(c *current) {
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.mu.Unlock()
			return
		}
		j := w.queue[0]
		w.queue = w.queue[1:]
		w.mu.Unlock()
		switch {
		case j.begin != nil:
			c.giveUp(w)
			c.begin(w, *j.begin)
		case j.end != nil:
			w.finish(c, j.end)
		case j.keep != nil:
			w.remove(j.keep)
		default:
			c.write(w, j.block)
			w.mu.Lock()
			w.bytes -= int64(len(j.block))
			w.spare = j.block[:0]
			w.less.Broadcast()
			w.mu.Unlock()
		}
	}
}

func (c *current) begin(w *Writer, f File) {
	*c = current{file: f, buf: c.buf}
	if free, _, known := w.fs.Free(w.dir); known && free < minFree {
		c.err = fmt.Errorf("%d MB free on the disk of %s, less than %d MB: %w", free>>20, w.dir, minFree>>20, syscall.ENOSPC)
		return
	}
	if c.f, c.err = w.fs.Create(Path(w.dir, f.Number)); c.err != nil {
		return
	}
	failpoint.Here("file-begun")
	c.put(w, appendHeader(c.buf[:0], f))
}

// put writes bytes.
func (c *current) put(w *Writer, b []byte) {
	if c.f == nil {
		return
	}
	if _, err := c.f.Write(b); err != nil {
		c.fail(w, err)
	}
}

// fail gives the file up.
func (c *current) fail(w *Writer, err error) {
	c.err = err
	c.giveUp(w)
}

// giveUp removes a file that has no end.
func (c *current) giveUp(w *Writer) {
	if c.f == nil {
		return
	}
	c.f.Close()
	c.f = nil
	if err := w.fs.Remove(Path(w.dir, c.file.Number)); err != nil {
		w.log.Warn("a file of the mirror that is of no use is not removed", "err", err)
	}
}

func (c *current) write(w *Writer, block []byte) {
	if len(block) == 0 || c.f == nil {
		return
	}
	if len(block) > MaxBlock {
		c.fail(w, fmt.Errorf("a block of %d bytes", len(block)))
		return
	}
	crc := blockSum(c.file.Number, c.blocks, block)
	c.blocks++
	c.file.Bytes += int64(len(block))
	c.file.Sum = addSum(c.file.Sum, crc)
	c.buf = binary.BigEndian.AppendUint32(c.buf[:0], uint32(len(block)))
	c.put(w, binary.BigEndian.AppendUint32(c.buf, crc))
	c.put(w, block)
}

// finish ends a file, and tells what became of it.
func (w *Writer) finish(c *current, m *Meta) {
	c.put(w, appendFooter(c.buf[:0], c.file, c.blocks, m))
	if c.f != nil {
		if err := c.f.Sync(); err != nil {
			c.fail(w, fmt.Errorf("sync: %w", err))
		}
		failpoint.Here("file-synced")
	}
	if c.f != nil {
		err := c.f.Close()
		if err == nil {
			err = w.fs.SyncDir(w.dir)
		}
		c.f = nil
		c.err = err
	}
	w.ended <- result{c.file, c.err}
	*c = current{buf: c.buf}
	w.told()
}

// remove removes files that are not to be kept.
func (w *Writer) remove(k *keeping) {
	list, err := numbers(w.dir)
	for _, n := range list {
		if !k.list[n] && n <= k.to && err == nil {
			err = w.fs.Remove(Path(w.dir, n))
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.log.Warn("a file of the mirror that is of no use is not removed", "err", err)
	}
	failpoint.Here("files-removed")
}
