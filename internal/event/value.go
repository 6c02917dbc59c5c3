package event

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Value is a key's value on one side of a change. It is a view: what it costs
// to make does not depend on how large the value is, and only what is asked of
// it is looked at. A nil Value is one that is not known; None stands for a key
// that is not there.
//
// The Values of a borrowed Event are valid as long as the Event is. Those of
// an Event that Clone made are owned and may be used by many goroutines.
type Value interface {
	// Type is "string", "list", "set", "zset", "hash" or "stream"; "none" for
	// a key that is not there.
	Type() string
	// Len is the number of a string's bytes, and of elements of all else.
	Len() int
	// Bytes is a string's text, not to be changed; nil for all else.
	Bytes() []byte
	// Prefix is the first n bytes of a string's text, or all if it has no more,
	// not to be changed; nil for all else. It costs what n says, however long
	// the text is.
	Prefix(n int) []byte
	// Get finds an element by its name: a hash's field gives its value, a
	// set's member and the ID of a stream's entry themselves, a zset's member
	// its score as text. A list's items have no names.
	Get(name []byte) (value []byte, ok bool)
	// At is the element at a place of a list or a stream, from 0 on; false where
	// there is none, and for all else.
	At(i int) (Element, bool)
	// All gives the elements: a list's and a stream's in their order, a zset's
	// by score, a set's and a hash's in no order. A string and a key that is
	// not there have none.
	All() iter.Seq[Element]
	// Truncated reports whether elements, or bytes of a string, are missing
	// because the value was cut when it was cloned.
	Truncated() bool
}

// Element is one element of a Value. Its texts are bytes, not necessarily
// UTF-8.
type Element struct {
	Name   string   // list: the item; set, zset: the member; hash: the field; stream: the entry's ID, "ms-seq"
	Value  string   // hash: the field's value
	Score  float64  // zset; never NaN
	Fields []string // stream: field, value, field, value, ...
}

// None is the value of a key that is not there.
var None Value = &copied{typ: "none"}

// DefaultMaxValue is how many bytes of a value Clone keeps.
const DefaultMaxValue = 64 << 10

// copied is a value that owns its bytes, perhaps cut.
type copied struct {
	typ      string
	text     []byte
	elements []Element
	size     int // of the whole value
	cut      bool
	sorted   bool // the elements are in the order of their names
}

func (c *copied) Type() string    { return c.typ }
func (c *copied) Len() int        { return c.size }
func (c *copied) Bytes() []byte   { return c.text }
func (c *copied) Truncated() bool { return c.cut }

func (c *copied) All() iter.Seq[Element] { return slices.Values(c.elements) }

func (c *copied) Prefix(n int) []byte {
	n = min(max(n, 0), len(c.text))
	return c.text[:n:n]
}

func (c *copied) At(i int) (Element, bool) {
	if i < 0 || i >= len(c.elements) || c.typ != "list" && c.typ != "stream" {
		return Element{}, false
	}
	return c.elements[i], true
}

func (c *copied) Get(name []byte) ([]byte, bool) {
	if e := c.named(string(name)); e != nil {
		return e.text(c.typ), true
	}
	return nil, false
}

// Find is that of Finder.
func (c *copied) Find(name string) (Element, bool) {
	if e := c.named(name); e != nil && c.typ != "stream" {
		return *e, true
	}
	return Element{}, false
}

// named returns the element of a name; nil if there is none.
func (c *copied) named(name string) *Element {
	if c.typ == "list" {
		return nil
	}
	if c.sorted {
		if i, ok := slices.BinarySearchFunc(c.elements, name, func(e Element, name string) int { return cmp.Compare(e.Name, name) }); ok {
			return &c.elements[i]
		}
		return nil
	}
	for i := range c.elements {
		if c.elements[i].Name == name {
			return &c.elements[i]
		}
	}
	return nil
}

// text is what Get gives for an element of a value of type typ.
func (e *Element) text(typ string) []byte {
	switch typ {
	case "hash":
		return []byte(e.Value)
	case "zset":
		return AppendScore(nil, e.Score)
	}
	return []byte(e.Name)
}

// AppendScore appends a zset's score as the servers write it: the shortest
// decimal that is the same number, "inf", "-inf".
func AppendScore(dst []byte, score float64) []byte {
	switch {
	case math.IsInf(score, 1):
		return append(dst, "inf"...)
	case math.IsInf(score, -1):
		return append(dst, "-inf"...)
	case score == math.Trunc(score) && math.Abs(score) < 1e17:
		return strconv.AppendFloat(dst, score, 'f', -1, 64)
	}
	return strconv.AppendFloat(dst, score, 'g', -1, 64)
}

// String returns a Value that is the text of a string. It keeps text.
func String(text []byte) Value {
	return &copied{typ: "string", text: text, size: len(text)}
}

// Elements returns a Value of type typ ("list", "set", "zset", "hash",
// "stream") that holds elements, in the order that All has for the type. It
// keeps elements.
func Elements(typ string, elements []Element) Value {
	return &copied{typ: typ, elements: elements, size: len(elements)}
}

