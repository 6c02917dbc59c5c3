package exec

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

// What a program has written is read, though the time for it is over before it
// is looked at; and what something in the background writes without end is not
// read without end.
func TestGatherLate(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	said := strings.Repeat("last words\n", 1000)
	if _, err := w.WriteString(said); err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	gather(&got, r) // hangs if it waits for more
	if got.String() != said {
		t.Errorf("read %d bytes of %d", got.Len(), len(said))
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for err := error(nil); err == nil; {
			_, err = w.Write([]byte(said))
		}
	}()
	if err := r.SetReadDeadline(time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	gather(&got, r) // hangs if it reads all
	r.Close()
	<-ended
}
