package tomlpos

import (
	"sort"
	"strings"
)

// Lines turns offsets into lines and columns, both counted from 1, columns in
// bytes.
type Lines struct {
	src    string
	starts []int // offset of each line's first byte
}

// NewLines returns the lines of src.
func NewLines(src string) *Lines {
	l := &Lines{src: src, starts: []int{0}}
	for i := range len(src) {
		if src[i] == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

// Place returns the line and the column of an offset.
func (l *Lines) Place(off int) (line, col int) {
	line = sort.SearchInts(l.starts, off+1)
	return line, off - l.starts[line-1] + 1
}

// Text returns a line without its end; "" if there is no such line.
func (l *Lines) Text(line int) string {
	if line < 1 || line > len(l.starts) {
		return ""
	}
	end := len(l.src)
	if line < len(l.starts) {
		end = l.starts[line] - 1
	}
	return strings.TrimSuffix(l.src[l.starts[line-1]:end], "\r")
}
