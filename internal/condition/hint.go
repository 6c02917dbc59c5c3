package condition

import (
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"

	"triggerd/internal/suggest"
)

// otherWords are what people type who know other languages, and what to write.
var otherWords = map[string]string{
	"null": "nil", "None": "nil", "NULL": "nil", "undefined": "nil", "NIL": "nil",
	"True": "true", "TRUE": "true", "False": "false", "FALSE": "false",
	"NOT": "not", "old": "before", "previous": "before", "new": "after", "current": "after",
	"expire": "ttl", "cmd": "command", "argv": "args", "database": "db", "timestamp": "time",
}

// ofThisKey says what to write of the key itself, in place of functions that are
// of another.
var ofThisKey = map[string]string{"value": "the key's own is after", "field": "a field of the key itself is after.NAME, those that were named are changed"}

// nameHint says what may have been meant by a name that there is not.
func (r *resolver) nameHint(name string) string {
	if slices.Contains(r.captures, name) {
		return "what the key pattern captured is params." + name
	}
	if word, ok := otherWords[name]; ok {
		return "did you mean " + strconv.Quote(word) + "?"
	}
	if hint := suggest.DidYouMean(name, r.names()); hint != "" {
		return hint
	}
	return `a field of a hash is after.` + name + `, and text is in quotes: "` + name + `"`
}

// functionHint says what may have been meant by a function that there is not.
func (r *resolver) functionHint(name string) string {
	if word, ok := otherWords[name]; ok {
		return "did you mean " + strconv.Quote(word) + "?"
	}
	return suggest.DidYouMean(name, r.names())
}

// methodHint says what to write in place of a method.
func methodHint(name *ast.StringNode) string {
	if name == nil {
		return ""
	}
	switch name.Value {
	case "startsWith", "endsWith", "contains", "matches":
		return `x ` + name.Value + ` "a"`
	case "length", "size", "len":
		return "len(x), or size(x) for bytes"
	}
	return ""
}

// syntax says, for what stands where an expression cannot go on, what to write.
var syntax = []struct{ at, hint string }{
	{"===", "== compares"},
	{"=~", `x matches "^a"`},
	{"=", "== compares"},
	{"~", `x matches "^a"`},
	{"<>", "!= is not equal"},
	{"&", "&& joins two conditions"},
	{"|", "|| is one or the other"},
	{"AND", "write and, or &&"},
	{"OR", "write or, or ||"},
	{"NOT", "write not, or !"},
	{"IN", "write in"},
	{"LIKE", `glob(key, "a*")`},
	{"like", `glob(key, "a*")`},
	{"IS", "before == nil"},
	{"is", "before == nil"},
	{"BETWEEN", "num(after) >= 1 && num(after) <= 5"},
	{"startsWith", `x startsWith "a"`},
	{"endsWith", `x endsWith "a"`},
	{"contains", `x contains "a"`},
	{"matches", `x matches "^a"`},
	{".", "args[0] is the first"},
}

// syntaxHint says what to write where the parser stopped, at an offset.
func syntaxHint(src string, offset int) string {
	if offset >= len(src) {
		return ""
	}
	for back := range 3 { // of an operator of several characters the parser takes the first
		at := offset - back
		if at < 0 || back > 0 && !strings.ContainsRune("=<", rune(src[at])) {
			break
		}
		for _, s := range syntax {
			if strings.HasPrefix(src[at:], s.at) && (back == 0 || len(s.at) > back) && isWhole(src[at:], s.at) {
				return s.hint
			}
		}
	}
	return ""
}

// isWhole reports whether a word that a text begins with ends there.
func isWhole(text, word string) bool {
	if c := word[len(word)-1]; c < 'A' {
		return true
	}
	after := text[len(word):]
	return after == "" || !(after[0] == '_' || after[0]|0x20 >= 'a' && after[0]|0x20 <= 'z' || after[0] >= '0' && after[0] <= '9')
}
