package rules

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"triggerd/internal/secret"
	"triggerd/internal/tomlpos"
)

// Limits of the files that are read.
const (
	maxFile       = 64 << 20 // bytes of one rules file
	maxFiles      = 1000     // files of one set
	maxSecretFile = 64 << 10 // bytes of a ${file:...}
)

// Load reads the rules file at path and all files that it includes. An error
// holds all mistakes: see Errors.
func Load(path string, o Options) (*Set, error) {
	l := newLoader(&o)
	l.readFile(path, nil)
	return l.finish()
}

// Parse reads a rules file from memory. name is its path in messages, and
// includes are relative to it. src is not kept.
func Parse(name string, src []byte, o Options) (*Set, error) {
	l := newLoader(&o)
	l.parse(name, string(src), false)
	return l.finish()
}

// Build makes a Set of a document that was never a file. It has the types that
// TOML decodes to: map[string]any, []any, string, int64, float64, bool. int,
// and lists of strings or tables of other types, are accepted too. Messages
// name the path of a mistake. The document is not kept.
func Build(doc map[string]any, o Options) (*Set, error) {
	l := newLoader(&o)
	l.readDocument(&source{built: true, root: &tomlpos.Node{Key: -1}, doc: normalise(doc, true).(map[string]any)})
	return l.finish()
}

// source is one rules file.
type source struct {
	name  string
	built bool // it was never a file: places are paths
	open  bool // everybody on the machine may read it
	text  string
	lines *tomlpos.Lines
	root  *tomlpos.Node
	doc   map[string]any

	lastLine int    // the line that a mistake was last placed in; 0: none yet
	lastText string // what of it may be shown
}

// loader reads files and gathers their mistakes.
type loader struct {
	o         *Options
	sources   []*source
	including []string // absolute paths of the files we are inside of
	errors    []*Error
	order     map[*Error]int // index of the file that an error is in, to sort by
	warnings  []*Error
	notes     []*Error
	allowed   map[string]bool        // codes of warnings that the main file silences
	lookups   []Lookup               // what is not looked up offline
	pretended map[*tomlpos.Node]bool // values of which a part is made up, since it is not looked up
	expanded  []string               // values that came from the environment or a file
	secrets   []string               // of these, what is to be masked
	masker    *secret.Masker         // of all that was expanded, once all is read

	spare [][]string // see table.asked

	d *document
}

func newLoader(o *Options) *loader {
	return &loader{o: o, order: map[*Error]int{}, allowed: map[string]bool{}, pretended: map[*tomlpos.Node]bool{}, d: newDocument()}
}

// readFile loads the file at path. at is the include that names it, nil for the
// first file.
func (l *loader) readFile(path string, at *view) {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	report := func(format string, args ...any) {
		if at != nil {
			at.errorf("", format, args...)
			return
		}
		l.addError(nil, &Error{File: path, Msg: fmt.Sprintf(format, args...)})
	}
	l.reads(path, false)
	if slices.Contains(l.including, abs) {
		report("%s includes itself: %s", path, strings.Join(append(slices.Clone(l.including), abs), " -> "))
		return
	}
	if len(l.sources) >= maxFiles {
		report("more than %d files", maxFiles)
		return
	}
	text, err := readLimited(path, maxFile)
	if err != nil {
		report("%s", fileReason(err))
		return
	}
	l.including = append(l.including, abs)
	l.parse(path, text, isOpen(path))
	l.including = l.including[:len(l.including)-1]
}

// reads tells whoever wants to know what the rules are read from.
func (l *loader) reads(path string, isPattern bool) {
	if l.o.Reads != nil {
		l.o.Reads(path, isPattern)
	}
}

// fileReason returns what went wrong with a file, without the path: the message
// has that where it helps, and for an include the caret shows it.
func fileReason(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Sprintf("%s %s: %v", pe.Op, pe.Path, pe.Err)
	}
	return err.Error()
}

func readLimited(path string, limit int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return "", err
	}
	if int64(len(b)) > limit {
		return "", fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return string(b), nil
}

