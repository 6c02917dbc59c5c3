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
// is cut: names of actions at their beginning, which many share, and a line that is
// still too long at its end. Elsewhere nothing is cut, and of what is very long no
// column is made.
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
	s, onScreen := t.out.(*screen)
	if !onScreen {
		for i := range widths {
			widths[i] = min(widths[i], widestColumn)
		}
	}
	shown := make([]bool, len(widths))
	for i := range shown {
		shown[i] = true
	}
	tooWide := onScreen && totalOf(widths, shown) > s.columns
	if tooWide {
		for i := range shown {
			shown[i] = t.says(i)
		}
		fit(widths, shown, s.columns)
	}
	var b strings.Builder
	for _, row := range t.rows {
		line, gap := "", 0
		for i, c := range row {
			if !shown[i] {
				continue
			}
			switch {
			case !tooWide:
			case t.isAction(i):
				c = shortEnd(c, widths[i])
			default:
				c = short(c, widths[i])
			}
			line += strings.Repeat(" ", gap) + c
			gap = max(widths[i]-utf8.RuneCountInString(c), 0) + columnGap
		}
		if tooWide {
			line = short(line, s.columns)
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	_, err := io.WriteString(t.out, b.String())
	return failed(err)
}

// widestColumn is how wide a column is at most where nothing is cut.
const widestColumn = 100

// isAction reports whether a column has full names of actions, or of what is
// paused.
func (t *table) isAction(column int) bool {
	heading := t.rows[0][min(column, len(t.rows[0])-1)]
	return heading == "ACTION" || heading == "PAUSED"
}

// shortEnd is short, and keeps the end of a text.
func shortEnd(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return "…" + string(r[len(r)-n+1:])
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
