package glob

import (
	"fmt"
	"strings"
)

// Doubt is a part of a pattern that hardly means what its author had in mind.
type Doubt struct {
	Offset int    // where it begins in the pattern
	Msg    string // what it means
	Hint   string // what to write instead

	// Capture, if not "", is the name that the part captures. There is no doubt
	// if something uses it.
	Capture string
}

// Doubts returns what is questionable in a pattern of ParseKey: each class and
// each brace that is not closed, a class without a byte, braces that capture
// nothing, and a capture at the very start, where servers have hash tags.
func Doubts(pattern string) []Doubt {
	var doubts []Doubt
	doubt := func(at int, hint, format string, args ...any) {
		doubts = append(doubts, Doubt{Offset: at, Msg: fmt.Sprintf(format, args...), Hint: hint})
	}
	for i := 0; i < len(pattern); {
		part, n := parsePart(pattern[i:], true)
		token := pattern[i : i+n]
		switch {
		case part.kind == partSet:
			if _, _, closed := parseClass(pattern[i:]); !closed {
				doubt(i, `close it, or write \[ for a bracket`, "the [ is not closed: all that follows is its class, and stands for one byte")
			} else if *part.set == (byteSet{}) {
				doubt(i, `write \[ for a bracket`, "no byte is in the class %s: no key is like that", token)
			}
		case part.kind == partCapture && i == 0:
			doubt(i, fmt.Sprintf(`write \%s if it is a hash tag, or use params.%s`, token, token[1:n-1]), "%s at the start captures; as a hash tag of a cluster it would have to stand for itself", token)
			doubts[len(doubts)-1].Capture = token[1 : n-1]
		case token == "{":
			name, _, found := strings.Cut(pattern[i+1:], "}")
			if !found {
				doubt(i, `close it, or write \{ for a brace`, "the { is not closed: it captures nothing, and stands for itself")
				break
			}
			doubt(i, `a name has letters, digits and _; write \{ for a brace`, "{%s} captures nothing: it stands for itself", name)
		}
		i += n
	}
	return doubts
}
