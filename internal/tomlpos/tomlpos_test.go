package tomlpos

import (
	"errors"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

const everyForm = `
# a comment
include = ["a.toml", 'b.toml', # inside
  """c
d"""]
"quoted key" = { x = 1, "y z" = { 'w' = [1, [2, { v = 3 }]] }, }
a.b . "c" = 1
a.b.d = "text \" with \\ # no comment"
empty = ""
lit = '''
don't [stop] ''here'' '''
basic = """\
   "" quoted "" \"""
   """
date = 1979-05-27 07:32:00Z
[table.sub]
k = true
[table]
other = 1.5
[[rule]]
name = "one"
[[rule.action]]
type = "x"
[[rule.action]]
type = "y"
[rule.deep.er]
z = 1
[[rule]]
name = "two"
[[rule.action]]
type = "z"
["é".'\']
"\u00e9" = "\U0001F600"
`

func TestPositions(t *testing.T) {
	checkPositions(t, everyForm)
	checkPositions(t, strings.ReplaceAll(everyForm, "\n", "\r\n"))
}

// checkPositions checks that every key and value that the TOML library finds
// has a place, and that the text at the place is that key or value.
func checkPositions(t *testing.T, src string) {
	t.Helper()
	root, deep := Scan(src)
	var doc map[string]any
	if _, err := toml.Decode(src, &doc); err != nil {
		return
	}
	if deep != nil {
		return
	}
	checkNode(t, src, root, doc, "")
}

func checkNode(t *testing.T, src string, n *Node, v any, path string) {
	t.Helper()
	if n.Value < 0 || n.End < n.Value || n.End > len(src) {
		t.Fatalf("%s: place %d-%d in %d bytes", path, n.Value, n.End, len(src))
	}
	switch v := v.(type) {
	case map[string]any:
		for name, e := range v {
			kid := n.Members[name]
			if kid == nil {
				t.Fatalf("%s: no place for %q in\n%s", path, name, src)
			}
			checkKey(t, src, kid, name, path)
			checkNode(t, src, kid, e, path+"."+name)
		}
	case []any:
		checkElements(t, src, n, v, path)
	case []map[string]any:
		checkElements(t, src, n, v, path)
	case string:
		token := src[n.Value:n.End]
		got, _ := unquote(token, -1)
		if strings.ReplaceAll(got, "\r\n", "\n") != strings.ReplaceAll(v, "\r\n", "\n") {
			t.Fatalf("%s: the place has %q, which is %q, want %q", path, token, got, v)
		}
		checkOffsets(t, token, got)
	case bool:
		if got := src[n.Value:n.End]; !strings.HasPrefix(got, "true") && !strings.HasPrefix(got, "false") {
			t.Fatalf("%s: the place has %q, want %v", path, got, v)
		}
	}
}

func checkElements[T any](t *testing.T, src string, n *Node, list []T, path string) {
	t.Helper()
	if len(n.Elements) != len(list) {
		t.Fatalf("%s: %d places for %d elements in\n%s", path, len(n.Elements), len(list), src)
	}
	for i, e := range list {
		checkNode(t, src, n.Elements[i], e, path+"[]")
	}
}

func checkKey(t *testing.T, src string, n *Node, name, path string) {
	t.Helper()
	if n.Key < 0 || n.Key > len(src) {
		t.Fatalf("%s: key %q at %d", path, name, n.Key)
	}
	s := &scanner{src: src, pos: n.Key}
	if seg, ok := s.simpleKey(); !ok || seg.name != name {
		t.Fatalf("%s: the place of key %q has %q", path, name, seg.name)
	}
}

// checkOffsets checks that offsets into the decoded text lead forward through
// the token.
func checkOffsets(t *testing.T, token, decoded string) {
	t.Helper()
	last := 0
	for off := range len(decoded) {
		at := Offset(token, off)
		if at < last || at > len(token) {
			t.Fatalf("offset %d of %q leads to %d of %q, the one before to %d", off, decoded, at, token, last)
		}
		if c := token[at]; c != '\\' && decoded[off] != c && decoded[off] < 0x80 {
			// Inside an escape of several bytes, or at a trimmed line, the place is near.
			if !strings.Contains(token[:at], `\`) {
				t.Fatalf("offset %d of %q is %q, the token has %q there", off, decoded, decoded[off], c)
			}
		}
		last = at
	}
}

func FuzzPositions(f *testing.F) {
	f.Add(everyForm)
	f.Add("a = [[[[1]]]]\n[b]\nc.d = {e=1}\n[[b.f]]\n[b.f.g]\n")
	f.Add("x='''\n''''''\ny=\"\"\"\\\n  a\"\"\"\"\"\n")
	f.Fuzz(func(t *testing.T, src string) {
		checkPositions(t, src)
	})
}

// TestDepth checks that what is nested too deep is refused, with its place, in
// every form.
func TestDepth(t *testing.T) {
	const deep = MaxDepth + 1
	for name, src := range map[string]string{
		"lists":         "a = " + strings.Repeat("[", deep) + strings.Repeat("]", deep),
		"inline tables": "a = " + strings.Repeat("{b=", deep) + "1" + strings.Repeat("}", deep),
		"dotted keys":   "a" + strings.Repeat(".b", deep) + " = 1",
		"headers":       "[a" + strings.Repeat(".b", deep) + "]",
		"never closed":  "a = " + strings.Repeat("[", 1<<20),
	} {
		_, err := Scan(src)
		var e *DepthError
		if !errors.As(err, &e) || e.Offset <= 0 || e.Offset >= len(src) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Scan("a = " + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)); err != nil {
		t.Errorf("as deep as may be: %v", err)
	}
}

func TestLines(t *testing.T) {
	l := NewLines("ab\r\n\ncd")
	for off, want := range [][2]int{{1, 1}, {1, 2}, {1, 3}, {1, 4}, {2, 1}, {3, 1}, {3, 2}, {3, 3}} {
		if line, col := l.Place(off); line != want[0] || col != want[1] {
			t.Errorf("offset %d is in line %d, column %d, want %v", off, line, col, want)
		}
	}
	for line, want := range []string{"", "ab", "", "cd", ""} {
		if got := l.Text(line); got != want {
			t.Errorf("line %d is %q, want %q", line, got, want)
		}
	}
}
