package source

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Position is a place in a replication stream at which reading can resume. The
// zero Position is none.
type Position struct {
	ReplID string // replication ID: which history the offset belongs to
	Offset int64  // number of bytes of the stream before this place
	DB     int    // database that is selected there

	// Events is how many events after Offset are already dealt with. It is not
	// 0 only within a command or a transaction that makes very many events. A
	// source resumes at Offset, and its consumer skips that many events.
	Events int
}

// IsZero reports whether p is no position.
func (p Position) IsZero() bool { return p.ReplID == "" }

// String returns the text form "replid:offset/db". If Events is not 0,
// "+events" follows. The zero Position is "-".
func (p Position) String() string {
	if p.IsZero() {
		return "-"
	}
	text := p.ReplID + ":" + strconv.FormatInt(p.Offset, 10) + "/" + strconv.Itoa(p.DB)
	if p.Events > 0 {
		text += "+" + strconv.Itoa(p.Events)
	}
	return text
}

// ParsePosition parses the text form of a Position.
func ParsePosition(s string) (Position, error) {
	if s == "-" {
		return Position{}, nil
	}
	p, err := parsePosition(s)
	if err != nil {
		return Position{}, fmt.Errorf("position %q: %w", s, err)
	}
	return p, nil
}

func parsePosition(s string) (p Position, err error) {
	id, rest, ok := strings.Cut(s, ":")
	offset, db, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return p, errors.New("not of the form replid:offset/db")
	}
	db, events, inside := strings.Cut(db, "+")
	if inside {
		n, err := strconv.ParseUint(events, 10, 62)
		if err != nil || n == 0 {
			return p, errors.New("not a number of events: " + strconv.Quote(events))
		}
		p.Events = int(n)
	}
	if err := checkReplID(id); err != nil {
		return p, err
	}
	p.ReplID = id
	if p.Offset, err = parseOffset(offset); err != nil {
		return p, err
	}
	n, err := strconv.ParseUint(db, 10, 31)
	if err != nil {
		return p, errors.New("not a database number: " + strconv.Quote(db))
	}
	p.DB = int(n)
	return p, nil
}

// checkReplID accepts what servers make, 40 hexadecimal digits, and other short
// words that need no quoting anywhere.
func checkReplID(id string) error {
	ok := len(id) > 0 && len(id) <= 64
	for _, c := range []byte(id) {
		ok = ok && ('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-')
	}
	if !ok {
		return fmt.Errorf("not a replication ID: %.70q", id)
	}
	return nil
}

// maxOffset is beyond what any server reaches. The limit keeps an offset that a
// hostile server claims from overflowing when bytes are added to it.
const maxOffset = 1 << 62

func parseOffset(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxOffset {
		return 0, fmt.Errorf("not an offset: %.70q", s)
	}
	return int64(n), nil
}
