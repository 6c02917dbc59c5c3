package engine

import (
	"fmt"

	"triggerd/internal/mirrorfile"
	"triggerd/source"
)

// VerifyMirror checks what a data directory that no process has open keeps of the
// values of a stream's keys: entries are those of its space State, position is
// its checkpoint. It returns what is wrong. Files that no entry names are of no
// use, and are not looked at.
func VerifyMirror(dataDir, stream, position string, entries map[string][]byte) (problems []error) {
	add := func(what string, err error) {
		problems = append(problems, fmt.Errorf("values of keys of stream %s: %s: %w", stream, what, err))
	}
	for key, value := range entries {
		if len(key) > len(tickEntry) && key[:len(tickEntry)] == string(tickEntry) {
			if _, err := parseTick(value); err != nil {
				add("a tick", err)
			}
		}
	}
	saved, ok := entries[string(filesEntry)]
	if !ok {
		return problems
	}
	state, err := parseMirrorState(saved)
	if err != nil {
		add("the note of the files", err)
		return problems
	}
	for _, f := range state.files {
		if _, err := mirrorfile.Read(mirrorfile.Dir(dataDir, stream), f, func([]byte) error { return nil }); err != nil {
			add("a file", err)
		}
	}
	of, err := source.ParsePosition(state.meta.Position)
	at, err2 := source.ParsePosition(position)
	if err == nil && err2 == nil && of.ReplID == at.ReplID && of.Offset > at.Offset {
		add("the note of the files", fmt.Errorf("it is of %s, behind the position %s", of, at))
	}
	return problems
}
