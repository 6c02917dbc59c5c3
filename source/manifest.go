package source

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"triggerd/internal/resp"
)

// manifest is what the manifest of an append-only file names: a base, which is a
// snapshot or commands, and increments, in their order. What is left of history
// waits to be deleted, and is none of it.
//
//	file appendonly.aof.2.base.rdb seq 2 type b
//	file appendonly.aof.1.incr.aof seq 1 type h
//	file appendonly.aof.2.incr.aof seq 2 type i
//
// Names are quoted where they need it. Further pairs of words may follow.
type manifest struct {
	files   []string // the base first, if there is one
	hasBase bool
	lastSeq int64 // of the increments
}

// maxManifest is how many bytes a manifest may have. Servers write a line for
// each file, and have two or three.
const maxManifest = 1 << 20

// readManifest returns the files that the manifest at path names, which all are
// there. An error says in which line it is.
func readManifest(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(text) > maxManifest {
		err = fmt.Errorf("more than %d bytes", maxManifest)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var m manifest
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if err := m.add(filepath.Dir(path), strings.TrimRight(line, "\r\n")); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	if len(m.files) == 0 {
		return nil, fmt.Errorf("%s: a manifest that names no files", path)
	}
	return m.files, nil
}

// add takes in a line; dir is where the files are.
func (m *manifest) add(dir, line string) error {
	if strings.TrimSpace(line) == "" || line[0] == '#' {
		return nil
	}
	// The words are those of an inline command, quotes included.
	words, err := resp.NewReader(strings.NewReader(line+"\n"), resp.Limits{}).ReadCommand()
	if err != nil || len(words)%2 != 0 {
		return fmt.Errorf("not a line of a manifest: %.100q", line)
	}
	about := map[string]string{}
	for i := 0; i < len(words); i += 2 {
		about[string(words[i])] = string(words[i+1])
	}
	name, kind := about["file"], about["type"]
	seq, err := strconv.ParseInt(about["seq"], 10, 64)
	if err != nil || seq <= 0 || name == "" {
		return fmt.Errorf("not a line of a manifest: %.100q", line)
	}
	if strings.ContainsAny(name, `/\`) || name == "." || name == ".." || strings.ContainsRune(name, 0) {
		return fmt.Errorf("file %.100q: not the name of a file beside the manifest", name)
	}
	switch kind {
	case "b":
		if m.hasBase {
			return errors.New("a second base")
		}
		m.hasBase = true
		m.files = append([]string{filepath.Join(dir, name)}, m.files...)
	case "i":
		if seq <= m.lastSeq {
			return fmt.Errorf("increment %d after %d", seq, m.lastSeq)
		}
		m.lastSeq = seq
		m.files = append(m.files, filepath.Join(dir, name))
	case "h":
		return nil
	default:
		return fmt.Errorf("unknown type %.20q", kind)
	}
	_, err = os.Stat(filepath.Join(dir, name))
	return err
}
