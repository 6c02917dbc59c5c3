package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// snippet is a block of code in the documentation.
type snippet struct {
	at   string // file:line
	kind string // "toml", "console"
	text string
}

var fenced = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

// snippets returns the blocks of the documentation.
func snippets(t *testing.T) (list []snippet) {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, "../../README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fenced.FindAllSubmatchIndex(text, -1) {
			line := bytes.Count(text[:m[0]], []byte("\n")) + 1
			list = append(list, snippet{filepath.Base(name) + ":" + strconv.Itoa(line), string(text[m[2]:m[3]]), string(text[m[4]:m[5]])})
		}
	}
	return list
}

var (
	ruleHeader = regexp.MustCompile(`(?m)^\[\[rule\]\].*\n`)
	anyHeader  = regexp.MustCompile(`(?m)^\[`)
	usedTarget = regexp.MustCompile(`target = "(\w+)"`)
	usedWindow = regexp.MustCompile(`(?m)^(?:active|mute) = \[?"(\w+)"`)
	usedParam  = regexp.MustCompile(`params\.(\w+)`)
	usedRules  = regexp.MustCompile(`(?m)^(?:summarize = \[(.*)\]|expect = \{ ([\w-]+) =)`)
	quoted     = regexp.MustCompile(`[\w-]+`)
)

// completed returns a rules file from a block that leaves out what goes without
// saying: the rule around its fields, an action, and what it names that stands
// elsewhere.
func completed(text string) string {
	switch {
	case anyHeader.MatchString(text):
	case strings.Count(text, "when = ") > 1: // a rule each
		lines := text
		text = ""
		for line := range strings.Lines(lines) {
			text += "[[rule]]\nname = \"snippet-" + strconv.Itoa(len(text)) + "\"\n" + line
		}
	default:
		text = "[[rule]]\nname = \"snippet\"\n" + text
	}
	var params string
	for _, m := range usedParam.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(params, "{"+m[1]+"}") {
			params += ":{" + m[1] + "}"
		}
	}
	var out strings.Builder
	parts := ruleHeader.Split(text, -1)
	out.WriteString(parts[0])
	for _, part := range parts[1:] {
		out.WriteString("[[rule]]\n")
		end := len(part)
		if i := anyHeader.FindStringIndex(part); i != nil {
			end = i[0]
		}
		if !strings.Contains(part, "[[rule.action]]") && !strings.Contains(part[:end], "action = ") {
			out.WriteString("action = { type = \"log\" }\n")
		}
		if fields := part[:end]; params != "" && !strings.Contains(fields, "\nkey = ") && !strings.HasPrefix(fields, "key = ") && !strings.Contains(fields, "schedule") {
			out.WriteString("key = \"a" + params + "\"\n")
		}
		out.WriteString(part)
	}
	text = out.String() + "\n"
	for _, m := range usedTarget.FindAllStringSubmatch(text, -1) {
		if header := "[targets." + m[1] + "]"; !strings.Contains(text, header) {
			text += header + "\ntype = \"log\"\n"
		}
	}
	for _, m := range usedWindow.FindAllStringSubmatch(text, -1) {
		if header := "[windows." + m[1] + "]"; !strings.Contains(text, header) {
			text += header + "\nweekdays = [\"mon\"]\n"
		}
	}
	for _, m := range usedRules.FindAllStringSubmatch(text, -1) {
		for _, name := range quoted.FindAllString(m[1]+m[2], -1) {
			if line := "name = \"" + name + "\""; !strings.Contains(text, line) {
				text += "[[rule]]\n" + line + "\nkey = \"" + name + "\"\naction = { type = \"log\" }\n"
			}
		}
	}
	return text
}

// TestDocsRules checks each rules file of the documentation, as a stranger would
// who has none of its secrets.
func TestDocsRules(t *testing.T) {
	t.Parallel()
	n := 0
	for _, s := range snippets(t) {
		if s.kind != "toml" {
			continue
		}
		n++
		dir := t.TempDir()
		file := completed(s.text)
		write(t, dir, "rules.toml", file)
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{"check", "--offline", filepath.Join(dir, "rules.toml")}, &stdout, &stderr); code != exitOK {
			t.Errorf("%s: check --offline ends with %d: %s\n%s", s.at, code, &stderr, file)
		}
	}
	if n < 10 {
		t.Errorf("found %d rules files in the documentation", n)
	}
}