// CloneValue returns a copy of v that owns its bytes and holds at most limit
// bytes of text (and 16 more for each element): the beginning of a string, and
// of a collection as many whole elements as fit. A set's and a hash's elements
// are sorted by name, so that the same value gives the same copy, unless it is
// cut. A nil v gives nil.
func CloneValue(v Value, limit int) Value {
	if v == nil || v == None {
		return v
	}
	typ := v.Type()
	if typ == "none" {
		return None
	}
	c := &copied{typ: typ, size: v.Len(), cut: v.Truncated()}
	if typ == "string" {
		c.text = append([]byte{}, v.Prefix(limit)...)
		c.cut = c.cut || v.Len() > len(c.text)
		return c
	}
	for e := range v.All() {
		if c.elements == nil { // room for as many as fit, if all are like the first
			c.elements = make([]Element, 0, min(v.Len(), max(limit, 0)/e.size()+1))
		}
		limit -= e.size()
		if limit < 0 {
			c.cut = true
			break
		}
		e.Fields = slices.Clone(e.Fields)
		c.elements = append(c.elements, e)
	}
	if !c.cut && (typ == "set" || typ == "hash") {
		slices.SortFunc(c.elements, func(a, b Element) int { return cmp.Compare(a.Name, b.Name) })
		c.sorted = true
	}
	return c
}

// maxKept limits what keeping adds to a value, in bytes of text.
const maxKept = 1 << 20

// keeping returns c, a copy of v that may be cut, with the elements of a hash or
// a zset that have these names, as far as maxKept goes.
func (c *copied) keeping(v Value, names []string) *copied {
	if len(names) == 0 || !c.cut || c.typ != "hash" && c.typ != "zset" {
		return c
	}
	left := maxKept
	for _, name := range names {
		if _, there := c.Get([]byte(name)); there {
			continue
		}
		text, ok := v.Get([]byte(name))
		if left -= len(name) + len(text); !ok || left < 0 {
			continue
		}
		e := Element{Name: name, Value: string(text)}
		if c.typ == "zset" {
			e.Value = ""
			e.Score, _ = strconv.ParseFloat(string(text), 64)
		}
		c.elements = append(c.elements, e)
	}
	return c
}

// CloneKeeping is CloneValue for which the elements of a hash or a zset with these
// names are there, if they are in v, though the limit leaves out others; a MiB of
// them at most.
func CloneKeeping(v Value, limit int, names []string) Value {
	clone := CloneValue(v, limit)
	if c, ok := clone.(*copied); ok && v != nil {
		return c.keeping(v, names)
	}
	return clone
}

func (e *Element) size() int {
	n := 16 + len(e.Name) + len(e.Value)
	for _, f := range e.Fields {
		n += len(f)
	}
	return n
}

// AppendJSONValue appends v as JSON: null for what is not there or not known, a string,
// an array for a list and a set, [[member,score],...] for a zset,
// [[id,[field,value,...]],...] for a stream and an object for a hash, unless a
// field's name is not UTF-8: then it is [[field,value],...]. A score that is
// infinite is the string "inf" or "-inf".
func AppendJSONValue(dst []byte, v Value) []byte {
	if v == nil {
		return append(dst, "null"...)
	}
	switch v.Type() {
	case "none":
		return append(dst, "null"...)
	case "string":
		return appendStringValue(dst, v)
	case "hash":
		return appendHash(dst, v)
	}
	dst = append(dst, '[')
	first := true
	for e := range v.All() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		switch v.Type() {
		case "zset":
			dst = append(dst, '[')
			dst = AppendJSONBytes(dst, e.Name)
			dst = append(dst, ',')
			dst = appendJSONScore(dst, e.Score)
			dst = append(dst, ']')
		case "stream":
			dst = append(dst, '[')
			dst = appendString(dst, e.Name)
			dst = append(dst, ',', '[')
			for i, f := range e.Fields {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = AppendJSONBytes(dst, f)
			}
			dst = append(dst, ']', ']')
		default:
			dst = AppendJSONBytes(dst, e.Name)
		}
	}
	return append(dst, ']')
}

// appendStringValue appends a string. One that was cut in the middle of a
// character ends before it, so that text stays text.
func appendStringValue(dst []byte, v Value) []byte {
	text := v.Bytes()
	if v.Truncated() && !utf8.Valid(text) {
		for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
			if head := text[:len(text)-n]; utf8.Valid(head) && utf8.RuneStart(text[len(head)]) {
				text = head
				break
			}
		}
	}
	return AppendJSONBytes(dst, text)
}

func appendHash(dst []byte, v Value) []byte {
	names := true
	for e := range v.All() {
		if names = utf8.ValidString(e.Name); !names {
			break
		}
	}
	open, between, end, closing := "", ":", "", "}"
	if !names {
		open, between, end, closing = "[", ",", "]", "]"
		dst = append(dst, '[')
	} else {
		dst = append(dst, '{')
	}
	first := true
	for e := range v.All() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, open...)
		dst = AppendJSONBytes(dst, e.Name)
		dst = append(dst, between...)
		dst = AppendJSONBytes(dst, e.Value)
		dst = append(dst, end...)
	}
	return append(dst, closing...)
}

func appendJSONScore(dst []byte, score float64) []byte {
	if math.IsInf(score, 0) || math.IsNaN(score) {
		return appendString(dst, AppendScore(nil, score))
	}
	return AppendScore(dst, score)
}
