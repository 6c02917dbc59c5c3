package actions

import (
	"fmt"

	"triggerd/internal/event"
	"triggerd/internal/secret"
)

// maxMasked is how much of a text is looked at for secrets where at most
// maxExcerpt of it is shown: what is masked gets shorter.
const maxMasked = 2 * maxExcerpt

// masked returns the beginning of a text with the secrets masked, and how many
// bytes were left out. cutOff tells that the text itself is not whole.
func masked[T ~string | ~[]byte](m *secret.Masker, text T, cutOff bool) (shown string, left int) {
	head, left := cut(text, maxMasked)
	return m.MaskPart(string(head), false, cutOff || left > 0), left
}

// excerpt keeps the beginning and the end of what is written to it, in constant
// memory. The zero value is ready. It is not safe for concurrent use.
type excerpt struct {
	head  []byte // the first halfExcerpt bytes
	tail  []byte // the last halfExcerpt bytes after head, a ring once it is full
	next  int    // where in tail the oldest byte is
	total int64
}

const halfExcerpt = maxExcerpt / 2

// Write keeps what fits and never fails.
func (x *excerpt) Write(p []byte) (int, error) {
	n := len(p)
	x.total += int64(n)
	take := min(len(p), halfExcerpt-len(x.head))
	x.head = append(x.head, p[:take]...)
	p = p[take:]
	p = p[max(0, len(p)-halfExcerpt):]
	take = min(len(p), halfExcerpt-len(x.tail))
	x.tail = append(x.tail, p[:take]...)
	for p = p[take:]; len(p) > 0; {
		n := copy(x.tail[x.next:], p)
		p = p[n:]
		x.next = (x.next + n) % halfExcerpt
	}
	return n, nil
}

// text returns the excerpt fit to be shown, with the secrets masked. cut tells
// that more would have been written.
func (x *excerpt) text(m *secret.Masker, cut bool) string {
	tail := string(x.tail[x.next:]) + string(x.tail[:x.next])
	left := x.total - int64(len(x.head)+len(tail))
	if left == 0 {
		return string(event.AppendText(nil, m.MaskPart(string(x.head)+tail, false, cut)))
	}
	text := event.AppendText(nil, m.MaskPart(string(x.head), false, true))
	text = fmt.Appendf(text, " ...(%d bytes left out)... ", left)
	return string(event.AppendText(text, m.MaskPart(tail, true, cut)))
}
