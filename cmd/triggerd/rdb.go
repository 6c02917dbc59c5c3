package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"triggerd/internal/glob"
	"triggerd/rdb"
)

type rdbOptions struct {
	keys     []string
	patterns []*glob.Pattern // of keys
	types    []string
	dbs      []int
	noValues bool
	stats    bool
}

func newRDBCommand() *cobra.Command {
	opts := &rdbOptions{}
	cmd := &cobra.Command{
		Use:   "rdb FILE|-",
		Short: "Print a snapshot (dump.rdb) as JSON, one line for each key",
		Long: `Rdb prints the keys of a snapshot of any Redis or Valkey version, one JSON
object on a line:

  {"db":0,"key":B,"type":"hash","encoding":"listpack","expire_ms":null,"value":V}

B is a string, or {"$base64":"..."} where the bytes are not UTF-8. V is B for a
string, [B,...] for a list or set, [[member,"score"],...] for a zset, and for a
hash [[field,value],...], where a third item, a time in ms or null, is there if
any of its fields expire. Streams, modules and arrays are objects and arrays.

The checksum is verified. Memory does not grow with the file: values are printed
as they are read, and keys that are not wanted are passed over undecoded.
Collections without elements are left out, as servers leave them out, and what
servers refuse, such as a set with a member twice, is an error with its offset
and key.`,
		Example: `  triggerd rdb dump.rdb | jq -r 'select(.expire_ms == null).key'
  triggerd rdb --keys 'session:*' --no-values dump.rdb | wc -l
  redis-cli --rdb - | triggerd rdb --stats -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(args[0], cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&opts.keys, "keys", nil, "only keys that match this glob (* ? [a-z]); may be repeated")
	f.StringSliceVar(&opts.types, "type", nil, "only keys of these types: "+strings.Join(typeNames(), ", "))
	f.IntSliceVar(&opts.dbs, "db", nil, "only keys of these databases")
	f.BoolVar(&opts.noValues, "no-values", false, "print no values")
	f.BoolVar(&opts.stats, "stats", false, "print no keys, but how many of which type and encoding, and the largest")
	return cmd
}

func typeNames() (names []string) {
	for t := rdb.TypeString; t <= rdb.TypeArray; t++ {
		names = append(names, t.String())
	}
	return names
}

func (o *rdbOptions) run(name string, stdin io.Reader, stdout, stderr io.Writer) error {
	for _, t := range o.types {
		if !slices.Contains(typeNames(), t) {
			return fmt.Errorf("unknown type %q: not one of %s", t, strings.Join(typeNames(), ", "))
		}
	}
	for _, text := range o.keys {
		p, err := glob.Parse(text)
		if err != nil {
			return fmt.Errorf("--keys: %w", err)
		}
		o.patterns = append(o.patterns, p)
	}
	in, size := stdin, int64(0)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return failed(err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		in = f
	}
	bar := newProgressBar(stdout, stderr, size)
	if bar == nil && !isTerminal(stderr) {
		bar = newProgressLines(stderr, size)
	}
	in = bar.watch(in)
	r := rdb.NewReader(in)
	r.Strict = true
	start := time.Now()
	var err error
	if o.stats {
		s := newRDBStats()
		if err = o.gather(r, s); err == nil {
			bar.clear()
			err = s.print(stdout, r, time.Since(start))
		}
	} else {
		err = o.print(r, stdout)
	}
	bar.clear()
	if err != nil {
		return failed(fmt.Errorf("%s: %w", name, err))
	}
	if n := r.EmptyKeys(); n > 0 {
		fmt.Fprintf(stderr, "triggerd: %s: %s left out, without elements: servers do not load them\n", name, plural(int(n), "key"))
	}
	if size > r.Offset() {
		fmt.Fprintf(stderr, "triggerd: %s: %d bytes follow the snapshot, from offset %d on\n", name, size-r.Offset(), r.Offset())
	}
	return nil
}

// wants tells whether the key is one that was asked for.
func (o *rdbOptions) wants(e *rdb.Entry) bool {
	if len(o.dbs) > 0 && !slices.Contains(o.dbs, e.DB) {
		return false
	}
	if len(o.types) > 0 && !slices.Contains(o.types, e.Type.String()) {
		return false
	}
	return len(o.patterns) == 0 || slices.ContainsFunc(o.patterns, func(p *glob.Pattern) bool { return p.Match(e.Key) })
}

func (o *rdbOptions) print(r *rdb.Reader, w io.Writer) error {
	j := rdb.NewJSONWriter(w)
	j.NoValues = o.noValues
	for {
		e, err := r.Next()
		if err == nil && o.wants(e) {
			err = j.Write(r)
		}
		if err == io.EOF {
			return j.Flush()
		}
		if err != nil {
			return errors.Join(err, j.Flush()) // what is before the fault is good
		}
	}
}

// rdbStats is what --stats prints.
type rdbStats struct {
	kinds    map[rdbKind]*rdbCount
	total    rdbCount
	expiring int64
	dbs      map[int]int64
	largest  []rdbSize // in descending order
}

type rdbKind struct {
	typ rdb.Type
	enc rdb.Encoding
}

type rdbCount struct{ keys, bytes int64 }

func (c *rdbCount) add(bytes int64) {
	c.keys++
	c.bytes += bytes
}

type rdbSize struct {
	db    int
	key   string
	kind  rdbKind
	bytes int64
}

// manyLargest is how many of the largest keys are printed.
const manyLargest = 10

func newRDBStats() *rdbStats {
	return &rdbStats{kinds: map[rdbKind]*rdbCount{}, dbs: map[int]int64{}}
}

// gather counts the keys that were asked for. A key's size is that of its name
// and value in the snapshot.
func (o *rdbOptions) gather(r *rdb.Reader, s *rdbStats) error {
	for {
		e, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		start := r.Offset()
		if err := r.Skip(); err != nil {
			return err
		}
		if o.wants(e) {
			s.add(e, r.Offset()-start+int64(len(e.Key)))
		}
	}
}

func (s *rdbStats) add(e *rdb.Entry, bytes int64) {
	kind := rdbKind{e.Type, e.Encoding}
	c := s.kinds[kind]
	if c == nil {
		c = &rdbCount{}
		s.kinds[kind] = c
	}
	c.add(bytes)
	s.total.add(bytes)
	s.dbs[e.DB]++
	if e.ExpireAt != 0 {
		s.expiring++
	}
	if len(s.largest) == manyLargest && bytes <= s.largest[manyLargest-1].bytes {
		return
	}
	at, _ := slices.BinarySearchFunc(s.largest, bytes, func(l rdbSize, n int64) int {
		if l.bytes >= n {
			return -1
		}
		return 1
	})
	s.largest = slices.Insert(s.largest, at, rdbSize{e.DB, string(e.Key[:min(len(e.Key), 200)]), kind, bytes})
	s.largest = s.largest[:min(len(s.largest), manyLargest)]
}

func (s *rdbStats) print(out io.Writer, r *rdb.Reader, took time.Duration) error {
	version, valkey := r.Version()
	server := "redis"
	if valkey {
		server = "valkey"
	}
	written := ""
	for _, name := range []string{"redis", "valkey"} {
		if v, ok := r.Aux(name + "-ver"); ok {
			written = fmt.Sprintf(", written by %s %q", name, v)
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s RDB version %d%s\n", server, version, strings.ReplaceAll(written, `"`, ""))
	fmt.Fprintf(w, "%d keys in %d databases, %d of them with an expiry\n", s.total.keys, len(s.dbs), s.expiring)
	fmt.Fprintf(w, "%d bytes read in %.2f s, %.0f MB/s, checksum verified\n\n", r.Offset(), took.Seconds(),
		float64(r.Offset())/1e6/max(took.Seconds(), 1e-9))
	fmt.Fprintln(w, "TYPE\tENCODING\tKEYS\tBYTES\tAVERAGE")
	kinds := make([]rdbKind, 0, len(s.kinds))
	for k := range s.kinds {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b rdbKind) int {
		return cmp.Or(cmp.Compare(s.kinds[b].bytes, s.kinds[a].bytes), cmp.Compare(a.typ, b.typ), cmp.Compare(a.enc, b.enc))
	})
	for _, k := range kinds {
		c := s.kinds[k]
		fmt.Fprintf(w, "%v\t%v\t%d\t%d\t%d\n", k.typ, k.enc, c.keys, c.bytes, c.bytes/c.keys)
	}
	fmt.Fprintf(w, "all\t\t%d\t%d\t%d\n\n", s.total.keys, s.total.bytes, s.total.bytes/max(1, s.total.keys))
	fmt.Fprintln(w, "LARGEST\tDB\tTYPE\tENCODING\tKEY")
	for _, l := range s.largest {
		fmt.Fprintf(w, "%d\t%d\t%v\t%v\t%q\n", l.bytes, l.db, l.kind.typ, l.kind.enc, l.key)
	}
	return w.Flush()
}

