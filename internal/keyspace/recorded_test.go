package keyspace

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// recordedStreams returns all recorded commands of testdata/propagation, each
// once, arguments joined by a space.
func recordedStreams(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/propagation/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	var lines []string
	seen := map[string]bool{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var rec struct {
			Cases []struct{ Stream []string }
		}
		if err := json.Unmarshal(b, &rec); err != nil {
			t.Fatal(err)
		}
		for _, c := range rec.Cases {
			for _, line := range c.Stream {
				if !seen[line] {
					seen[line] = true
					lines = append(lines, line)
				}
			}
		}
	}
	return lines
}
