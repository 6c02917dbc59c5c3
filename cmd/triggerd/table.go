package main

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// screen is an output that a person looks at, who sees so many columns and lines
// at once.
type screen struct {
	io.Writer
	columns, lines int
}

// screenOf returns the terminal that an output is; nil: it is none.
func screenOf(out io.Writer) *screen {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	columns, lines, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 || lines <= 0 {
		return nil
	}
	return &screen{out, columns, lines}
}

// out returns a command's output: on a terminal one that tables fit into, unless
// they are not to.
func (c *client) out(cmd *cobra.Command) io.Writer {
	out := cmd.OutOrStdout()
	if s := screenOf(out); s != nil && c.form != "wide" {
		return s
	}
	return out
}

// table writes rows in columns, the first of them headings. Where a table does not
// fit on a screen, columns in which nothing is said are left out, and what is long
// is cut. Elsewhere nothing is.
type table struct {
	out  io.Writer
	rows [][]string
}

func newTable(out io.Writer, headings ...string) *table {
	t := &table{out: out}
	t.row(headings...)
	return t
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			c = "-"
		}
		cells[i] = clean(c)
	}
	t.rows = append(t.rows, cells)
}

// columnGap is between two columns.
const columnGap = 2

func (t *table) end() error {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	shown := make([]bool, len(widths))
	for i := range shown {
		shown[i] = true
	}
	if s, ok := t.out.(*screen); ok && totalOf(widths, shown) > s.columns {
		for i := range shown {
			shown[i] = t.says(i)
		}
		fit(widths, shown, s.columns)
	}
	var b strings.Builder
	for _, row := range t.rows {
		gap := 0
		for i, c := range row {
			if !shown[i] {
				continue
			}
			c = short(c, widths[i])
			b.WriteString(strings.Repeat(" ", gap) + c)
			gap = widths[i] - utf8.RuneCountInString(c) + columnGap
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(t.out, b.String())
	return failed(err)
}

// says reports whether a column says anything but its heading.
func (t *table) says(column int) bool {
	for _, row := range t.rows[1:] {
		if column < len(row) && row[column] != "-" {
			return true
		}
	}
	return len(t.rows) == 1
}

// leastColumn is how wide a column stays, if it is as wide.
const leastColumn = 8

// totalOf returns how wide the columns are together that are shown.
func totalOf(widths []int, shown []bool) int {
	total := -columnGap
	for i, w := range widths {
		if shown[i] {
			total += w + columnGap
		}
	}
	return total
}

// fit makes the widest columns narrower until those that are shown fit into a
// width.
func fit(widths []int, shown []bool, width int) {
	for i := range widths {
		widths[i] = min(widths[i], max(width, leastColumn))
	}
	for total := totalOf(widths, shown); total > width; total-- {
		widest := -1
		for i := range widths {
			if shown[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 || widths[widest] <= leastColumn {
			return
		}
		widths[widest]--
	}
}
