package delivered

import (
	"bytes"
	"testing"
	"time"
)

// Whatever the bytes of a segment, or of a body whose checksum is right: nothing
// panics, and what is read can be written and read again. Nothing here touches a
// file: with one, a target makes a thousandth of the executions.
func FuzzSegment(f *testing.F) {
	at := time.UnixMilli(1_700_000_000_000)
	segment := []byte(magic)
	for _, r := range []*Record{
		{Head: Head{Number: 1, Seq: 7, At: at, Endpoint: "t", ID: "id", Key: "k\xff"}, Tries: [][]byte{{1}, {}}, Request: []byte("r"), Payload: []byte("p")},
		{Head: Head{Number: 2, Seq: 3}},
	} {
		segment = appendRecord(segment, r)
		f.Add(appendRecord(nil, r)[frameSize:])
	}
	f.Add(segment)
	f.Add(segment[:len(segment)-3])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		readBack(t, b)
		bodies, end, _ := split(b)
		if end > int64(len(b)) {
			t.Fatalf("the last record ends at byte %d of %d", end, len(b))
		}
		if end > 0 { // what follows is cut off when the file is opened again
			if again, endAgain, _ := split(b[:end]); len(again) != len(bodies) || endAgain != end {
				t.Fatalf("%d records up to byte %d; cut there, %d up to byte %d", len(bodies), end, len(again), endAgain)
			}
		}
		for _, body := range bodies {
			readBack(t, body)
		}
	})
}

// readBack fails the test if what is read of a body is not as it was once it was
// written and read again.
func readBack(t *testing.T, body []byte) {
	if len(body) < minBody { // split returns none of these
		return
	}
	r, err := parseRecord(body)
	if err != nil {
		return
	}
	var h Head
	if _, err := parseHead(body, &h); err != nil || h != r.Head {
		t.Fatalf("%v: the head %+v, of the record %+v", err, h, r.Head)
	}
	written := appendRecord([]byte(magic), r)
	bodies, end, err := split(written)
	if err != nil || len(bodies) != 1 || end != int64(len(written)) {
		t.Fatalf("%d records in %d of %d bytes, %v", len(bodies), end, len(written), err)
	}
	again, err := parseRecord(bodies[0])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(appendRecord([]byte(magic), again), written) {
		t.Fatalf("got\n%+v, want\n%+v", again, r)
	}
	if numberOf(bodies[0]) != r.Number || seqOf(bodies[0]) != r.Seq || !atOf(bodies[0]).Equal(r.At) {
		t.Fatalf("number, seq and time are not those of %+v", r)
	}
}
