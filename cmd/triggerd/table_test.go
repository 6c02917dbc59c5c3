package main

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// Elsewhere than on a screen nothing is cut; on a screen a table fits, and columns
// without anything go first.
func TestTable(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 200)
	draw := func(columns int) string {
		var b strings.Builder
		tab := newTable(&b, "NAME", "EMPTY", "TEXT")
		if columns > 0 {
			tab = newTable(&screen{&b, columns, 24}, "NAME", "EMPTY", "TEXT")
		}
		tab.row("one", "", long)
		tab.row("two\n", "", "x")
		if err := tab.end(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if got := draw(0); !strings.Contains(got, long) || !strings.Contains(got, `two\n  -      x`) {
		t.Errorf("in a pipe:\n%s", got)
	}
	for _, columns := range []int{20, 60, 100} {
		for line := range strings.Lines(draw(columns)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns || strings.Contains(line, "EMPTY") {
				t.Errorf("%d columns: a line of %d: %s", columns, n, line)
			}
		}
	}
	if got := draw(300); !strings.Contains(got, "EMPTY") {
		t.Errorf("with room:\n%s", got)
	}
}

// A table of many columns stays within a narrow screen, and actions can be told
// apart there. In a pipe what is very long does not move the rest of the others.
func TestTableOfMuch(t *testing.T) {
	draw := func(to func(*strings.Builder) io.Writer, key string) (lines []string) {
		var b strings.Builder
		tab := newTable(to(&b), "NUMBER", "GIVEN UP", "RULE", "ACTION", "KEY", "ATTEMPTS", "REASON", "ERROR")
		tab.row("12", "1m30s ago", "gone", "target/gone", key, "4", "cancelled", "503 Service Unavailable")
		tab.row("13", "1m30s ago", "good", "target/good", "k", "4", "attempts", "503 Service Unavailable")
		if err := tab.end(); err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	}
	for columns := range 60 {
		for _, line := range draw(func(b *strings.Builder) io.Writer { return &screen{b, columns + 1, 24} }, "key") {
			if n := utf8.RuneCountInString(line); n > columns+1 {
				t.Errorf("%d columns: a line of %d: %s", columns+1, n, line)
			}
		}
	}
	if got := draw(func(b *strings.Builder) io.Writer { return &screen{b, 40, 24} }, "key"); !strings.Contains(got[1], "…") || !strings.Contains(got[1], "t/gone ") || !strings.Contains(got[2], "t/good ") {
		t.Errorf("at 40 columns:\n%s", strings.Join(got, "\n"))
	}
	long := strings.Repeat("k", 20_000)
	got := draw(func(b *strings.Builder) io.Writer { return b }, long)
	if !strings.Contains(got[1], long+"  4") || len(got[2]) > 300 || !strings.Contains(got[2], " 503 Service Unavailable") {
		t.Errorf("in a pipe lines of %d and %d bytes", len(got[1]), len(got[2]))
	}
}

// A page is drawn over the one before: never longer than the terminal, each line
// to its end.
func TestInPlace(t *testing.T) {
	t.Parallel()
	got := inPlace("one\n"+strings.Repeat("x", 50)+"\nthree\nfour\nfive\n", 10, 4)
	if want := "\x1b[Hone\x1b[K\nxxxxxxxxx…\x1b[K\n… 3 lines…\x1b[K\n\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := inPlace("one\n", 10, 1), "\x1b[Hone\x1b[K\n\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// On a terminal changes are in columns, and what is left out is counted.
func TestView(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	v := newView(&screen{&b, 60, 24})
	write := func(lines ...string) {
		for _, line := range lines {
			if n, err := v.Write([]byte(line + "\n")); err != nil || n != len(line)+1 {
				t.Fatal(n, err)
			}
		}
	}
	write(`2026-11-23T09:12:05.123Z 0 set "a b\" c" SET "a b\" c" 1`, `2026-11-23T09:12:05.124Z 0 incrby n INCRBY n `+strings.Repeat("9", 80), "2026-11-23T09:12:05.125Z 0 flushall -", "-> 200 in 3ms  n")
	want := "09:12:05.123 0 set  \"a b\\\" c\"  SET \"a b\\\" c\" 1\n" +
		"09:12:05.124 0 incrby  n          INCRBY n 9999999999999999…\n" +
		"2026-11-23T09:12:05.125Z 0 flushall -\n-> 200 in 3ms  n\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	b.Reset()
	for range 1000 {
		write("2026-11-23T09:12:05.123Z 0 set k SET k 1")
	}
	v.flush()
	shown, left := 0, 0
	for line := range strings.Lines(b.String()) {
		if n, ok := strings.CutSuffix(line, " left out here: --json and pipes get every one\n"); ok {
			left += atoi(t, strings.Fields(n)[1])
			continue
		}
		shown++
	}
	if shown+left != 1000 || left == 0 || shown < viewLines-4 {
		t.Errorf("%d shown, %d left out", shown, left)
	}
}

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	for _, c := range s {
		if c < '0' || c > '9' {
			t.Fatalf("%q is no number", s)
		}
		n = 10*n + int(c-'0')
	}
	return n
}
