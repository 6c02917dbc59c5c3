package rules

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"triggerd/internal/secret"
)

// secretField matches the names of fields whose values may be secret even if
// they are written in the file.
var secretField = regexp.MustCompile(`(?i)(?:\b|_)(url|sign|secret|headers?|authorization|password|token|proxy|env|api[-_]?key)\b["']?\s*=`)

// assigned matches the names of the fields that a line sets.
var assigned = regexp.MustCompile(`([\w-]+)["']?\s*=`)

// mayHoldSecret reports whether a line of the file may hold a secret, and
// is not to be shown.
func (o *Options) mayHoldSecret(line string) bool {
	return secretField.MatchString(line) || slices.ContainsFunc(assigned.FindAllStringSubmatch(line, -1), func(m []string) bool {
		return o.isSecret(m[1])
	})
}

// isSecret reports whether a field of this name has texts that are secrets, in
// some kind of action.
func (o *Options) isSecret(field string) bool {
	return slices.ContainsFunc(o.Kinds, func(k Kind) bool { return k.hasSecret(field) })
}

func (k *Kind) hasSecret(field string) bool {
	return slices.ContainsFunc(k.Secrets, func(name string) bool { return strings.EqualFold(name, field) })
}

// kind returns the kind of a name; nil if it is not known.
func (o *Options) kind(name string) *Kind {
	for i := range o.Kinds {
		if o.Kinds[i].Name == name {
			return &o.Kinds[i]
		}
	}
	return nil
}

// redact masks, in a message, values that came from the environment or from a
// file.
func (l *loader) redact(msg string) string {
	if len(l.expanded) == 0 {
		return msg
	}
	msg = l.masker.Mask(msg)
	for _, s := range l.expanded {
		switch len(s) { // which a Masker leaves
		case 1, 2: // within a word it would garble the message, and protect nothing
			msg = strings.ReplaceAll(msg, strconv.Quote(s), `"`+secret.Mark+`"`)
		case 3:
			msg = strings.ReplaceAll(msg, s, secret.Mark)
		}
	}
	return msg
}

// messageWord matches what a message quotes, and its other words.
var messageWord = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)+'|[^\s"'<>]+`)

// redactParts masks, in a message about a value, parts of what was expanded in
// it: a parser quotes the word at which it failed. What is written in the file
// itself is not masked.
func (v view) redactParts(msg string) string {
	written := strings.Join(v.writtenTexts(nil), "\n")
	own := reference.ReplaceAllString(written, "\x00")
	if own == written {
		return msg
	}
	return messageWord.ReplaceAllStringFunc(msg, func(word string) string {
		if quote := word[:1]; quote == `"` || quote == "'" {
			text := word[1 : len(word)-1]
			if plain, err := strconv.Unquote(`"` + text + `"`); err == nil {
				text = plain
			}
			if strings.Contains(own, text) || !v.l.expandsTo(text, secret.MinLen-1) {
				return word
			}
			return quote + secret.Mark + quote
		}
		text := strings.Trim(word, ".,:;()")
		if len(text) < secret.MinLen || strings.Contains(own, text) || !v.l.expandsTo(text, len(text)) {
			return word
		}
		return strings.Replace(word, text, secret.Mark, 1)
	})
}

// expandsTo reports whether n bytes in a row of text, or all of a shorter text,
// are part of a value that was expanded.
func (l *loader) expandsTo(text string, n int) bool {
	n = min(n, len(text))
	for _, s := range l.expanded {
		for i := range len(text) - n + 1 {
			if strings.Contains(s, text[i:i+n]) {
				return true
			}
		}
	}
	return false
}

// writtenTexts appends the texts in a value as they are in the file.
func (v view) writtenTexts(texts []string) []string {
	switch value := v.v.(type) {
	case string:
		return append(texts, value)
	case []any:
		for i, e := range value {
			texts = v.elem(i, e).writtenTexts(texts)
		}
	case map[string]any:
		for name := range sortedKeys(value) {
			texts = v.kid(name, value[name]).writtenTexts(texts)
		}
	}
	return texts
}

// reference matches a reference.
var reference = regexp.MustCompile(`\$\{[^}]*\}`)

