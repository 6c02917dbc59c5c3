package secret

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
	"sync"
)

// Mark stands where a secret was.
const Mark = "***"

// MinLen is the length in bytes below which a value is not masked: to replace
// every "a" would spoil the text and protect nothing.
const MinLen = 4

// Masker masks some secrets. nil masks nothing. It always masks the same, and
// is safe for concurrent use.
type Masker struct {
	parent *Masker // whose secrets are masked too; nil: none
	values []string
	known  map[string]bool // the values

	// What follows is made for the first text: of ten thousand actions with a
	// secret of their own few ever fail. The forms are kept by their first four
	// bytes, and a filter tells quickly of most places of a text that no form
	// begins there.
	once     sync.Once
	forms    []form
	byPrefix map[uint32][]form
	filter   []uint64
	shift    uint8
}

// New returns a Masker of values. Those shorter than MinLen are left out; if
// none is left the Masker is nil.
func New(values ...string) *Masker { return (*Masker)(nil).With(values...) }

// With returns a Masker of m's secrets and of values. It is m itself where m
// has them all.
func (m *Masker) With(values ...string) *Masker {
	var child *Masker
	for _, v := range values {
		if len(v) < MinLen || m.has(v) || child != nil && child.known[v] {
			continue
		}
		if child == nil {
			child = &Masker{parent: m, known: map[string]bool{}}
		}
		child.known[v] = true
		child.values = append(child.values, v)
	}
	if child == nil {
		return m
	}
	return child
}

// Values returns the secrets that m was made of, those of the last With first.
// The caller owns the slice.
func (m *Masker) Values() []string {
	var all []string
	for ; m != nil; m = m.parent {
		all = append(all, m.values...)
	}
	return all
}

// String shows no secret.
func (m *Masker) String() string { return Mark }

func (m *Masker) has(value string) bool {
	for ; m != nil; m = m.parent {
		if m.known[value] {
			return true
		}
	}
	return false
}

// index makes the forms of the values, and what they are found by.
func (m *Masker) index() {
	m.forms = formsOf(m.values)
	m.byPrefix = make(map[uint32][]form, len(m.forms))
	size := bits.Len(uint(len(m.forms))) + 4 // 16 to 32 bits a form: about one place in twenty is looked at in vain
	m.filter = make([]uint64, max(1, 1<<size/64))
	m.shift = uint8(32 - bits.Len(uint(len(m.filter)*64-1)))
	for _, f := range m.forms {
		p := prefixOf(f.text)
		m.byPrefix[p] = append(m.byPrefix[p], f)
		h := m.hash(p)
		m.filter[h/64] |= 1 << (h % 64)
	}
}

func prefixOf(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func (m *Masker) hash(prefix uint32) uint32 { return prefix * 2654435761 >> m.shift }

// Mask returns text with a Mark in the place of each secret.
func (m *Masker) Mask(text string) string { return m.MaskPart(text, false, false) }

// MaskPart is Mask for a part of a longer text, which was cut off at the part's
// start, at its end, or at both. There the rest of a secret is taken for one:
// it becomes a Mark, or nothing where it is shorter than MinLen.
func (m *Masker) MaskPart(text string, atStart, atEnd bool) string {
	if m == nil || text == "" {
		return text
	}
	for each := m; each != nil; each = each.parent {
		each.once.Do(each.index)
	}
	found := m.search(nil, stream{text: text}, edges{atStart, atEnd}, 0)
	if len(found) == 0 {
		return text
	}
	return replace(text, found)
}

// span is a part of the text that is masked.
type span struct{ from, to int }

// edges tell where a text was cut off.
type edges struct{ start, end bool }

// maxDepth is how many escapes inside one another are undone. A receiver that
// says what it got in JSON, which held JSON, makes two.
const maxDepth = 3

// search appends the secrets in s, and in what s is after any escape is undone.
func (m *Masker) search(found []span, s stream, cut edges, depth int) []span {
	for each := m; each != nil; each = each.parent {
		found = each.find(found, s)
		if cut.start {
			found = each.findEnds(found, s)
		}
		if cut.end {
			found = each.findBeginnings(found, s)
		}
	}
	if depth == maxDepth {
		return found
	}
	for i := range escapes {
		if strings.IndexByte(s.text, escapes[i].begin) < 0 {
			continue
		}
		if plain, ok := s.undo(&escapes[i], cut.end); ok {
			found = m.search(found, plain, cut, depth+1)
		}
	}
	return found
}

// find appends every form that is in s whole.
func (m *Masker) find(found []span, s stream) []span {
	text := s.text
	if len(text) < MinLen {
		return found
	}
	prefix := prefixOf(text) << 8
	for i := range len(text) - (MinLen - 1) {
		prefix = prefix>>8 | uint32(text[i+3])<<24
		h := m.hash(prefix)
		if m.filter[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		for _, f := range m.byPrefix[prefix] {
			if strings.HasPrefix(text[i:], f.text) {
				found = s.add(found, i-int(f.before), i+len(f.text)+int(f.after))
			}
		}
	}
	return found
}

// findBeginnings appends the longest beginning of a form that s ends in.
func (m *Masker) findBeginnings(found []span, s stream) []span {
	text, longest := s.text, 0
	if text == "" {
		return found
	}
	last := text[len(text)-1]
	for i := range m.forms {
		f := m.forms[i].text
		for n := min(len(f)-1, len(text)); ; n-- {
			n = strings.LastIndexByte(f[:n], last) + 1
			if n <= longest {
				break
			}
			if strings.HasSuffix(text, f[:n]) {
				longest = n
				break
			}
		}
	}
	if longest == 0 {
		return found
	}
	return s.add(found, len(text)-longest, len(text))
}

// findEnds appends the ends of forms that s begins with, and all of s where it is
// a middle of one. What is left of an escape that was cut may come first.
func (m *Masker) findEnds(found []span, s stream) []span {
	for at := range min(maxEscape, len(s.text)) {
		text, longest := s.text[at:], 0
		for i := range m.forms {
			f := m.forms[i].text
			for from := 1; from < len(f) && len(f)-from > longest; from++ {
				next := strings.IndexByte(f[from:], text[0])
				if next < 0 {
					break
				}
				from += next
				if rest := f[from:]; strings.HasPrefix(text, rest) || strings.HasPrefix(rest, text) {
					longest = max(longest, min(len(rest), len(text)))
					break
				}
			}
		}
		if longest >= MinLen || longest > 0 && at == 0 {
			found = s.add(found, 0, at+longest)
		}
	}
	return found
}

// replace puts a Mark in the place of each of the spans. At an edge a short one
// is but dropped: a few bytes look like the rest of some secret everywhere.
func replace(text string, found []span) string {
	slices.SortFunc(found, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var b strings.Builder
	b.Grow(len(text))
	done := 0
	for i := 0; i < len(found); {
		at := found[i]
		for i++; i < len(found) && found[i].from <= at.to; i++ {
			at.to = max(at.to, found[i].to)
		}
		b.WriteString(text[done:at.from])
		if at.to-at.from >= MinLen {
			b.WriteString(Mark)
		}
		done = at.to
	}
	b.WriteString(text[done:])
	return b.String()
}
