// Package glob matches keys with the globs of Redis and Valkey: one pattern by
// itself, or many at once.
//
//	p, err := glob.ParseKey("stock:{sku}")
//	p.Match([]byte("stock:7"))            // true
//	p.Captured([]byte("stock:7"), "sku")  // 7
//
// # The language
//
// A glob is what KEYS and SCAN take: * for any bytes or none, ? for one byte,
// [abc], [a-z] and [^a] for one byte of a class, and a backslash before a byte
// that stands for itself. Everything is compared as bytes. The meaning is that
// of the server's stringmatchlen (src/util.c), with two differences: the ends
// of a range are unsigned bytes, so that [\x01-\xff] is every byte but zero,
// and * matches the empty key too. As in the server every text is a glob: a
// class that nothing ends goes to the end of the pattern, a range may be
// written backwards, and a backslash at the end stands for itself.
//
// ParseKey adds {name} for one or more bytes other than ':'. Where a pattern
// leaves a choice, an earlier part takes as much as it can.
//
// # Many at once
//
// An Automaton finds which of many patterns match a key, at a cost that hardly
// depends on how many there are. It does not change once it is made. A Finder
// is one goroutine's use of it, and holds what it has learnt of the keys that
// passed: up to 16 MiB, however hostile they are.
//
// # Promises
//
// No pattern and no key makes this package panic. Match takes a time that is
// at most the pattern's length times the key's, and allocates nothing, except
// for patterns of more than 63 parts that capture. Patterns and automata may be
// used by several goroutines.
package glob