// progressBar shows how far a file was read. The nil bar shows nothing.
type progressBar struct {
	w     io.Writer
	lines bool  // w is no terminal: now and then a line
	size  int64 // 0: not known
	read  int64
	start time.Time
	shown time.Time // when the bar was last drawn; zero: never
}

// newProgressBar returns a bar if stderr is a terminal, stdout is none, on
// which the bar would be among the output, and the size is known.
func newProgressBar(stdout, stderr io.Writer, size int64) *progressBar {
	if size == 0 || !isTerminal(stderr) || isTerminal(stdout) {
		return nil
	}
	return &progressBar{w: stderr, size: size, start: time.Now()}
}

// lineEvery is how often a line tells of progress.
const lineEvery = 10 * time.Second

// newProgressLines returns a bar for a stderr that is no terminal, but a log.
func newProgressLines(stderr io.Writer, size int64) *progressBar {
	now := time.Now()
	return &progressBar{w: stderr, lines: true, size: size, start: now, shown: now}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p *progressBar) watch(in io.Reader) io.Reader {
	if p == nil {
		return in
	}
	return &watchedReader{in, p}
}

type watchedReader struct {
	in  io.Reader
	bar *progressBar
}

func (w *watchedReader) Read(b []byte) (int, error) {
	n, err := w.in.Read(b)
	w.bar.advance(n, time.Now())
	return n, err
}

