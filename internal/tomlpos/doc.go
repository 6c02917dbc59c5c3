// Package tomlpos tells where in a TOML file its keys and values are, so that a
// mistake in one can be shown at its place.
//
//	root, err := tomlpos.Scan(src)
//	at := root.Members["rule"].Elements[0].Members["key"]
//	line, col := tomlpos.NewLines(src).Place(at.Value)
//
// The TOML library says where a syntax error is, but not where the keys and
// values of a valid file are (and what it says of keys inside [[rule]] is the
// last one's place). So the file is scanned a second time, here, for places
// only: the scanner accepts every valid file, and stops at the first thing it
// does not understand, which is then the library's to explain.
//
// No text makes this package panic or recurse deeper than MaxDepth: ask it
// before the library, which has no such limit.
package tomlpos
