package rules

import (
	"regexp"
	"strings"
)

// maxSourceText is how many bytes of rules files a set keeps, to show rules as
// they are written.
const maxSourceText = 8 << 20

// sourceText is a rules file as it was read.
type sourceText struct {
	name   string
	lines  []string
	secret func(line string) bool // whether a line may hold a secret
}

// keepTexts keeps the files' texts. They share the memory of what was read.
func (l *loader) keepTexts(set *Set) {
	total := 0
	for _, s := range l.sources {
		if total += len(s.text); s.name == "" || total > maxSourceText {
			continue
		}
		set.texts = append(set.texts, sourceText{s.name, strings.Split(s.text, "\n"), l.o.mayHoldSecret})
	}
}

// Text returns a rule as it is written, from its [[rule]] to its end, and "" if
// that is not known. Values that may be secret are replaced by Hidden.
func (s *Set) Text(r *Rule) string {
	f := s.textOf(r.File)
	if f == nil || r.Line < 1 || r.Line > len(f.lines) {
		return ""
	}
	lines := f.masked(r.Line-1, endOfTable(f.lines, r.Line-1))
	return s.Secrets.Mask(strings.TrimRight(strings.Join(lines, "\n"), "\n \t#")) + "\n"
}

// TextWithNeeds returns a rule as Text does, with the rest of its file that it may
// need: all but other rules, tests, and what says where to listen, to connect and
// to write.
func (s *Set) TextWithNeeds(r *Rule) string {
	text := s.Text(r)
	f := s.textOf(r.File)
	if f == nil {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(f.lines); {
		m := tableHeader.FindStringSubmatch(f.lines[i])
		if m == nil {
			i++
			continue
		}
		end := endOfTable(f.lines, i)
		switch m[1] {
		case "targets", "lists", "macros", "windows", "defaults":
			b.WriteString(strings.TrimSpace(strings.Join(f.masked(i, end), "\n")) + "\n\n")
		}
		i = end
	}
	return s.Secrets.Mask(b.String()) + text
}

func (s *Set) textOf(file string) *sourceText {
	for i := range s.texts {
		if s.texts[i].name == file && file != "" {
			return &s.texts[i]
		}
	}
	return nil
}

// tableHeader matches the beginning of a table: [name] or [[name.of.it]].
var tableHeader = regexp.MustCompile(`^\s*\[\[?\s*["']?([\w-]+)["']?\s*((?:\.\s*["']?[^\]"']+["']?\s*)*)\]\]?\s*(?:#.*)?$`)

// endOfTable returns the index of the first line after a table that begins at a
// line, its subtables included. Comments right before the next table are that
// one's.
func endOfTable(lines []string, begin int) int {
	first := tableHeader.FindStringSubmatch(lines[begin])
	end := len(lines)
	open := "" // the quotes of a text of several lines
	for i := begin + 1; i < len(lines); i++ {
		if open == "" {
			m := tableHeader.FindStringSubmatch(lines[i])
			if m != nil && (first == nil || m[1] != first[1] || strings.TrimSpace(m[2]) == "") {
				end = i
				break
			}
		}
		open = quotesAfter(lines[i], open)
	}
	for end > begin+1 && (strings.HasPrefix(strings.TrimSpace(lines[end-1]), "#") || strings.TrimSpace(lines[end-1]) == "") {
		end--
	}
	return end
}

// quotesAfter returns the quotes of a text of several lines that is open after a
// line; "" for none.
func quotesAfter(line, open string) string {
	for line != "" {
		if open != "" {
			_, rest, ok := strings.Cut(line, open)
			if !ok {
				return open
			}
			line, open = rest, ""
			continue
		}
		at, quotes := len(line), ""
		for _, q := range []string{`"""`, `'''`} {
			if i := strings.Index(line, q); i >= 0 && i < at {
				at, quotes = i, q
			}
		}
		if quotes == "" {
			return ""
		}
		line, open = line[at+3:], quotes
	}
	return open
}

// Hidden is what Text shows in place of a value that may be secret. It is a
// reference, so that the text remains one that can be checked.
const Hidden = "${env:HIDDEN}"

// assignment matches a line that sets a field: its indent and name, and the value.
var assignment = regexp.MustCompile(`^(\s*[\w."'-]+\s*=\s*)(.*)$`)

// onlyReference matches a text that has nothing but a reference, without a
// default.
var onlyReference = regexp.MustCompile(`^["']\$\{(?:env|file|credential):[^}:]*\}["']\s*,?\s*(?:#.*)?$`)

// secretTable matches the names of tables whose fields may be secret, whatever
// they are called.
var secretTable = regexp.MustCompile(`(?i)\b(headers?|env|basic|oauth2|sign|tls|auth)\b`)

// masked returns lines with values that may be secret replaced.
func (f *sourceText) masked(begin, end int) []string {
	var out []string
	inSecret := false // all of the table may be
	for i := begin; i < end; i++ {
		line := strings.TrimRight(f.lines[i], "\r")
		if m := tableHeader.FindStringSubmatch(line); m != nil {
			inSecret = secretTable.MatchString(m[2])
			out = append(out, line)
			continue
		}
		if strings.TrimSpace(line) == "" || !inSecret && !f.secret(line) {
			out = append(out, line)
			continue
		}
		m := assignment.FindStringSubmatch(line)
		if m == nil { // a comment, or the rest of a value
			if !strings.HasPrefix(strings.TrimSpace(line), "#") {
				out = append(out, line[:len(line)-len(strings.TrimLeft(line, " \t"))]+"# "+Hidden)
			}
			continue
		}
		value := strings.TrimSpace(m[2])
		if onlyReference.MatchString(value) {
			out = append(out, line)
			continue
		}
		closing := ""
		switch {
		case strings.HasPrefix(value, `"""`), strings.HasPrefix(value, "'''"):
			closing = value[:3]
			out = append(out, m[1]+`"`+Hidden+`"`)
			if strings.Contains(value[3:], closing) {
				closing = ""
			}
		case strings.HasPrefix(value, "["):
			out = append(out, m[1]+"[]")
			if !strings.Contains(value, "]") {
				closing = "]"
			}
		case strings.HasPrefix(value, "{"):
			out = append(out, m[1]+"{}")
			if !strings.Contains(value, "}") {
				closing = "}"
			}
		default:
			out = append(out, m[1]+`"`+Hidden+`"`)
		}
		for closing != "" && i+1 < end {
			i++
			if strings.Contains(f.lines[i], closing) {
				closing = ""
			}
		}
	}
	return out
}
