package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"triggerd/internal/resp"
)

// seen is what matters of a Record, in a form that can be compared.
type seen struct {
	Kind   Kind
	Args   string // quoted
	DB     int
	Offset int64
	Bytes  int
	Tx     Tx
	Gap    bool
	From   Position
	Pos    Position
}

func see(r *Record) seen {
	s := seen{Kind: r.Kind, DB: r.DB, Offset: r.Offset, Bytes: r.Bytes, Tx: r.Tx, Gap: r.Gap, From: r.From, Pos: r.Pos}
	for i, a := range r.Args {
		if i > 0 {
			s.Args += " "
		}
		s.Args += strings.Trim(fmt.Sprintf("%q", a), `"`)
	}
	if r.Entry != nil {
		s.Args, s.DB = fmt.Sprintf("%q", r.Entry.Key), r.Entry.DB
	}
	return s
}

// chunked reads data in pieces of n bytes; 0: all at once.
type chunked struct {
	data []byte
	n    int
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	k := min(len(p), len(c.data))
	if c.n > 0 {
		k = min(k, c.n)
	}
	copy(p, c.data[:k])
	c.data = c.data[k:]
	return k, nil
}

var start = Position{ReplID: "id", Offset: 1000, DB: 3}

// decodeAll decodes a stream that begins at from.
func decodeAll(stream []byte, from Position, chunk, maxTx int) (recs []seen, err error) {
	d := newDecoder(resp.NewReader(&chunked{stream, chunk}, resp.Limits{}), from, maxTx, time.Now)
	for {
		r, err := d.next()
		if err != nil {
			return recs, err
		}
		recs = append(recs, see(r))
	}
}

// cmd returns commands, their words separated by spaces, in RESP.
func cmd(commands ...string) string {
	var b []byte
	for _, c := range commands {
		b = resp.AppendCommand(b, strings.Split(c, " ")...)
	}
	return string(b)
}

// at is a position in the test's history.
func at(offset int64, db int) Position { return Position{ReplID: "id", Offset: offset, DB: db} }

