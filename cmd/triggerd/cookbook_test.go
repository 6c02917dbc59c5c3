package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// A stranger who has none of the secrets checks each file of the cookbook, and is
// warned of nothing.
func TestCookbookIsClean(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/cookbook/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"check", "--offline", file}, &stdout, &stderr)
		if both := stdout.String() + stderr.String(); code != exitOK || strings.Contains(both, "warning") || !strings.Contains(both, ": ok: ") {
			t.Errorf("%s: exit %d\n%s", file, code, both)
		}
	}
}
