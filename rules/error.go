package rules

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is one mistake in a rules file, or one warning about it.
type Error struct {
	File      string // as it was named; "": the document was never a file
	Line, Col int    // 1-based, Col in bytes; 0 where there is no file
	Rule      string // name of the rule, if it is inside one
	Field     string // "when", "action.url", "targets.crm.url"; "" if it concerns no field
	Msg       string // what is wrong
	Hint      string // what to do about it; "" if that is not known
	Code      string // of a warning: one of WarningCodes; "" for a mistake

	SourceLine string // the line itself; "": there is none, or it may show a secret
}

// Error returns the mistake with its place. If the line may be shown, the line
// follows, with a caret below the place.
func (e *Error) Error() string {
	text := e.Headline()
	if line, caret := e.Source(); line != "" {
		text += "\n" + line + "\n" + caret
	}
	return text
}

// Headline returns the mistake with its place, in one line.
func (e *Error) Headline() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ":")
		if e.Line > 0 {
			b.WriteString(strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Col) + ":")
		}
		b.WriteByte(' ')
	}
	if e.Rule != "" {
		b.WriteString("rule " + strconv.Quote(e.Rule) + ": ")
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Msg)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// maxShown is how many bytes of a long line are shown on each side of the caret.
const maxShown = 80

// Source returns the line that the mistake is in, with its number, and a line
// that has a caret below the place; "" if the line is not to be shown. Both are
// printable.
func (e *Error) Source() (line, caret string) {
	if e.SourceLine == "" {
		return "", ""
	}
	at := min(max(e.Col-1, 0), len(e.SourceLine))
	before, after := e.SourceLine[:at], e.SourceLine[at:]
	if len(before) > maxShown {
		before = "…" + strings.ToValidUTF8(before[len(before)-maxShown:], "")
	}
	if len(after) > maxShown {
		after = strings.ToValidUTF8(after[:maxShown], "") + "…"
	}
	number := strconv.Itoa(e.Line)
	below := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, printable(before))
	return "  " + number + " | " + printable(before+after), "  " + strings.Repeat(" ", len(number)) + " | " + below + "^"
}

// printable replaces what could act on a terminal, one rune for one rune.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (!strconv.IsPrint(r) || r == utf8.RuneError) {
			return '?'
		}
		return r
	}, s)
}

// errorList is what Load returns: every mistake, in the order of the files.
type errorList []*Error

func (l errorList) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

func (l errorList) Unwrap() []error {
	errs := make([]error, len(l))
	for i, e := range l {
		errs[i] = e
	}
	return errs
}

// Errors returns the mistakes that an error of Load, Parse or Build holds, in
// the order of the files; nil if err is nil or something else.
func Errors(err error) []*Error {
	var list errorList
	if errors.As(err, &list) {
		return list
	}
	var one *Error
	if errors.As(err, &one) {
		return []*Error{one}
	}
	return nil
}
