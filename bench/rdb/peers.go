package main

import (
	"bufio"
	"fmt"
	"hash/crc64"
	"io"
	"os"

	cupcake "github.com/cupcake/rdb"
	"github.com/cupcake/rdb/nopdecoder"

	"triggerd/rdb"
)

// builtin are the peers that run in this program, in a process of their own.
var builtin = map[string]func(io.Reader) (counts, error){
	"triggerd":      decodeTriggerd,
	"triggerd-skip": skipTriggerd,
	"triggerd-json": jsonTriggerd,
	"checksum":      checksumOnly,
	"cupcake":       decodeCupcake,
}

// decodeTriggerd decodes every key and element and verifies the checksum.
func decodeTriggerd(in io.Reader) (c counts, err error) {
	r := rdb.NewReader(in)
	for {
		e, err := r.Next()
		if err == io.EOF {
			return c, nil
		}
		if err != nil {
			return c, err
		}
		c.Keys++
		c.Bytes += int64(len(e.Key))
		if e.Type == rdb.TypeString {
			b, err := r.Bytes()
			if err != nil {
				return c, err
			}
			c.Elements++
			c.Bytes += int64(len(b))
			continue
		}
		for el, err := range r.Elements() {
			if err != nil {
				return c, err
			}
			switch el.Kind {
			case rdb.KindItem:
				c.Bytes += int64(len(el.Member))
			case rdb.KindField:
				c.Bytes += int64(len(el.Member) + len(el.Value))
			case rdb.KindScored:
				c.Bytes += int64(len(el.Member)) + 8
			case rdb.KindStreamEntry:
				for _, f := range el.Fields {
					c.Bytes += int64(len(f))
				}
			default:
				continue
			}
			c.Elements++
		}
	}
}

// skipTriggerd walks over all keys without decoding a value, and verifies the
// checksum.
func skipTriggerd(in io.Reader) (c counts, err error) {
	r := rdb.NewReader(in)
	for {
		e, err := r.Next()
		if err == io.EOF {
			return c, nil
		}
		if err != nil {
			return c, err
		}
		c.Keys++
		c.Bytes += int64(len(e.Key))
	}
}

// jsonTriggerd writes every key and element as JSON to /dev/null, which is what
// "triggerd rdb FILE > /dev/null" does.
func jsonTriggerd(in io.Reader) (c counts, err error) {
	out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return c, err
	}
	defer out.Close()
	w := &countingWriter{w: out}
	j := rdb.NewJSONWriter(w)
	r := rdb.NewReader(in)
	for {
		_, err := r.Next()
		if err == io.EOF {
			err = j.Flush()
			c.Bytes = w.n
			return c, err
		}
		if err == nil {
			err = j.Write(r)
		}
		if err != nil {
			return c, err
		}
		c.Keys++
	}
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// checksumOnly is what the standard library's CRC-64 takes for the same bytes.
func checksumOnly(in io.Reader) (c counts, err error) {
	h := crc64.New(crc64.MakeTable(0x95AC9329AC4BC9B5))
	c.Bytes, err = io.CopyBuffer(h, struct{ io.Reader }{in}, make([]byte, 128<<10))
	return c, err
}

// decodeCupcake decodes with cupcake/rdb. It knows versions up to 7 and does
// not verify the checksum; what these snapshots are made of is older than that,
// so it is told that the version is 7.
func decodeCupcake(in io.Reader) (counts, error) {
	head := make([]byte, 9)
	if _, err := io.ReadFull(in, head); err != nil {
		return counts{}, err
	}
	if string(head[:5]) != "REDIS" {
		return counts{}, fmt.Errorf("magic %q", head)
	}
	d := &cupcakeCounter{}
	err := cupcake.Decode(bufio.NewReaderSize(io.MultiReader(&sevenReader{}, in), 128<<10), d)
	return d.counts, err
}

// sevenReader reads as "REDIS0007".
type sevenReader struct{ n int }

func (s *sevenReader) Read(p []byte) (int, error) {
	n := copy(p, "REDIS0007"[s.n:])
	if s.n += n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

type cupcakeCounter struct {
	nopdecoder.NopDecoder
	counts
}

func (d *cupcakeCounter) Set(key, value []byte, expiry int64) {
	d.Keys++
	d.Elements++
	d.Bytes += int64(len(key) + len(value))
}

func (d *cupcakeCounter) start(key []byte) {
	d.Keys++
	d.Bytes += int64(len(key))
}

func (d *cupcakeCounter) StartHash(key []byte, length, expiry int64) { d.start(key) }
func (d *cupcakeCounter) StartSet(key []byte, length, expiry int64)  { d.start(key) }
func (d *cupcakeCounter) StartList(key []byte, length, expiry int64) { d.start(key) }
func (d *cupcakeCounter) StartZSet(key []byte, length, expiry int64) { d.start(key) }

func (d *cupcakeCounter) Hset(key, field, value []byte) {
	d.Elements++
	d.Bytes += int64(len(field) + len(value))
}

func (d *cupcakeCounter) Sadd(key, member []byte) {
	d.Elements++
	d.Bytes += int64(len(member))
}

func (d *cupcakeCounter) Rpush(key, value []byte) {
	d.Elements++
	d.Bytes += int64(len(value))
}

func (d *cupcakeCounter) Zadd(key []byte, score float64, member []byte) {
	d.Elements++
	d.Bytes += int64(len(member)) + 8
}
