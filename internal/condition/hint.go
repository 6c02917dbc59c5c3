package condition

import (
	"maps"
	"regexp"
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
	"NOT": "not", "Not": "not", "old": "before", "previous": "before", "new": "after", "current": "after",
	"expire": "ttl", "cmd": "command", "argv": "args", "database": "db", "timestamp": "time",
}

// ofThisKey says what to write of the key itself, in place of functions that are
// of another.
var ofThisKey = map[string]string{"value": "the key's own is after", "field": "a field of the key itself is after.NAME, those that were named are changed"}

// otherFunctions are functions of other languages, and of expr, and what to write.
var otherFunctions = map[string]string{
	"number": "num(x)", "toNumber": "num(x)", "toInt": "num(x)", "parseInt": "num(x)", "parseFloat": "num(x)", "Number": "num(x)", "atoi": "num(x)",
	"length": "len(x)", "strlen": "len(x)", "str": "string(x)", "toString": "string(x)", "text": "string(x)", "toLower": "lower(x)", "toUpper": "upper(x)",
	"tolower": "lower(x)", "toupper": "upper(x)", "lowercase": "lower(x)", "uppercase": "upper(x)",
	"isset": "after != nil, after.f != nil", "exists": "after != nil, after.f != nil", "defined": "after != nil, after.f != nil", "isNil": "after == nil", "empty": `after == nil, after == ""`,
	"changed": `differs("f"), or "f" in changed`, "added": `"a" in added`, "removed": `"a" in removed`, "ttl": "ttl, of the key itself", "typeof": `type == "hash"`, "type": `type == "hash"`,
	"hour": "time.Hour()", "minute": "time.Minute()", "weekday": "time.Weekday(), where 0 is Sunday", "date": "time.Year(), time.Month(), time.Day()", "duration": "milliseconds: ttl < 60000",
	"regex": `x matches "^a"`, "regexp": `x matches "^a"`, "regex_match": `x matches "^a"`, "match": `x matches "^a"`, "like": `glob(x, "a*")`, "substr": "x[0:3]", "substring": "x[0:3]", "concat": "x + y",
	"includes": `"a" in list, or x contains "a"`, "in": `x in ["a", "b"]`, "if": "a ? b : c", "not": "!x", "random": "sample = 0.1 beside when", "rand": "sample = 0.1 beside when",
	"max": "x > y ? x : y", "min": "x < y ? x : y", "sum": "count(after, PREDICATE); there is no sum of elements", "filter": "any, all, none, one or count, with a predicate", "map": "any, all, none, one or count, with a predicate",
	"find": "any(after, PREDICATE)", "first": "after[0]", "last": "after[-1]", "keys": `has(after, "f"); any(after, .field == "f")`, "values": `any(after, .value == "a")`, "get": "after.f, or value(KEY) of another key",
	"hget": `after.f, or field(KEY, "f") of another key`, "fromJSON": `json(x, "a.b")`, "parseJSON": `json(x, "a.b")`, "indexOf": `x contains "a"`, "hasPrefix": `x startsWith "a"`, "hasSuffix": `x endsWith "a"`,
}

// usages are how the functions are called, for those that are called otherwise.
var usages = map[string]string{
	"num": "num(after), num(after, 0)", "arg": "arg(1)", "json": `json(after, "a.b")`, "has": `has(after, "f")`, "glob": `glob(key, "a:*")`, "cidr": `cidr(arg(1), "10.0.0.0/8")`, "size": "size(after)", "bin": `bin("\\xff")`, "now": "now()",
	"crossed": "crossed(5)", "changed_to": `changed_to("on")`, "became": `became("status", "paid")`, "score": `score(after, "ann")`, "crossed_score": "crossed_score(1000)", "differs": `differs("f")`, "was": `was("f")`,
	"moved": `moved("status", {"new": ["paid", "void"]})`, "within": `within(after, "van", 13.4, 52.5, 10): member, longitude, latitude, km`, "value": `value("limit:" + params.id)`, "field": `field("user:" + params.id, "email")`,
	"split": `split(key, ":")`, "replace": `replace(x, "-", "_")`, "string": "string(x)",
	"any": `any(after, # == "a")`, "all": `all(after, # == "a")`, "none": `none(after, # == "a")`, "one": `one(after, # == "a")`, "count": `count(after, # == "a")`,
}

// unseen are what no replica is told, and what people look for.
var unseen = map[string]bool{"client": true, "client_id": true, "client_name": true, "username": true, "addr": true, "remote": true, "remote_addr": true, "source_ip": true}

