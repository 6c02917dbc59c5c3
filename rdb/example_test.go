package rdb_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"triggerd/rdb"
)

// Count the fields of the hashes below a prefix. All other values are passed
// over without being decoded, and a hash of any size takes no memory.
func Example() {
	f, err := os.Open("testdata/redis-8.6.3.rdb")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()

	r := rdb.NewReader(f)
	for {
		e, err := r.Next()
		if err == io.EOF {
			break // all was read, and the checksum is right
		}
		if err != nil {
			log.Fatal(err) // says where: offset and key
		}
		if e.Type != rdb.TypeHash || !bytes.HasPrefix(e.Key, []byte("h:")) {
			continue
		}
		key := string(e.Key) // e is gone with the next call of Next
		fields, expiring := 0, 0
		for el, err := range r.Elements() {
			if err != nil {
				log.Fatal(err)
			}
			fields++ // el.Member, el.Value
			if el.ExpireAt != 0 {
				expiring++
			}
		}
		if expiring > 0 {
			fmt.Printf("db %d, %s: %d fields, %d of them expire\n", e.DB, key, fields, expiring)
		}
	}
	version, _ := r.Aux("redis-ver")
	fmt.Println("written by Redis", version)
	// Unordered output:
	// db 0, h:lpex: 3 fields, 1 of them expire
	// db 0, h:meta: 600 fields, 3 of them expire
	// written by Redis 8.6.3
}

// Read whole values, if they are not too large.
func ExampleReader_Value() {
	f, err := os.Open("testdata/valkey-9.1.2.rdb")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()

	r := rdb.NewReader(f)
	r.Limits.MaxValue = 1 << 10
	large := 0
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		v, err := r.Value()
		if errors.Is(err, rdb.ErrLimit) {
			large++ // passed over; the next key is not affected
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		if v.Type == rdb.TypeZSet && string(e.Key) == "z:lp" {
			for _, m := range v.Members {
				fmt.Printf("%s %v\n", m.Name, m.Score)
			}
		}
	}
	fmt.Println(large, "values are larger than a kilobyte")
	// Output:
	// d -Inf
	// b -1.5
	// a 1
	// e 3.14159265358979
	// c +Inf
	// 8 values are larger than a kilobyte
}

// Print a snapshot as JSON, one line for each key.
func ExampleJSONWriter() {
	f, err := os.Open("testdata/redis-7.0.15.rdb")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()

	r := rdb.NewReader(f)
	w := rdb.NewJSONWriter(os.Stdout)
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		if e.Type != rdb.TypeSet || e.Encoding != rdb.EncodingIntSet {
			continue
		}
		if err := w.Write(r); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}
	// Unordered output:
	// {"db":0,"key":"set:i16","type":"set","encoding":"intset","expire_ms":null,"value":["1","2","300"]}
	// {"db":0,"key":"set:i32","type":"set","encoding":"intset","expire_ms":null,"value":["1","70000"]}
	// {"db":0,"key":"set:i64","type":"set","encoding":"intset","expire_ms":null,"value":["1","9999999999"]}
}
