package condition

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
)

// literals are the numbers of an expression that expr's parser would not read
// as they are.
type literals struct {
	src      string        // to be parsed in place of the expression; places are the same
	wholes   map[int]int64 // whole numbers that are written as floats, by their place in runes
	warnings []Problem     // of decimal numbers that are not exactly what is written
}

// literalsOf finds them. An integer beyond 64 bits is an error of the parser, so
// the float64 that is nearest to it is written in its place.
func literalsOf(src string) literals {
	l := literals{src: src, wholes: map[int]int64{}}
	tokens, err := lexer.Lex(file.NewSource(src))
	if err != nil {
		return l // the parser says so
	}
	for _, t := range tokens {
		if t.Kind != lexer.Number {
			continue
		}
		value, exact := readLiteral(t.Value)
		if value.none() {
			continue
		}
		at := byteOffset(src, t.From)
		if !exact {
			l.warnings = append(l.warnings, Problem{Offset: at, Msg: rounding(t.Value, value), Code: "rounded"})
		}
		switch integer := !strings.ContainsAny(t.Value, ".eE"); {
		case value.kind == whole && !integer:
			l.wholes[t.From] = value.i
		case value.kind == fraction && integer:
			l.src = l.src[:at] + sameLength(value.f, len(t.Value)) + l.src[at+len(t.Value):]
		}
	}
	return l
}

// Visit is ast.Visitor's.
func (l *literals) Visit(node *ast.Node) {
	if f, ok := (*node).(*ast.FloatNode); ok {
		if i, ok := l.wholes[f.Location().From]; ok {
			ast.Patch(node, &ast.IntegerNode{Value: int(i)})
		}
	}
}

// ReadNumber reads a decimal number as it is written in a file, as the int64 or
// float64 that conditions take it for: nil if it is none. The warning says so,
// if that is not exactly what is written.
func ReadNumber(written string) (n any, warning string) {
	value, exact := readLiteral(written)
	if value.none() {
		return nil, ""
	}
	if !exact {
		warning = rounding(written, value)
	}
	if value.kind == whole {
		return value.i, warning
	}
	return value.f, warning
}

func rounding(written string, value number) string {
	held := value.text()
	if f := math.Abs(value.f); f >= 1<<53 && f < 1e40 {
		held = strconv.FormatFloat(value.f, 'f', 0, 64) // all its digits
	}
	return fmt.Sprintf("%.40s is taken for %.40s, the nearest number that there is", written, held)
}

// readLiteral reads a decimal number of an expression or of a file, and reports
// whether its value is exactly what is written. A fraction is, if no shorter
// text stands for it: 0.1 is what everybody means by it.
func readLiteral(written string) (n number, exact bool) {
	digits := strings.ReplaceAll(written, "_", "")
	if strings.HasPrefix(digits, "0") && len(digits) > 1 && strings.ContainsRune("xXoObB", rune(digits[1])) {
		return number{kind: notOne}, false
	}
	if i, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return number{i: i}, true
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || len(digits) > maxLen {
		return number{kind: notOne}, false
	}
	if n = numberOf(digits); n.kind == whole {
		return n, true
	}
	n = number{f: f, kind: fraction}
	// Beyond these a power of ten alone is larger than a float64, or less.
	if e := strings.IndexAny(digits, "eE"); e >= 0 {
		if exp, err := strconv.Atoi(digits[e+1:]); err != nil || exp > 400 || exp < -400 {
			return n, false
		}
	}
	value, ok := new(big.Rat).SetString(digits)
	if !ok {
		return n, false
	}
	held := new(big.Rat)
	if value.IsInt() || math.Abs(f) >= 1<<53 {
		held.SetFloat64(f)
	} else {
		held.SetString(strconv.FormatFloat(f, 'g', -1, 64))
	}
	return n, held.Cmp(value) == 0
}

// sameLength writes a number beyond 64 bits in so many bytes, of which there are
// at least nineteen: 17 digits and an exponent tell each float64 from others.
func sameLength(f float64, length int) string {
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', 16, 64), "e") // d.dddddddddddddddde+dd
	exp, _ := strconv.Atoi(exponent)
	text := mantissa[:1] + mantissa[2:] + "e" + strconv.Itoa(exp-16)
	return text + strings.Repeat(" ", max(length-len(text), 0))
}