// nameHint says what may have been meant by a name that there is not, at an offset
// in bytes.
func (r *resolver) nameHint(name string, at int) string {
	if r.at == nil && at > 1 && at < len(r.source) && r.source[at-1] == '-' && isNameByte(r.source[at-2]) {
		return `a name with - in it is written in brackets: after["order-id"]`
	}
	if slices.Contains(r.captures, name) {
		return "what the key pattern captured is params." + name
	}
	if word, ok := otherWords[name]; ok {
		return "did you mean " + strconv.Quote(word) + "?"
	}
	switch {
	case r.c.lists[name] != nil:
		return "write lists." + name
	case r.c.of.Macros[name] != "":
		return "write macros." + name
	case unseen[name]:
		return "no replica is told who sent a command"
	case name == "it" || name == "_" || name == "item" || name == "element" || name == "elem" || name == "x":
		return `# is the element of any, all, none, one and count: any(after, # == "a")`
	}
	if hint := suggest.DidYouMean(name, slices.Values(append(slices.Sorted(maps.Keys(variables)), "lists", "macros", "nil", "true", "false"))); hint != "" {
		return hint
	}
	return `a field of a hash is after.` + name + `, and text is in quotes: "` + name + `"`
}

// functionHint says what may have been meant by a function that there is not.
func (r *resolver) functionHint(name string) string {
	if write, ok := otherFunctions[name]; ok {
		return "write " + write
	}
	if word, ok := otherWords[name]; ok {
		return "did you mean " + strconv.Quote(word) + "?"
	}
	return suggest.DidYouMean(name, r.functionNames())
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
	case "equals":
		return `x == "a"`
	case "lower", "upper", "trim":
		return name.Value + "(x)"
	case "split", "replace":
		return usages[name.Value]
	case "startswith", "endswith":
		return `x ` + strings.Replace(name.Value, "with", "With", 1) + ` "a"`
	}
	if write, ok := otherFunctions[name.Value]; ok {
		return "write " + write
	}
	return ""
}

// isNameByte reports whether a byte may be in a name.
func isNameByte(c byte) bool {
	return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
}

// syntax says, for what stands where an expression cannot go on, what to write.
var syntax = []struct{ at, hint string }{
	{"===", "== compares"},
	{"=>", ">= is greater or equal; in a predicate # is the element"},
	{"=<", "<= is less or equal"},
	{"->", "before and after are two names: before.status == \"new\" && after.status == \"paid\""},
	{"#", "# is the element, inside of any, all, none, one and count; a condition has no comments"},
	{"=~", `x matches "^a"`},
	{"=", "== compares"},
	{"~", `x matches "^a"`},
	{"<>", "!= is not equal"},
	{"&", "&& joins two conditions"},
	{"|", "|| is one or the other"},
	{"and", "write and, or &&"},
	{"or", "write or, or ||"},
	{"not", "write not, or !"},
	{"in", "write in"},
	{"like", `glob(key, "a*")`},
	{"is", "x == nil"},
	{"between", "num(after) >= 1 && num(after) <= 5"},
	{"includes", `x contains "a"; of a list "a" in x`},
	{"has", `x contains "a"; has(after, "f")`},
	{"then", "a ? b : c"},
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
		if at < 0 || back > 0 && !strings.ContainsRune("=<-", rune(src[at])) {
			break
		}
		for _, s := range syntax {
			if len(src[at:]) >= len(s.at) && strings.EqualFold(src[at:at+len(s.at)], s.at) && (back == 0 || len(s.at) > back) && isWhole(src[at:], s.at) {
				return s.hint
			}
		}
	}
	words := strings.Fields(src[:offset])
	last := ""
	if len(words) > 0 {
		last = words[len(words)-1]
	}
	switch {
	case strings.EqualFold(last, "not"):
		return "write not, or !"
	case strings.HasSuffix(src[:offset], "$") && src[offset] == '{':
		return "what is outside is not put into conditions"
	case strings.HasSuffix(src[:offset], "{") && src[offset] == '{':
		return "a condition is no template: key, after.status"
	case inParentheses.MatchString(src[:offset]) && strings.ContainsRune(",})", rune(src[offset])):
		return `in ["a", "b"]`
	}
	return ""
}

// inParentheses is a list that is in the wrong brackets, up to its first comma or its
// end.
var inParentheses = regexp.MustCompile(`\bin\s*[({][^()\[\]{}]*$`)

// isWhole reports whether a word that a text begins with ends there.
func isWhole(text, word string) bool {
	if c := word[len(word)-1]; c < 'A' {
		return true
	}
	after := text[len(word):]
	return after == "" || !isNameByte(after[0])
}
