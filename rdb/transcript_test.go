package rdb_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"triggerd/rdb"
)

// transcript writes down all that a Reader says of in: every entry, element and
// aux field, and the error at the end. Two ways of reading the same bytes have
// to give the same one.
func transcript(in io.Reader, limits rdb.Limits) (text string, end int64, err error) {
	r := rdb.NewReader(in)
	r.Strict = true
	r.Limits = limits
	var b strings.Builder
	r.OnAux = func(name, value []byte) { fmt.Fprintf(&b, "aux %q=%q\n", name, value) }
	r.OnFunction = func(code []byte) { fmt.Fprintf(&b, "function %q\n", code) }
	for {
		e, err := r.Next()
		if err != nil {
			return b.String(), r.Offset(), err
		}
		fmt.Fprintf(&b, "%d %q %v %v", e.DB, e.Key, e.Type, e.Encoding)
		if e.ExpireAt != 0 {
			fmt.Fprintf(&b, " expires %d", e.ExpireAt)
		}
		if e.Idle >= 0 {
			fmt.Fprintf(&b, " idle %d", e.Idle)
		}
		if e.Freq >= 0 {
			fmt.Fprintf(&b, " freq %d", e.Freq)
		}
		b.WriteByte('\n')
		for el, err := range r.Elements() {
			if err != nil {
				return b.String(), r.Offset(), err
			}
			b.WriteString("  " + elementText(el) + "\n")
		}
	}
}

// elementText writes down the fields that el's kind has.
func elementText(el *rdb.Element) string {
	switch el.Kind {
	case rdb.KindItem:
		return fmt.Sprintf("%q", el.Member)
	case rdb.KindScored:
		return fmt.Sprintf("%q %v", el.Member, el.Score)
	case rdb.KindField:
		return fmt.Sprintf("%q=%q %d", el.Member, el.Value, el.ExpireAt)
	case rdb.KindIndexed:
		return fmt.Sprintf("[%d]=%q", el.Index, el.Member)
	case rdb.KindStreamEntry:
		return fmt.Sprintf("%v %q", el.ID, el.Fields)
	case rdb.KindStreamInfo, rdb.KindProducers:
		return fmt.Sprintf("info %+v", *el.Info)
	case rdb.KindGroup:
		return fmt.Sprintf("group %q %v read %d", el.Member, el.ID, el.Count)
	case rdb.KindPending:
		return fmt.Sprintf("pending %v at %d, %d times", el.ID, el.Time, el.Count)
	case rdb.KindConsumer:
		return fmt.Sprintf("consumer %q seen %d active %d", el.Member, el.Time, el.Active)
	case rdb.KindConsumerPending:
		return fmt.Sprintf("has %v", el.ID)
	case rdb.KindGroupNacked:
		return fmt.Sprintf("nacked %v", el.ID)
	case rdb.KindProducer:
		return fmt.Sprintf("producer %q", el.Member)
	case rdb.KindProduced:
		return fmt.Sprintf("sent %q as %v", el.Member, el.ID)
	case rdb.KindModule:
		return fmt.Sprintf("module %s version %d", el.Member, el.Count)
	case rdb.KindModulePart:
		p := el.Part
		return fmt.Sprintf("part %d: %d %d %v %q", p.Type, p.Int, p.Uint, p.Float, p.String)
	}
	panic(fmt.Sprintf("unknown kind %d", el.Kind))
}

// skipAll returns each key with the offset behind its value, and the error.
func skipAll(in io.Reader) (keys []string, end int64, err error) {
	r := rdb.NewReader(in)
	r.Strict = true
	for {
		e, err := r.Next()
		if err != nil {
			return keys, r.Offset(), err
		}
		keys = append(keys, fmt.Sprintf("%d/%q", e.DB, e.Key))
	}
}

