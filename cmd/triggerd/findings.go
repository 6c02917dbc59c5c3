package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"

	"triggerd/internal/playground"
	"triggerd/rules"
)

// checkJSON prints {"ok":..., "errors":[...], "warnings":[...]}, notes, what is
// kept in memory, and with --offline what is not looked up.
func checkJSON(w io.Writer, set *rules.Set, err error) error {
	result := playground.Answer(set, err)
	result.Rules = nil
	if err := json.NewEncoder(w).Encode(result); err != nil {
		return failed(err)
	}
	if err != nil {
		return badConfig(nil)
	}
	return nil
}

// checkGitHub prints a workflow command of GitHub Actions for each mistake and
// warning, which GitHub shows beside the line:
// docs.github.com/actions/reference/workflow-commands-for-github-actions.
func checkGitHub(w io.Writer, config string, set *rules.Set, err error) error {
	list := rules.Errors(err)
	if err != nil && len(list) == 0 {
		list = []*rules.Error{{File: config, Msg: err.Error()}}
	}
	for _, e := range list {
		annotate(w, "error", e)
	}
	if set != nil {
		for _, e := range set.Warnings {
			annotate(w, "warning", e)
		}
		for _, e := range set.Notes {
			annotate(w, "notice", e)
		}
	}
	if err != nil {
		return badConfig(nil)
	}
	return nil
}

var (
	escapeMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func annotate(w io.Writer, level string, e *rules.Error) {
	properties := "file=" + escapeProperty.Replace(e.File)
	if e.Line > 0 {
		properties += ",line=" + strconv.Itoa(e.Line) + ",col=" + strconv.Itoa(e.Col)
	}
	if e.Code != "" {
		properties += ",title=" + escapeProperty.Replace(e.Code)
	}
	about := *e
	about.File = "" // GitHub names the place itself
	fmt.Fprintf(w, "::%s %s::%s\n", level, properties, escapeMessage.Replace(about.Headline()))
}

// painter colours what goes to a terminal.
type painter struct{ on bool }

// painterFor returns the painter for a writer: one that paints if that is a
// terminal, and NO_COLOR (no-color.org) is not set.
func painterFor(w io.Writer) painter {
	f, ok := w.(*os.File)
	return painter{ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))}
}

func (p painter) paint(code, text string) string {
	if !p.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p painter) red(text string) string    { return p.paint("1;31", text) }
func (p painter) yellow(text string) string { return p.paint("1;33", text) }

// finding prints a mistake or a warning: its first line, and the line that it is
// in with a mark below the place. On a terminal the mark is as long as the word.
func (p painter) finding(w io.Writer, e *rules.Error, colour func(string) string) {
	fmt.Fprintln(w, p.paint("1", withCode(e)))
	line, caret := e.Source()
	if line == "" {
		return
	}
	margin, mark := strings.TrimSuffix(caret, "^"), "^"
	if p.on {
		mark += strings.Repeat("~", max(0, wordLen(e.SourceLine[min(max(e.Col-1, 0), len(e.SourceLine)):])-1))
	}
	fmt.Fprintf(w, "%s\n%s%s\n", line, margin, colour(mark))
}

// wordLen is how many characters the word has, or the text in quotes, that a text
// begins with.
func wordLen(s string) int {
	quote := ""
	if s != "" && strings.ContainsAny(s[:1], `"'`) {
		quote = s[:1]
	}
	n := 0
	for i, r := range s {
		switch {
		case quote != "" && i > 0 && string(r) == quote:
			return n + 1
		case quote == "" && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r):
			return n
		}
		n++
	}
	return n
}