func TestDecode(t *testing.T) {
	none := Position{}
	big := strings.Repeat("x", 3000)
	for _, c := range []struct {
		name   string
		stream string
		maxTx  int
		want   []seen
	}{
		{"command", cmd("SET a 1"), 0, []seen{
			{Kind: Command, Args: "SET a 1", DB: 3, Offset: 1027, Bytes: 27, Pos: at(1027, 3)}}},
		{"binary, empty and no arguments", "*3\r\n$3\r\nset\r\n$2\r\n\r\n\r\n$0\r\n\r\n*1\r\n$0\r\n\r\n", 0, []seen{
			{Kind: Command, Args: `set \r\n `, DB: 3, Offset: 1027, Bytes: 27, Pos: at(1027, 3)},
			{Kind: Command, DB: 3, Offset: 1037, Bytes: 10, Pos: at(1037, 3)}}},
		{"inline", "SET a \"b c\"\r\n", 0, []seen{
			{Kind: Command, Args: `SET a b c`, DB: 3, Offset: 1013, Bytes: 13, Pos: at(1013, 3)}}},
		{"SELECT in any case", cmd("select 5", "SET a 1"), 0, []seen{
			{Kind: Heartbeat, DB: 5, Offset: 1023, Pos: at(1023, 5)},
			{Kind: Command, Args: "SET a 1", DB: 5, Offset: 1050, Bytes: 27, Pos: at(1050, 5)}}},
		{"bare newlines are counted", "\n\r\n" + cmd("SET a 1"), 0, []seen{
			{Kind: Heartbeat, DB: 3, Offset: 1001, Pos: at(1001, 3)},
			{Kind: Heartbeat, DB: 3, Offset: 1003, Pos: at(1003, 3)},
			{Kind: Command, Args: "SET a 1", DB: 3, Offset: 1030, Bytes: 27, Pos: at(1030, 3)}}},
		{"keepalives", cmd("ping", "PING", "REPLCONF GETACK *", "replconf getack *"), 0, []seen{
			{Kind: Heartbeat, DB: 3, Offset: 1014, Pos: at(1014, 3)},
			{Kind: Heartbeat, DB: 3, Offset: 1028, Pos: at(1028, 3)},
			{Kind: Heartbeat, DB: 3, Offset: 1065, Pos: at(1065, 3)},
			{Kind: Heartbeat, DB: 3, Offset: 1102, Pos: at(1102, 3)}}},
		{"names that only begin like those of the link", cmd("PINGX", "SELECTS 1", "MULTIX"), 0, []seen{
			{Kind: Command, Args: "PINGX", DB: 3, Offset: 1015, Bytes: 15, Pos: at(1015, 3)},
			{Kind: Command, Args: "SELECTS 1", DB: 3, Offset: 1039, Bytes: 24, Pos: at(1039, 3)},
			{Kind: Command, Args: "MULTIX", DB: 3, Offset: 1055, Bytes: 16, Pos: at(1055, 3)}}},
		{"transaction", cmd("MULTI", "SET a 1", "DEL b", "exec"), 0, []seen{
			{Kind: Command, Args: "SET a 1", DB: 3, Offset: 1042, Bytes: 27, Tx: Tx{"id:1000", 1, 2}, Pos: none},
			{Kind: Command, Args: "DEL b", DB: 3, Offset: 1062, Bytes: 20, Tx: Tx{"id:1000", 2, 2}, Pos: at(1076, 3)}}},
		{"empty transaction", cmd("MULTI", "EXEC"), 0, []seen{
			{Kind: Heartbeat, DB: 3, Offset: 1029, Pos: at(1029, 3)}}},
		{"SELECT inside a transaction", cmd("multi", "SET a 1", "SELECT 4", "SET b 2", "EXEC", "SET c 3"), 0, []seen{
			{Kind: Heartbeat, DB: 4, Offset: 1065},
			{Kind: Command, Args: "SET a 1", DB: 3, Offset: 1042, Bytes: 27, Tx: Tx{"id:1000", 1, 2}},
			{Kind: Command, Args: "SET b 2", DB: 4, Offset: 1092, Bytes: 27, Tx: Tx{"id:1000", 2, 2}, Pos: at(1106, 4)},
			{Kind: Command, Args: "SET c 3", DB: 4, Offset: 1133, Bytes: 27, Pos: at(1133, 4)}}},
		{"transaction of nothing but SELECT", cmd("MULTI", "SELECT 4", "EXEC"), 0, []seen{
			{Kind: Heartbeat, DB: 4, Offset: 1038},
			{Kind: Heartbeat, DB: 4, Offset: 1052, Pos: at(1052, 4)}}},
		{"EXEC whose MULTI was not seen", cmd("EXEC", "SET a 1"), 0, []seen{
			{Kind: Heartbeat, DB: 3, Offset: 1014, Pos: at(1014, 3)},
			{Kind: Command, Args: "SET a 1", DB: 3, Offset: 1041, Bytes: 27, Pos: at(1041, 3)}}},
		{"too large a transaction is handed out as it comes", cmd("MULTI", "SET a 1", "SET b "+big, "SET c 3", "EXEC", "SET d 4"), 1000, []seen{
			{Kind: Command, Args: "SET a 1", DB: 3, Offset: 1042, Bytes: 27, Tx: Tx{"id:1000", 1, 0}},
			{Kind: Command, Args: "SET b " + big, DB: 3, Offset: 4071, Bytes: 3029, Tx: Tx{"id:1000", 2, 0}},
			{Kind: Command, Args: "SET c 3", DB: 3, Offset: 4098, Bytes: 27, Tx: Tx{"id:1000", 3, 0}},
			{Kind: Heartbeat, DB: 3, Offset: 4112, Pos: at(4112, 3)},
			{Kind: Command, Args: "SET d 4", DB: 3, Offset: 4139, Bytes: 27, Pos: at(4139, 3)}}},
		{"a small transaction after a large one is whole again", cmd("MULTI", "SET b "+big, "EXEC", "MULTI", "SET a 1", "EXEC"), 1000, []seen{
			{Kind: Command, Args: "SET b " + big, DB: 3, Offset: 4044, Bytes: 3029, Tx: Tx{"id:1000", 1, 0}},
			{Kind: Heartbeat, DB: 3, Offset: 4058, Pos: at(4058, 3)},
			{Kind: Command, Args: "SET a 1", DB: 3, Offset: 4100, Bytes: 27, Tx: Tx{"id:4058", 1, 1}, Pos: at(4114, 3)}}},
	} {
		if c.maxTx == 0 {
			c.maxTx = 1 << 20
		}
		for _, chunk := range []int{0, 1, 2, 7} {
			t.Run(fmt.Sprintf("%s/%d", c.name, chunk), func(t *testing.T) {
				got, err := decodeAll([]byte(c.stream), start, chunk, c.maxTx)
				if err != io.EOF {
					t.Errorf("got error %v, want EOF", err)
				}
				for i := range max(len(got), len(c.want)) {
					switch {
					case i >= len(got):
						t.Errorf("record %d is missing: %+v", i, c.want[i])
					case i >= len(c.want):
						t.Errorf("record %d is too much: %+v", i, got[i])
					case got[i] != c.want[i]:
						t.Errorf("record %d:\ngot  %+v\nwant %+v", i, got[i], c.want[i])
					}
				}
			})
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct {
		name, stream string
		offset       int64
		want         string
	}{
		{"wrong byte", cmd("SET a 1") + "*2\r\n$3\r\nDEL\r\n#1\r\na\r\n", 1040, "not the start of a length"},
		{"wrong byte in place of an array's", cmd("SET a 1") + "\xd53\r\n$3\r\nSET\r\n", 1027, "is no command"},
		{"array's byte turned into a letter", "j3\r\n$3\r\nSET\r\n", 1004, "is no command"},
		{"wrong byte in a length", "*x\r\n", 1001, "not a digit"},
		{"length over the limit", "*1\r\n$1073741825\r\n", 1005, "over the limit"},
		{"negative length", "*1\r\n$-1\r\n", 1004, "negative length"},
		{"endless length", "*" + strings.Repeat("1", 30), 1019, "too many digits"},
		{"endless line", strings.Repeat("a", 70<<10), 1000 + 64<<10, "line of more than"},
		{"MULTI inside a transaction", cmd("MULTI", "SET a 1", "MULTI"), 1042, "MULTI inside a transaction"},
		{"SELECT of a word", cmd("SELECT x"), 1000, "SELECT of"},
		{"SELECT of a negative number", cmd("SELECT -1"), 1000, "SELECT of"},
		{"SELECT of a huge number", cmd("SELECT 2147483648"), 1000, "SELECT of"},
	} {
		for _, chunk := range []int{0, 1, 7} {
			t.Run(fmt.Sprintf("%s/%d", c.name, chunk), func(t *testing.T) {
				_, err := decodeAll([]byte(c.stream), start, chunk, 1<<20)
				var pe *resp.ProtocolError
				if !errors.As(err, &pe) || pe.Offset != c.offset || !strings.Contains(pe.Msg, c.want) {
					t.Errorf("got %v, want a protocol error at %d: %s", err, c.offset, c.want)
				}
			})
		}
	}
	t.Run("error line inside the stream", func(t *testing.T) {
		_, err := decodeAll([]byte(cmd("SET a 1")+"-NOPERM this user may not run 'replconf'\r\n"), start, 1, 1<<20)
		if !errors.Is(err, errInStream) || !strings.Contains(err.Error(), "offset 1027") || !strings.Contains(err.Error(), "NOPERM this user") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cut inside a command", func(t *testing.T) {
		if _, err := decodeAll([]byte("*2\r\n$3\r\nDE"), start, 1, 1<<20); err != io.ErrUnexpectedEOF {
			t.Errorf("got %v", err)
		}
	})
}

// TestDecodeBorrows makes sure that arguments stay as they are until the next
// record, in the places where they come from the transaction's own memory.
func TestDecodeBorrows(t *testing.T) {
	var commands []string
	for i := range 200 {
		commands = append(commands, fmt.Sprintf("SET key:%d %s", i, strings.Repeat(string(rune('a'+i%26)), i)))
	}
	stream := cmd("MULTI") + cmd(commands...) + cmd("EXEC")
	for _, maxTx := range []int{1 << 20, 10_000, 1} {
		d := newDecoder(resp.NewReader(&chunked{[]byte(stream), 5}, resp.Limits{}), start, maxTx, time.Now)
		for i, want := range commands {
			r, err := d.next()
			if err != nil {
				t.Fatal(err)
			}
			if got := string(bytes.Join(r.Args, []byte(" "))); got != want || r.Tx.Index != i+1 {
				t.Errorf("limit %d, command %d: got %q, number %d, want %q", maxTx, i, got, r.Tx.Index, want)
			}
		}
	}
}

// TestTransactionMemory sends what takes the most memory for its bytes on the
// wire: words of one letter on a line.
func TestTransactionMemory(t *testing.T) {
	const limit = 1 << 20
	stream := cmd("MULTI") + strings.Repeat("a\n", limit)
	d := newDecoder(resp.NewReader(&chunked{[]byte(stream), 0}, resp.Limits{}), start, limit, time.Now)
	n := 0
	for ; ; n++ {
		if _, err := d.next(); err != nil {
			break
		}
		if held := cap(d.tx.data) + 8*cap(d.tx.ends) + 32*cap(d.tx.cmds); held > 3*limit {
			t.Fatalf("%d bytes are held, the limit is %d", held, limit)
		}
	}
	if n != limit {
		t.Errorf("got %d commands, want %d", n, limit)
	}
}

// TestMemoryOfTransactionIsGivenBack looks at what is kept once a large
// transaction has been handed out.
func TestMemoryOfTransactionIsGivenBack(t *testing.T) {
	stream := cmd("MULTI", "SET a "+strings.Repeat("x", 10<<20), "EXEC", "PING")
	d := newDecoder(resp.NewReader(&chunked{[]byte(stream), 0}, resp.Limits{}), start, 64<<20, time.Now)
	for range 2 {
		if _, err := d.next(); err != nil {
			t.Fatal(err)
		}
	}
	if cap(d.tx.data) != 0 {
		t.Errorf("%d bytes are kept", cap(d.tx.data))
	}
}

func TestRecordingThatEndsInsideATransaction(t *testing.T) {
	s := NewRecording(strings.NewReader(cmd("SET a 1", "MULTI", "SET b 2")), "test")
	n := 0
	var last error
	for _, err := range s.Records(t.Context(), Position{}, nil) {
		if last = err; err == nil {
			n++
		}
	}
	if n != 1 || !errors.Is(last, io.ErrUnexpectedEOF) {
		t.Errorf("got %d records and error %v, want 1 and an unexpected EOF", n, last)
	}
	if got, want := s.Status().Received, int64(27); got != want {
		t.Errorf("Status.Offset is %d, want %d", got, want)
	}
}

// FuzzDecode checks that how a stream arrives does not matter, that offsets add
// up, and that to resume at any position gives the rest, no more and no less.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		cmd("SELECT 1", "SET a 1", "PING"),
		cmd("MULTI", "SET a 1", "SELECT 4", "SET b 2", "EXEC", "SET c 3"),
		cmd("MULTI", "EXEC", "EXEC", "MULTI", "MULTI"),
		cmd("MULTI", "SET a "+strings.Repeat("x", 200), "SET b 1", "EXEC", "REPLCONF GETACK *"),
		"SET a \"\\x00\"\r\n\n\n*0\r\n*-1\r\n" + cmd("SET a 1"),
		"-ERR no\r\n", "*2\r\n$1\r\na\r\n$99999999999999999999\r\n", "*1\r\n$-5\r\n",
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint8) {
		if len(stream) > 4096 {
			return
		}
		const maxTx = 150 // so that some are over it
		all, err := decodeAll(stream, start, 0, maxTx)
		split, splitErr := decodeAll(stream, start, int(chunk)+1, maxTx)
		if !slices.Equal(all, split) || err.Error() != splitErr.Error() {
			t.Errorf("in pieces of %d: got %v, %v\nat once: %v, %v", chunk+1, split, splitErr, all, err)
		}
		end := start.Offset + int64(len(stream))
		commandsEnd, last := start.Offset, start.Offset
		for i, r := range all {
			if r.Kind == Command {
				if r.Bytes <= 0 || r.Offset-int64(r.Bytes) < commandsEnd {
					t.Errorf("record %d overlaps what was before: %+v", i, r)
				}
				commandsEnd = r.Offset
				if inside := r.Tx.Size != r.Tx.Index; r.Tx.Index > 0 && inside != r.Pos.IsZero() {
					t.Errorf("record %d: a position inside a transaction, or none at its end: %+v", i, r)
				}
			}
			if r.Pos.IsZero() {
				continue
			}
			if r.Pos.Offset < last || r.Pos.Offset < r.Offset || r.Pos.Offset > end {
				t.Errorf("record %d: position out of order: %+v", i, r)
			}
			last = r.Pos.Offset
			if i < 20 {
				rest, restErr := decodeAll(stream[r.Pos.Offset-start.Offset:], r.Pos, 0, maxTx)
				if !slices.Equal(rest, all[i+1:]) || restErr.Error() != err.Error() {
					t.Errorf("resumed behind record %d at %s: got %v, %v\nwant %v, %v", i, r.Pos, rest, restErr, all[i+1:], err)
				}
			}
		}
		var pe *resp.ProtocolError
		if errors.As(err, &pe) && (pe.Offset < last || pe.Offset > end) {
			t.Errorf("error at %d, which is not between %d and %d: %v", pe.Offset, last, end, err)
		}
	})
}