// noteExpansion records what a reference stands for. A host is not secret,
// wherever it comes from: messages say where an action goes.
func (v view) noteExpansion(at int, ref, value string) {
	l := v.l
	l.expanded = append(l.expanded, value)
	written, _ := v.v.(string)
	if value == "" || v.form&formURL != 0 && isHost(written[:at], value, written[min(len(written), at+len("${}")+len(ref)):]) {
		return
	}
	l.secrets = append(l.secrets, value)
	if len(value) < secret.MinLen && v.holdsSecret() {
		v.inString(at).as("short-secret").warnf("take a longer one, if it is a secret", "${%s} has fewer than %d bytes: it is not masked where a receiver or a program repeats it", ref, secret.MinLen)
	}
}

var (
	secretPath = regexp.MustCompile(`(?:^|\.)(?:url|proxy|headers|body|sign|bearer|basic|oauth2|env|command)\b`)
	publicPath = regexp.MustCompile(`\.(?:user|client_id|auth|scopes)$`)
	anOrigin   = regexp.MustCompile(`^(?i)[a-z][a-z0-9+.-]*://[^/?#@]+/?$`)
)

// holdsSecret reports whether the value is of a field that may hold a secret
// that others get to see.
func (v view) holdsSecret() bool {
	name, _, _ := strings.Cut(v.field[strings.LastIndexByte(v.field, '.')+1:], "[")
	return secretPath.MatchString(v.field) && !publicPath.MatchString(v.field) || v.l.o.isSecret(name)
}

// isHost reports whether a part of a URL, with before before it and after after
// it, is scheme and host, or a part of the host.
func isHost(before, value, after string) bool {
	if before == "" && anOrigin.MatchString(value) {
		return true
	}
	before, after = reference.ReplaceAllString(before, ""), reference.ReplaceAllString(after, "")
	_, authority, ok := strings.Cut(before, "://")
	if i := strings.IndexAny(after, "/?#"); i >= 0 {
		after = after[:i]
	}
	return ok && !strings.ContainsAny(authority, "/?#") && !strings.ContainsAny(value, "/?#@") && !strings.Contains(after, "@")
}

// resolve returns what a reference, the text between ${ and }, stands for. at
// is where it begins in the value.
func (v view) resolve(at int, ref string) (string, bool) {
	kind, name, _ := strings.Cut(ref, ":")
	if v.l.o.Offline {
		if value, ok := v.pretend(kind, name); ok {
			return value, true
		}
	}
	switch kind {
	case "env":
		name, otherwise, hasDefault := strings.Cut(name, ":-")
		value, ok := v.l.o.lookupEnv(name)
		if ok && (value != "" || !hasDefault) {
			v.noteExpansion(at, ref, value)
			return value, true
		}
		if !hasDefault {
			v.inString(at).errorf("set it, or write ${env:"+name+":-default}", "%s is not set", name)
		}
		return otherwise, hasDefault
	case "file":
		if !filepath.IsAbs(name) && !v.s.built {
			name = filepath.Join(filepath.Dir(v.s.name), name)
		}
		return v.content(at, ref, name)
	case "credential":
		if name == "" || name != filepath.Base(name) || name == "." || name == ".." {
			v.inString(at).errorf("", "%q is not the name of a credential", name)
			return "", false
		}
		dir, ok := v.l.o.lookupEnv("CREDENTIALS_DIRECTORY")
		if !ok || dir == "" {
			v.inString(at).errorf("systemd sets it where the unit has a LoadCredential="+name+":/path; elsewhere set it to the folder that "+name+" is in", "CREDENTIALS_DIRECTORY is not set")
			return "", false
		}
		return v.content(at, ref, filepath.Join(dir, name))
	}
	v.inString(at).mistake("${env:NAME}, ${env:NAME:-default}, ${file:/path} or ${credential:NAME}; write $${ for a literal ${", "unknown reference ${%s}", ref)
	return "", false
}

// content returns what a reference to a file stands for: its content without
// the newlines at its end.
func (v view) content(at int, ref, path string) (string, bool) {
	v.l.reads(path, false)
	value, err := readLimited(path, maxSecretFile)
	if err != nil {
		v.inString(at).errorf("", "%s", fileReason(err))
		return "", false
	}
	if value = strings.TrimRight(value, "\r\n"); value == "" {
		v.inString(at).as("empty-secret").warnf("write it into "+path, "${%s} is empty", ref)
	}
	v.noteExpansion(at, ref, value)
	return value, true
}