// checkError fails if err is no proper error of a snapshot of n bytes: io.EOF,
// or a fault inside it.
func checkError(t *testing.T, err error, n int) {
	t.Helper()
	if err == io.EOF {
		return
	}
	var syn *rdb.SyntaxError
	if !errors.As(err, &syn) {
		t.Fatalf("error is a %T: %v", err, err)
	}
	if syn.Offset < 0 || syn.Offset > int64(n) {
		t.Fatalf("offset of %v is not inside the %d bytes", err, n)
	}
	if syn.Err == nil || len(err.Error()) > 1000 {
		t.Fatalf("error text of %d bytes: %.100s", len(err.Error()), err)
	}
}

const everyTypeWant = `aux "redis-ver"="255.255.255"
aux "repl-stream-db"="3"
function "#!lua name=mylib\n"
3 "string" string raw expires 2000000000000
  "value"
3 "int8" string int expires 4102444800000 freq 200
  "-128"
3 "int16" string int idle 1000
  "-32768"
3 "int32" string int
  "2147483647"
3 "lzf" string raw
  "LONG"
3 "" string raw
  ""
3 "LONG" string raw
  "long key"
3 "list" list linkedlist
  "a"
  "LONG"
3 "set" set hashtable
  "a"
  "b"
  "5"
3 "zset" zset skiplist
  "a" 1.5
  "b" +Inf
  "c" -Inf
  "d" -0
3 "hash" hash hashtable
  "f"="v" 0
  "LONG"="LONGLONG" 0
3 "zset2" zset skiplist
  "a" 1.25
  "b" -Inf
3 "module" module module
  module testmodul version 7
  part 1: -5 0 0 ""
  part 2: 0 1099511627776 0 ""
  part 3: 0 0 1.5 ""
  part 4: 0 0 2.5 ""
  part 5: 0 0 0 "part"
3 "zipmap" hash zipmap
  "f"="v" 0
  "long"="LONG" 0
3 "list-ziplist" list ziplist
  "a"
  "0"
  "12"
  "-100"
  "30000"
  "-1048576"
  "1073741824"
  "1099511627776"
  "LONG"
  "z"
3 "intset16" set intset
  "-300"
  "0"
  "300"
3 "intset32" set intset
  "-1073741824"
  "7"
  "1073741824"
3 "intset64" set intset
  "-1152921504606846976"
  "7"
  "1152921504606846976"
3 "zset-ziplist" zset ziplist
  "a" 1.5
  "7" 3
  "i" +Inf
3 "hash-ziplist" hash ziplist
  "f"="v" 0
  "7"="3" 0
  "long"="LONG" 0
3 "quicklist" list quicklist
  "a"
  "1"
  "b"
  "LONG"
3 "stream" stream stream
  5-1 ["name" "one" "7" "100000"]
  15-4 ["other" "-5"]
  info {Length:2 LastID:15-4 HasHistory:false FirstID:0-0 MaxDeletedID:0-0 EntriesAdded:0 HasProducers:false IDMPDuration:0 IDMPMax:0 IIDsAdded:0 IIDsRepeated:0}
  group "group" 15-4 read -1
  pending 5-1 at 1700000000000, 3 times
  pending 15-4 at 1700000000001, 1 times
  consumer "consumer" seen 1700000000000 active 0
  has 5-1
  has 15-4
3 "hash-listpack" hash listpack
  "f"="v" 0
  "7"="-3" 0
  "long"="LONG" 0
3 "zset-listpack" zset listpack
  "a" -1.5
  "1099511627776" 3
3 "quicklist2" list quicklist
  "a"
  "1"
  "-70000"
  "8589934592"
  "LONG"
  "plain"
3 "stream2" stream stream
  5-1 ["name" "one" "7" "100000"]
  15-4 ["other" "-5"]
  info {Length:2 LastID:15-4 HasHistory:true FirstID:5-1 MaxDeletedID:10-1 EntriesAdded:3 HasProducers:false IDMPDuration:0 IDMPMax:0 IIDsAdded:0 IIDsRepeated:0}
  group "group" 15-4 read 2
  pending 5-1 at 1700000000000, 3 times
  pending 15-4 at 1700000000001, 1 times
  consumer "consumer" seen 1700000000000 active 0
  has 5-1
  has 15-4
3 "set-listpack" set listpack
  "a"
  "5"
  "500"
  "5000"
3 "stream3" stream stream
  5-1 ["name" "one" "7" "100000"]
  15-4 ["other" "-5"]
  info {Length:2 LastID:15-4 HasHistory:true FirstID:5-1 MaxDeletedID:10-1 EntriesAdded:3 HasProducers:false IDMPDuration:0 IDMPMax:0 IIDsAdded:0 IIDsRepeated:0}
  group "group" 15-4 read 2
  pending 5-1 at 1700000000000, 3 times
  pending 15-4 at 1700000000001, 1 times
  consumer "consumer" seen 1700000000000 active 1700000000001
  has 5-1
  has 15-4
3 "hash-listpack-ex-rc" hash listpackex
  "f"="v" 0
  "g"="w" 4102444800000
3 "hash-metadata" hash hashtable
  "f"="v" 0
  "g"="w" 1010
3 "hash-listpack-ex" hash listpackex
  "f"="v" 0
  "g"="w" 4102444800000
3 "stream4" stream stream
  5-1 ["name" "one" "7" "100000"]
  15-4 ["other" "-5"]
  info {Length:2 LastID:15-4 HasHistory:true FirstID:5-1 MaxDeletedID:10-1 EntriesAdded:3 HasProducers:false IDMPDuration:0 IDMPMax:0 IIDsAdded:0 IIDsRepeated:0}
  group "group" 15-4 read 2
  pending 5-1 at 1700000000000, 3 times
  pending 15-4 at 1700000000001, 1 times
  consumer "consumer" seen 1700000000000 active 1700000000001
  has 5-1
  has 15-4
  producer "producer"
  sent "iid" as 5-1
  info {Length:2 LastID:15-4 HasHistory:true FirstID:5-1 MaxDeletedID:10-1 EntriesAdded:3 HasProducers:true IDMPDuration:100 IDMPMax:50 IIDsAdded:7 IIDsRepeated:8}
3 "stream5" stream stream
  5-1 ["name" "one" "7" "100000"]
  15-4 ["other" "-5"]
  info {Length:2 LastID:15-4 HasHistory:true FirstID:5-1 MaxDeletedID:10-1 EntriesAdded:3 HasProducers:false IDMPDuration:0 IDMPMax:0 IIDsAdded:0 IIDsRepeated:0}
  group "group" 15-4 read 2
  pending 5-1 at 1700000000000, 3 times
  pending 15-4 at 1700000000001, 1 times
  consumer "consumer" seen 1700000000000 active 1700000000001
  has 5-1
  nacked 15-4
  producer "producer"
  sent "iid" as 5-1
  info {Length:2 LastID:15-4 HasHistory:true FirstID:5-1 MaxDeletedID:10-1 EntriesAdded:3 HasProducers:true IDMPDuration:100 IDMPMax:50 IIDsAdded:7 IIDsRepeated:8}
3 "array" array array
  [0]="a"
  [3]="-5"
  [4]="1.5"
  [1099511627776]="b"
`