// TestDecodePrepare: who wants it is told of the commands that were received
// together before the first is handed out, with their databases; a command that
// came alone is not held up by it.
func TestDecodePrepare(t *testing.T) {
	stream := cmd("SET a 1", "DEL b", "SELECT 5", "SET c 1", "SELECT x", "SET d 1", "select 7", "SELECT 8", "INCR e")
	var told []string
	d := newDecoder(resp.NewReader(&chunked{[]byte(stream), 0}, resp.Limits{}), start, 0, time.Now)
	d.prepare = func(db int, commands [][][]byte) {
		for _, args := range commands {
			told = append(told, fmt.Sprintf("%d: %s", db, bytes.Join(args, []byte(" "))))
		}
	}
	if rec, err := d.next(); err != nil || string(rec.Args[0]) != "SET" {
		t.Fatalf("next = %+v, %v", rec, err)
	}
	want := []string{"3: SET a 1", "3: DEL b", "5: SET c 1", "5: SELECT x", "5: SET d 1", "8: INCR e"}
	if !slices.Equal(told, want) {
		t.Errorf("it was told\n%q, want\n%q", told, want)
	}
	told = nil
	d.r = resp.NewReader(&chunked{[]byte(cmd("SET a 1")), 0}, resp.Limits{})
	if rec, err := d.next(); err != nil || string(rec.Args[1]) != "a" || told != nil {
		t.Errorf("next = %+v, %v, and it was told %q", rec, err, told)
	}
}