// TestDocsCommands has every command line of the documentation name commands and
// flags that there are.
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	command := regexp.MustCompile(`(?m)^(?:\$ )?(?:sudo (?:-u \w+ )?)?(?:\./)?triggerd( .*)?$`)
	n := 0
	for _, s := range snippets(t) {
		if s.kind != "sh" && s.kind != "console" {
			continue
		}
		for _, m := range command.FindAllStringSubmatch(s.text, -1) {
			n++
			line, _, _ := strings.Cut(m[1], " #")
			line, _, _ = strings.Cut(line, " && ")
			line, _, _ = strings.Cut(line, " > ")
			line, _, _ = strings.Cut(line, " | ")
			found, args, err := newRootCommand().Find(words(line))
			if err == nil {
				err = found.ParseFlags(args)
			}
			if err != nil {
				t.Errorf("%s: triggerd%s: %v", s.at, m[1], err)
			}
		}
	}
	if n < 8 {
		t.Errorf("found %d commands in the documentation", n)
	}
}

// words splits a command line at spaces, with '...' around words that have some.
func words(line string) (list []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			list = append(list, part)
		} else {
			list = append(list, strings.Fields(part)...)
		}
	}
	return list
}

// TestReadmeFiveMinutes plays the first minutes of the README: its rules file, the
// mistake that it shows, and the delivery.
func TestReadmeFiveMinutes(t *testing.T) {
	list := slices.DeleteFunc(snippets(t), func(s snippet) bool { return !strings.HasPrefix(s.at, "README.md") })
	first := func(kind, part string) string {
		t.Helper()
		i := slices.IndexFunc(list, func(s snippet) bool { return s.kind == kind && strings.Contains(s.text, part) })
		if i < 0 {
			t.Fatalf("README.md has no %s block with %s", kind, part)
		}
		return list[i].text
	}
	rulesFile := first("toml", "sold-out")
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, dir, "rules.toml", strings.Replace(rulesFile, "num(after)", "num(aftr)", 1))
	var stdout, stderr bytes.Buffer
	run(t.Context(), []string{"check"}, &stdout, &stderr)
	if _, want, _ := strings.Cut(first("console", "triggerd check"), "\n"); stderr.String() != want {
		t.Errorf("check: got\n%swant\n%s", &stderr, want)
	}
	write(t, dir, "rules.toml", rulesFile)
	stdout.Reset()
	if code := run(t.Context(), []string{"explain", "sold-out", "SET stock:7 1", "DECR stock:7"}, &stdout, &stderr); code != exitOK {
		t.Fatalf("explain ends with %d", code)
	}
	checkExplained(t, first("console", "triggerd explain"))
	i := strings.Index(stdout.String(), "{\"")
	var got, want map[string]any
	if err := json.NewDecoder(strings.NewReader(stdout.String()[max(i, 0):])).Decode(&got); err != nil {
		t.Fatalf("explain shows no body: %v\n%s", err, &stdout)
	}
	if err := json.Unmarshal([]byte(strings.Replace(first("json", "specversion"), ", …", "", 1)), &want); err != nil {
		t.Fatal(err)
	}
	checkDocumented(t, "", got, want)
}

// checkExplained runs the explain of the documentation, and compares what is shown
// of its output, up to "...".
func checkExplained(t *testing.T, block string) {
	t.Helper()
	line, shown, _ := strings.Cut(block, "\n")
	_, line, _ = strings.Cut(line, "triggerd ")
	want, _, _ := strings.Cut(shown, "      ...")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), words(line), &stdout, &stderr); code != exitOK || !strings.HasPrefix(stdout.String(), want) {
		t.Errorf("triggerd %s: got exit %d\n%s%swant\n%s", line, code, &stdout, &stderr, want)
	}
}

// checkDocumented checks that a delivery has all that the documentation shows,
// but for what each delivery has of its own.
func checkDocumented(t *testing.T, path string, got, want map[string]any) {
	t.Helper()
	for name, w := range want {
		if inner, ok := w.(map[string]any); ok {
			of, _ := got[name].(map[string]any)
			checkDocumented(t, path+name+".", of, inner)
			continue
		}
		g, there := got[name]
		own := slices.Contains([]string{"id", "source", "time", "offset"}, name)
		gotText, _ := json.Marshal(g)
		wantText, _ := json.Marshal(w)
		if !there || !own && string(gotText) != string(wantText) {
			t.Errorf("the README shows %s%s as %s, it is %s", path, name, wantText, gotText)
		}
	}
}
