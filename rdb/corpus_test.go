package rdb_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"triggerd/rdb"
)

func TestWalkCorpus(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.rdb")
	if len(files) < 20 {
		t.Fatalf("%d files", len(files))
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r := rdb.NewReader(f)
		n := 0
		for {
			e, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(name, err)
			}
			n++
			if e.Type == 0 || e.Key == nil {
				t.Errorf("%s: entry without type or key: %+v", name, e)
			}
		}
		if n < 32 {
			t.Errorf("%s: %d keys, want at least 32", name, n)
		}
	}
}
