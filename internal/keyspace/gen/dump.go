package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
)

// command is one line of a dump.
type command struct {
	Name       string    `json:"name"` // upper case, "XGROUP CREATE" for a subcommand
	Arity      int64     `json:"arity"`
	Flags      []string  `json:"flags"`
	First      int64     `json:"first"` // legacy place of the keys, as COMMAND gives it
	Last       int64     `json:"last"`
	Step       int64     `json:"step"`
	Categories []string  `json:"categories"`
	Keys       []keySpec `json:"keys,omitempty"` // Redis >= 7.0
}

// keySpec is a key specification as Redis documents it (key-specs): where to
// begin to search, and how to find the keys from there.
type keySpec struct {
	Flags   []string         `json:"flags,omitempty"`
	Begin   string           `json:"begin"` // index, keyword, unknown
	BeginAt map[string]any   `json:"begin_at,omitempty"`
	Find    string           `json:"find"` // range, keynum, unknown
	FindAt  map[string]int64 `json:"find_at,omitempty"`
}

// dump asks the server at addr for its commands and writes them to w.
func dump(w io.Writer, addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "COMMAND\r\n"); err != nil {
		return err
	}
	reply, err := readReply(bufio.NewReader(conn))
	if err != nil {
		return fmt.Errorf("read reply of COMMAND: %w", err)
	}
	var all []command
	for _, r := range list(reply) {
		all = append(all, parseCommand(list(r))...)
	}
	slices.SortFunc(all, func(a, b command) int { return cmp.Compare(a.Name, b.Name) })
	var out bytes.Buffer
	for i, c := range all {
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		out.WriteString([]string{"[\n", ",\n"}[min(i, 1)])
		out.Write(line)
	}
	out.WriteString("\n]\n")
	_, err = w.Write(out.Bytes())
	return err
}

// parseCommand turns one element of COMMAND's reply into the command and its
// subcommands.
func parseCommand(r []any) []command {
	if len(r) < 7 {
		return nil
	}
	c := command{
		Name:  strings.ToUpper(strings.ReplaceAll(text(r[0]), "|", " ")),
		Arity: number(r[1]), Flags: texts(r[2]),
		First: number(r[3]), Last: number(r[4]), Step: number(r[5]),
		Categories: texts(r[6]),
	}
	if len(r) < 10 {
		return []command{c}
	}
	for _, k := range list(r[8]) {
		c.Keys = append(c.Keys, parseKeySpec(pairs(k)))
	}
	all := []command{c}
	for _, sub := range list(r[9]) {
		all = append(all, parseCommand(list(sub))...)
	}
	return all
}

func parseKeySpec(m map[string]any) keySpec {
	begin, find := pairs(m["begin_search"]), pairs(m["find_keys"])
	k := keySpec{
		Flags: texts(m["flags"]),
		Begin: text(begin["type"]), BeginAt: pairs(begin["spec"]),
		Find: text(find["type"]), FindAt: map[string]int64{},
	}
	for name, v := range pairs(find["spec"]) {
		k.FindAt[name] = number(v)
	}
	return k
}

// list, text, texts, number and pairs take a reply apart; what has another
// shape is empty.
func list(v any) []any   { l, _ := v.([]any); return l }
func text(v any) string  { s, _ := v.(string); return s }
func number(v any) int64 { n, _ := v.(int64); return n }
func texts(v any) []string {
	var out []string
	for _, e := range list(v) {
		out = append(out, text(e))
	}
	slices.Sort(out)
	return out
}

func pairs(v any) map[string]any {
	l, m := list(v), map[string]any{}
	for i := 0; i+1 < len(l); i += 2 {
		m[text(l[i])] = l[i+1]
	}
	return m
}

// readReply reads one RESP2 reply: string, int64 or []any.
func readReply(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return nil, fmt.Errorf("empty reply")
	}
	if line[0] == '+' {
		return line[1:], nil
	}
	n, err := strconv.ParseInt(line[1:], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("unexpected reply %q", line)
	}
	switch {
	case line[0] == ':':
		return n, nil
	case line[0] == '$' && n >= 0 && n < 1<<20:
		buf := make([]byte, n+2)
		_, err := io.ReadFull(r, buf)
		return string(buf[:n]), err
	case line[0] == '*' && n >= 0 && n < 1<<20:
		out := make([]any, n)
		for i := range out {
			if out[i], err = readReply(r); err != nil {
				return nil, err
			}
		}
		return out, nil
	case n == -1:
		return nil, nil
	}
	return nil, fmt.Errorf("unexpected reply %q", line)
}
