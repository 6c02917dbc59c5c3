package actions

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"triggerd/internal/excerpt"
	"triggerd/internal/secret"
)

// Preview is what an action would send for a firing, for people to read. Secrets
// are masked in it, characters that are not printable are escaped as Go does,
// and what is long is cut, with a note of how many bytes are missing.
type Preview struct {
	// Call is what would be called: method and URL of a request, or a program and
	// its arguments. Empty if a line is written.
	Call []string `json:"call,omitempty"`

	// Named is what goes with it by name: the headers of a request, in the order
	// of their names, or the variables of a program, in the order in which it gets
	// them.
	Named []Named `json:"named,omitempty"`

	// Body is the body of a request before it is compressed, the standard input of
	// a program, or the line that is written. Tabs and ends of lines are left as
	// they are in it.
	Body string `json:"body"`
}

// Named is a text with a name.
type Named struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Where a preview is cut, in bytes.
const (
	maxPreviewText = 16 << 10
	maxPreviewBody = 64 << 10
)

// NewPreview makes a preview from what would be sent as it would be sent. It
// keeps nothing of its arguments, and changes nothing in them.
func NewPreview(call []string, named []Named, body []byte, secrets *secret.Masker) Preview {
	p := Preview{Body: presentable(body, maxPreviewBody, "\n\t", secrets)}
	for _, word := range call {
		p.Call = append(p.Call, presentable(word, maxPreviewText, "", secrets))
	}
	for _, n := range named {
		p.Named = append(p.Named, Named{
			Name: presentable(n.Name, maxPreviewText, "", secrets), Value: presentable(n.Value, maxPreviewText, "", secrets),
		})
	}
	return p
}

// String returns the preview as text: a line of what is called, a line for each
// of what is named, an empty line and the body, in the manner of an HTTP request.
//
//	POST https://crm.example.com/hooks/42
//	Content-Type: application/json
//
//	{"key":"stock:42"}
//
// Of a line that is written it is the line. It ends with the body, whatever that
// ends with.
func (p Preview) String() string {
	var b strings.Builder
	for i, word := range p.Call {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(callWord(word))
	}
	if len(p.Call) > 0 {
		b.WriteByte('\n')
	}
	for _, n := range p.Named {
		b.WriteString(n.Name + ": " + n.Value + "\n")
	}
	if b.Len() > 0 && p.Body != "" {
		b.WriteByte('\n')
	}
	b.WriteString(p.Body)
	return b.String()
}

// callWord returns a word of what is called as one word of its line.
func callWord(word string) string {
	if word == "" || strings.ContainsAny(word, " \"'") {
		return `"` + strings.ReplaceAll(word, `"`, `\"`) + `"`
	}
	return word
}

// masked returns the preview with more secrets masked.
func (p Preview) masked(m *secret.Masker) Preview {
	q := Preview{Body: m.Mask(p.Body)}
	for _, word := range p.Call {
		q.Call = append(q.Call, m.Mask(word))
	}
	for _, n := range p.Named {
		q.Named = append(q.Named, Named{Name: m.Mask(n.Name), Value: m.Mask(n.Value)})
	}
	return q
}

// isPlain reports whether a text is of printable ASCII only, as most are.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// presentable returns a text cut after about limit bytes, with secrets masked,
// and what is not printable escaped, except for the characters of keep.
func presentable[T ~string | ~[]byte](text T, limit int, keep string, secrets *secret.Masker) string {
	head, left := excerpt.Cut(text, limit)
	shown := secrets.MaskPart(string(head), false, left > 0)
	if left == 0 && isPlain(shown) {
		return shown
	}
	var b strings.Builder
	for len(shown) > 0 {
		r, size := utf8.DecodeRuneInString(shown)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, shown[0])
		case strconv.IsPrint(r), strings.ContainsRune(keep, r):
			b.WriteString(shown[:size])
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		shown = shown[size:]
	}
	return b.String() + excerpt.Missing(left)
}
