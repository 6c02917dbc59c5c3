package excerpt

import (
	"fmt"
	"strings"

	"triggerd/internal/event"
	"triggerd/internal/secret"
)

// Ends keeps the beginning and the end of what is written to it, in constant
// memory. The zero value is ready. It is not safe for concurrent use.
type Ends struct {
	head  []byte // the first half bytes
	tail  []byte // the last half bytes after head, a ring once it is full
	next  int    // where in tail the oldest byte is
	total int64
}

const half = Max / 2

// Write keeps what fits and never fails.
func (x *Ends) Write(p []byte) (int, error) {
	n := len(p)
	x.total += int64(n)
	take := min(len(p), half-len(x.head))
	x.head = append(x.head, p[:take]...)
	p = p[take:]
	p = p[max(0, len(p)-half):]
	take = min(len(p), half-len(x.tail))
	x.tail = append(x.tail, p[:take]...)
	for p = p[take:]; len(p) > 0; {
		n := copy(x.tail[x.next:], p)
		p = p[n:]
		x.next = (x.next + n) % half
	}
	return n, nil
}

// Text returns what was kept, fit to be shown, with the secrets masked and without
// the ends of lines that it ends with. cut tells that more would have been
// written.
func (x *Ends) Text(m *secret.Masker, cut bool) string {
	tail := string(x.tail[x.next:]) + string(x.tail[:x.next])
	left := x.total - int64(len(x.head)+len(tail))
	if left == 0 {
		return string(event.AppendText(nil, m.MaskPart(strings.TrimRight(string(x.head)+tail, "\r\n"), false, cut)))
	}
	text := event.AppendText(nil, m.MaskPart(string(x.head), false, true))
	text = fmt.Appendf(text, " ...(%d bytes left out)... ", left)
	return string(event.AppendText(text, m.MaskPart(strings.TrimRight(tail, "\r\n"), true, cut)))
}
