package sentinel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits of what a Sentinel may answer; real answers are far smaller.
const (
	maxText     = 64 << 10
	maxElements = 4096
	maxAnswer   = 4 << 20 // bytes of all texts of an answer
	maxDepth    = 4
)

// ReplyError is an error reply of a Sentinel, without its leading "-".
type ReplyError string

func (e ReplyError) Error() string { return fmt.Sprintf("it said %q", string(e)) }

// code returns the first word of the reply, which tells errors apart.
func (e ReplyError) code() string {
	code, _, _ := strings.Cut(string(e), " ")
	return code
}

var errProtocol = errors.New("its answer is not Redis protocol")

// replyReader reads replies: a string, a []any of replies, nil, or a ReplyError.
type replyReader struct {
	r    *bufio.Reader
	left int // bytes that the present reply may have still
}

func newReplyReader(r io.Reader) *replyReader { return &replyReader{r: bufio.NewReaderSize(r, 4<<10)} }

// read reads a reply. A ReplyError is returned as a value, not as the error.
func (r *replyReader) read() (any, error) {
	r.left = maxAnswer
	return r.readAt(0)
}

func (r *replyReader) readAt(depth int) (any, error) {
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	switch line[0] {
	case '+', ':':
		return line[1:], nil
	case '-':
		return ReplyError(line[1:]), nil
	case '$':
		return r.text(line[1:])
	case '*':
		return r.list(line[1:], depth)
	}
	return nil, fmt.Errorf("%w: %.40q", errProtocol, line)
}

// line reads a line that is not empty.
func (r *replyReader) line() (string, error) {
	b, err := r.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return "", fmt.Errorf("%w: a line of over %d bytes", errProtocol, len(b))
	}
	if err != nil {
		return "", err
	}
	line := strings.TrimRight(string(b), "\r\n")
	if r.left -= len(line) + 1; line == "" || r.left < 0 {
		return "", errProtocol
	}
	return line, nil
}

// length parses a length; -1 stands for nothing.
func length(digits string, most int) (int, error) {
	n, err := strconv.Atoi(digits)
	if err != nil || n < -1 || n > most {
		return 0, fmt.Errorf("%w: a length of %.40q", errProtocol, digits)
	}
	return n, nil
}

func (r *replyReader) text(digits string) (any, error) {
	n, err := length(digits, maxText)
	if err != nil || n < 0 {
		return nil, err
	}
	if r.left -= n; r.left < 0 {
		return nil, fmt.Errorf("%w: it is too long", errProtocol)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return nil, err
	}
	if string(b[n:]) != "\r\n" {
		return nil, errProtocol
	}
	return string(b[:n]), nil
}

func (r *replyReader) list(digits string, depth int) (any, error) {
	n, err := length(digits, maxElements)
	if err != nil || n < 0 {
		return nil, err
	}
	if depth == maxDepth {
		return nil, fmt.Errorf("%w: it is too deep", errProtocol)
	}
	list := []any{}
	for range n {
		e, err := r.readAt(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// texts returns the elements of a list that are texts.
func texts(reply any) []string {
	list, _ := reply.([]any)
	var out []string
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// fields returns the fields of a list of names and values.
func fields(reply any) map[string]string {
	list := texts(reply)
	m := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}