// parse parses one file and decodes it. open says that everybody may read it.
func (l *loader) parse(name, text string, open bool) {
	text = strings.TrimPrefix(text, "\ufeff") // some editors begin a file with it
	s := &source{name: name, open: open, text: text, lines: tomlpos.NewLines(text)}
	l.sources = append(l.sources, s)
	root, err := tomlpos.Scan(text)
	var deep *tomlpos.DepthError
	if errors.As(err, &deep) {
		l.addAt(s, deep.Offset, &Error{Msg: deep.Error()})
		return
	}
	s.root = root
	if _, err := toml.Decode(text, &s.doc); err != nil {
		l.syntaxError(s, err)
		return
	}
	normalise(s.doc, false)
	l.readDocument(s)
}

func (l *loader) syntaxError(s *source, err error) {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		l.addError(s, &Error{File: s.name, Line: 1, Col: 1, Msg: err.Error()})
		return
	}
	msg := pe.Message
	if msg == "" {
		_, msg, _ = strings.Cut(pe.Error(), ": ")
	}
	l.addAt(s, min(max(pe.Position.Start, 0), len(s.text)), &Error{Msg: msg})
}

// enough reports whether no more of a list are to be found.
func (l *loader) enough(list []*Error) bool {
	return l.o.MaxMistakes > 0 && len(list) >= l.o.MaxMistakes
}

// addError records a mistake. s is the file that it is in, nil if there is
// none.
func (l *loader) addError(s *source, e *Error) {
	l.errors = append(l.errors, l.setOrder(s, e))
}

// setOrder records which file an error or a warning is in, to sort by.
func (l *loader) setOrder(s *source, e *Error) *Error {
	l.order[e] = max(0, slices.Index(l.sources, s))
	return e
}

// addAt records a mistake at an offset.
func (l *loader) addAt(s *source, off int, e *Error) {
	l.place(s, off, e)
	l.addError(s, e)
}

// place sets where an error is, and the line if that may be shown.
func (l *loader) place(s *source, off int, e *Error) {
	if s.built {
		return
	}
	e.File = s.name
	e.Line, e.Col = s.lines.Place(off)
	if s.lastLine != e.Line { // a line may be long, and have many mistakes
		line := s.lines.Text(e.Line)
		if l.o.mayHoldSecret(line) {
			line = ""
		}
		s.lastLine, s.lastText = e.Line, line
	}
	e.SourceLine = s.lastText
}

// finish puts everything together, or returns the mistakes.
func (l *loader) finish() (*Set, error) {
	set := l.d.build(l)
	l.masker = secret.New(l.expanded...)
	for _, list := range [][]*Error{l.errors, l.warnings, l.notes} {
		slices.SortStableFunc(list, func(a, b *Error) int {
			return cmp.Or(cmp.Compare(l.order[a], l.order[b]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
		})
		for _, e := range list {
			e.Msg, e.Hint = l.redact(e.Msg), l.redact(e.Hint)
		}
	}
	if len(l.errors) > 0 {
		return nil, errorList(l.errors)
	}
	set.Lookups, set.Notes = l.lookups, l.notes
	l.keepTexts(set)
	set.Warnings = slices.DeleteFunc(l.warnings, func(e *Error) bool { return l.allowed[e.Code] || slices.Contains(l.o.Allow, e.Code) })
	set.Secrets = secret.New(l.secrets...)
	for _, s := range l.sources {
		if s.name != "" {
			set.Files = append(set.Files, s.name)
			if len(s.doc) == 0 {
				set.EmptyFiles = append(set.EmptyFiles, s.name)
			}
		}
	}
	return set, nil
}

// normalise converts a document to the types that TOML decodes to, in place or
// in a copy.
func normalise(v any, inCopy bool) any {
	switch v := v.(type) {
	case map[string]any:
		if inCopy {
			v = maps.Clone(v)
		}
		for k, e := range v {
			switch e.(type) {
			case string, bool, int64, float64:
			default:
				v[k] = normalise(e, inCopy)
			}
		}
		return v
	case []any:
		return normaliseList(v, inCopy)
	case []map[string]any:
		return normaliseList(v, inCopy)
	case []string:
		return normaliseList(v, inCopy)
	case [][]string:
		return normaliseList(v, inCopy)
	case []int:
		return normaliseList(v, inCopy)
	case int:
		return int64(v)
	}
	return v
}

func normaliseList[T any](list []T, inCopy bool) []any {
	out := make([]any, len(list))
	for i, e := range list {
		out[i] = normalise(e, inCopy)
	}
	return out
}
