package excerpt

import (
	"fmt"
	"strings"

	"triggerd/internal/event"
	"triggerd/internal/secret"
)

// Max is how many bytes of a text an excerpt has, before it is escaped.
const Max = 4 << 10

// maxMasked is how much of a text is looked at for secrets where at most Max
// of it is shown: what is masked gets shorter.
const maxMasked = 2 * Max

// Masked returns the beginning of a text with the secrets masked, and how many
// bytes were left out. cutOff tells that the text itself is not whole.
func Masked[T ~string | ~[]byte](m *secret.Masker, text T, cutOff bool) (shown string, left int) {
	head, left := Cut(text, maxMasked)
	return m.MaskPart(string(head), false, cutOff || left > 0), left
}

// Short returns b as event.AppendText shows it, cut after about limit bytes of b
// with a note of how many are missing.
func Short[T ~string | ~[]byte](b T, limit int) string { return ShortOf(b, limit, 0) }

// ShortOf is Short of the beginning of a text, of which more bytes are left.
func ShortOf[T ~string | ~[]byte](b T, limit, more int) string {
	head, left := Cut(b, limit)
	return string(event.AppendText(nil, head)) + Missing(left+more)
}

// Word returns b as one word of a line, cut as Short does: in quotes where it
// would not be one, or could be taken for something else.
func Word(b []byte, limit int) string {
	head, left := Cut(b, limit)
	text := string(event.AppendText(nil, head))
	if text == "" || text == "-" || strings.ContainsAny(text, " \"\\") {
		text = `"` + text + `"`
	}
	return text + Missing(left)
}

// Missing tells of bytes that were cut off; "" if there are none.
func Missing(left int) string {
	if left == 0 {
		return ""
	}
	return fmt.Sprintf("...(+%d bytes)", left)
}

// Cut returns the first limit bytes of b, or up to three fewer where that would
// split a character, and how many bytes are left. The head is a part of b.
func Cut[T ~string | ~[]byte](b T, limit int) (head T, left int) {
	if len(b) <= limit {
		return b, 0
	}
	n := limit
	for n > limit-3 && b[n]&0xC0 == 0x80 { // a continuation byte
		n--
	}
	return b[:n], len(b) - n
}