// advance notes n more bytes and draws the bar, ten times a second at most and
// not for what is done in a moment.
func (p *progressBar) advance(n int, now time.Time) {
	p.read += int64(n)
	if p.lines {
		p.line(now)
		return
	}
	if now.Sub(p.start) < 300*time.Millisecond || now.Sub(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown = now
	const width = 30
	done := float64(p.read) / float64(p.size)
	full := min(width, int(done*width))
	rate := float64(p.read) / 1e6 / now.Sub(p.start).Seconds()
	fmt.Fprintf(p.w, "\r[%s%s] %3.0f%%  %.0f of %.0f MB  %.0f MB/s ", strings.Repeat("#", full), strings.Repeat(".", width-full),
		100*done, float64(p.read)/1e6, float64(p.size)/1e6, rate)
}

func (p *progressBar) line(now time.Time) {
	if now.Sub(p.shown) < lineEvery {
		return
	}
	p.shown = now
	of := ""
	if p.size > 0 {
		of = fmt.Sprintf(" of %.0f", float64(p.size)/1e6)
	}
	fmt.Fprintf(p.w, "triggerd: %.0f%s MB read, %.0f MB/s\n", float64(p.read)/1e6, of, float64(p.read)/1e6/now.Sub(p.start).Seconds())
}

// clear takes the bar away.
func (p *progressBar) clear() {
	if p != nil && !p.lines && !p.shown.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = time.Time{}
	}
}