// TestEveryType reads a snapshot that has everything, under every version:
// those before 5 have no checksum, and type 22 and opcode 243 are not the same
// for Redis and Valkey.
func TestEveryType(t *testing.T) {
	want := strings.ReplaceAll(everyTypeWant, "LONG", strings.Repeat("long text ", 30))
	for _, magic := range []string{"REDIS0001", "REDIS0004", "REDIS0005", "REDIS0009", "REDIS0015", "VALKEY080"} {
		data := everyType(magic)
		got, end, err := transcript(bytes.NewReader(data), rdb.Limits{})
		if err != io.EOF || end != int64(len(data)) {
			t.Fatalf("%s: ended at %d of %d: %v", magic, end, len(data), err)
		}
		last := `3 "hash-rc" hash hashtable` + "\n" + `  "f"="v" 0` + "\n" + `  "g"="w" 4102444800000` + "\n"
		if strings.HasPrefix(magic, "VALKEY") {
			last = strings.ReplaceAll(last, "-rc", "-valkey")
		}
		if got != want+last {
			t.Errorf("%s: %s", magic, firstDifference(got, want+last))
		}
		keys, end, err := skipAll(bytes.NewReader(data))
		if err != io.EOF || end != int64(len(data)) {
			t.Errorf("%s, skipping: ended at %d of %d: %v", magic, end, len(data), err)
		}
		if n := strings.Count("\n"+got, "\n3 "); len(keys) != n {
			t.Errorf("%s, skipping: %d keys, want %d", magic, len(keys), n)
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// TestValueEqualsElements builds values as a whole and compares them with what
// the loop says.
func TestValueEqualsElements(t *testing.T) {
	data := everyType("VALKEY080")
	whole, single := rdb.NewReader(bytes.NewReader(data)), rdb.NewReader(bytes.NewReader(data))
	for {
		e, err := whole.Next()
		if _, err2 := single.Next(); err2 != err {
			t.Fatalf("errors %v and %v", err, err2)
		}
		if err == io.EOF {
			return
		}
		name := string(e.Key)
		v, err := whole.Value()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var want []string
		for el, err := range single.Elements() {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, elementText(el))
		}
		if got := elementsOf(v); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:\n got %s\nwant %s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// elementsOf takes a value apart again.
func elementsOf(v rdb.Value) (out []string) {
	add := func(el rdb.Element) { out = append(out, elementText(&el)) }
	switch v.Type {
	case rdb.TypeString:
		add(rdb.Element{Kind: rdb.KindItem, Member: v.String})
	case rdb.TypeList, rdb.TypeSet:
		for _, b := range v.Items {
			add(rdb.Element{Kind: rdb.KindItem, Member: b})
		}
	case rdb.TypeHash:
		for _, f := range v.Fields {
			add(rdb.Element{Kind: rdb.KindField, Member: f.Name, Value: f.Value, ExpireAt: f.ExpireAt})
		}
	case rdb.TypeZSet:
		for _, m := range v.Members {
			add(rdb.Element{Kind: rdb.KindScored, Member: m.Name, Score: m.Score})
		}
	case rdb.TypeArray:
		for _, m := range v.Indexed {
			add(rdb.Element{Kind: rdb.KindIndexed, Index: m.Index, Member: m.Value})
		}
	case rdb.TypeModule:
		add(rdb.Element{Kind: rdb.KindModule, Member: []byte(v.Module.Name), Count: int64(v.Module.Version)})
		for _, p := range v.Module.Parts {
			add(rdb.Element{Kind: rdb.KindModulePart, Part: p})
		}
	case rdb.TypeStream:
		s := v.Stream
		for _, e := range s.Entries {
			add(rdb.Element{Kind: rdb.KindStreamEntry, ID: e.ID, Fields: e.Fields})
		}
		early := s.StreamInfo
		early.HasProducers, early.IDMPDuration, early.IDMPMax, early.IIDsAdded, early.IIDsRepeated = false, 0, 0, 0, 0
		add(rdb.Element{Kind: rdb.KindStreamInfo, Info: &early})
		for _, g := range s.Groups {
			add(rdb.Element{Kind: rdb.KindGroup, Member: g.Name, ID: g.LastID, Count: g.EntriesRead})
			for _, p := range g.Pending {
				add(rdb.Element{Kind: rdb.KindPending, ID: p.ID, Time: p.Delivered, Count: p.Deliveries})
			}
			for _, c := range g.Consumers {
				add(rdb.Element{Kind: rdb.KindConsumer, Member: c.Name, Time: c.Seen, Active: c.Active})
				for _, id := range c.Pending {
					add(rdb.Element{Kind: rdb.KindConsumerPending, ID: id})
				}
			}
			for _, id := range g.Nacked {
				add(rdb.Element{Kind: rdb.KindGroupNacked, ID: id})
			}
		}
		for _, p := range s.Producers {
			add(rdb.Element{Kind: rdb.KindProducer, Member: p.ID})
			for _, sent := range p.Sent {
				add(rdb.Element{Kind: rdb.KindProduced, Member: sent.ID, ID: sent.Entry})
			}
		}
		if s.HasProducers {
			add(rdb.Element{Kind: rdb.KindProducers, Info: &s.StreamInfo})
		}
	}
	return out
}

// TestClone keeps entries and elements beyond their time.
func TestClone(t *testing.T) {
	data := everyType("REDIS0015")
	want, _, _ := transcript(bytes.NewReader(data), rdb.Limits{})
	r := rdb.NewReader(bytes.NewReader(data))
	type kept struct {
		entry    *rdb.Entry
		elements []*rdb.Element
	}
	var all []kept
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		k := kept{entry: e.Clone()}
		for el, err := range r.Elements() {
			if err != nil {
				t.Fatal(err)
			}
			k.elements = append(k.elements, el.Clone())
		}
		all = append(all, k)
	}
	for _, k := range all {
		if !strings.Contains(want, fmt.Sprintf("3 %q %v %v", k.entry.Key, k.entry.Type, k.entry.Encoding)) {
			t.Errorf("entry %+v is not in the transcript", k.entry)
		}
		for _, el := range k.elements {
			if !strings.Contains(want, "\n  "+elementText(el)+"\n") {
				t.Errorf("%q: element %s is not in the transcript", k.entry.Key, elementText(el))
			}
		}
	}
}

// TestManyEntries has compact structures of more entries than their header can
// count, and numbers at the limits of their encodings.
func TestManyEntries(t *testing.T) {
	var many []any
	for i := range 70_000 {
		many = append(many, i)
	}
	limits := []any{math.MinInt64, math.MaxInt64, math.MinInt32, math.MaxInt32, -1 << 23, 1<<23 - 1, -1<<23 - 1, 1 << 23,
		math.MinInt16, math.MaxInt16, -1 << 12, 1<<12 - 1, -1<<12 - 1, 1 << 12, -1, 0, 12, 13, 127, 128,
		strings.Repeat("a", 63), strings.Repeat("b", 64), strings.Repeat("c", 4095), strings.Repeat("d", 4096),
		strings.Repeat("e", 16383), strings.Repeat("f", 16384), strings.Repeat("g", 100_000), strings.Repeat("h", 3<<20),
		strings.Repeat("i", 122), strings.Repeat("j", 125), strings.Repeat("k", 126), strings.Repeat("l", 127),
		strings.Repeat("m", 16377), strings.Repeat("n", 16378), strings.Repeat("o", 16382), strings.Repeat("p", 2097146), strings.Repeat("q", 2097147), ""}
	for _, entries := range [][]any{many, limits} {
		data := snapshot("REDIS0010", key(10, "ziplist", str(ziplist(entries...))), key(20, "listpack", str(listpack(entries...))))
		r := rdb.NewReader(bytes.NewReader(data))
		for range 2 {
			if _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
			n := 0
			for el, err := range r.Elements() {
				if err != nil {
					t.Fatal(err)
				}
				if want := fmt.Sprint(entries[n]); string(el.Member) != want {
					t.Fatalf("entry %d is %.40q, want %.40q", n, el.Member, want)
				}
				n++
			}
			if n != len(entries) {
				t.Fatalf("%d entries, want %d", n, len(entries))
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatal(err)
		}
	}
}
