package rules

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"triggerd/internal/condition"
	"triggerd/internal/timing"
)

// Defaults for what a file does not say.
const (
	defaultTimeout    = 5 * time.Second
	defaultShutdown   = 10 * time.Second
	defaultMaxPending = 1_000_000
	defaultDir        = "triggerd-data"
	defaultRetention  = 7 * 24 * time.Hour
	defaultListen     = "127.0.0.1:9797"
)

var defaultRetry = Retry{MaxAttempts: 12, Backoff: time.Second, MaxBackoff: 10 * time.Minute, MaxAge: 24 * time.Hour}

// laterAction are names in the file's format that this version does not have.
// They are an error that says so.
var laterAction = []string{"overflow"}

// document is what the files say, before anything is compiled, since a rule may
// use a list, macro or target of any file.
type document struct {
	main    *table // of the first file
	lists   map[string]view
	macros  map[string]view
	targets map[string]view
	windows map[string]view
	rules   []view
	tests   []view
}

func newDocument() *document {
	return &document{lists: map[string]view{}, macros: map[string]view{}, targets: map[string]view{}, windows: map[string]view{}}
}

// readDocument gathers one file, after the files that it includes.
func (l *loader) readDocument(s *source) {
	if !slices.Contains(l.sources, s) {
		l.sources = append(l.sources, s)
	}
	t, ok := view{l: l, s: s, v: s.doc, n: s.root}.table()
	if !ok {
		return
	}
	if v, ok := t.get("include"); ok {
		v.each(func(v view) { l.include(s, v) })
	}
	for _, name := range []string{"source", "store", "http", "defaults", "check"} {
		v, ok := t.get(name)
		if ok && s != l.sources[0] {
			v.errorf("", "[%s] belongs into the main file, %s", name, l.sources[0].name)
		}
	}
	if s == l.sources[0] {
		l.d.main = t
	}
	t.addNamed("lists", "list", l.d.lists)
	t.addNamed("macros", "macro", l.d.macros)
	t.addNamed("targets", "target", l.d.targets)
	t.addNamed("windows", "window", l.d.windows)
	t.addTables("rule", &l.d.rules)
	t.addTables("test", &l.d.tests)
	t.done()
}

// addTables adds the members of a list of tables, [[name]].
func (t *table) addTables(name string, to *[]view) {
	v, ok := t.get(name)
	if !ok {
		return
	}
	v.field = ""
	if _, isList := v.v.([]any); !isList {
		v.errorf("write [["+name+"]]", "%ss are a list", name)
		return
	}
	v.each(func(v view) { *to = append(*to, v) })
}

// addNamed adds the named members of a section.
func (t *table) addNamed(section, what string, to map[string]view) {
	v, ok := t.get(section)
	if !ok {
		return
	}
	members, ok := v.table()
	if !ok {
		return
	}
	for name := range sortedKeys(members.m) {
		m, _ := members.get(name)
		if first, twice := to[name]; twice {
			m.atKey = true
			m.errorf("", "%s %q is there twice, first at %s", what, name, first.place())
			continue
		}
		to[name] = m
	}
}

// include reads the files that one pattern names, in lexicographic order.
func (l *loader) include(s *source, v view) {
	name, ok := v.str()
	if !ok {
		return
	}
	if s.built {
		v.errorf("", "only a file can include others")
		return
	}
	if l.o.NoInclude {
		v.errorf("", "no file is included here")
		return
	}
	pattern := name
	if !filepath.IsAbs(pattern) {
		dir := strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(filepath.Dir(s.name))
		pattern = filepath.Join(dir, pattern)
	}
	l.reads(pattern, true)
	paths, err := filepath.Glob(pattern)
	switch isPattern := strings.ContainsAny(name, `*?[`); {
	case err != nil:
		v.errorf("", "%v", err)
		return
	case isPattern:
		if paths = slices.DeleteFunc(paths, func(p string) bool { return isHidden(p, pattern) || !isFile(p) }); len(paths) == 0 {
			v.as("includes-nothing").warnf("", "no file is like that: nothing is included")
		}
	case len(paths) == 0:
		v.errorf("", "open %s: %v", name, os.ErrNotExist)
	case isDirectory(paths[0]):
		v.errorf(`for all files in it write "`+strings.TrimRight(name, "/")+`/*.toml"`, "a directory cannot be included")
		return
	}
	for _, p := range paths { // sorted by Glob
		l.readFile(p, &v)
	}
}

// isHidden reports whether a file, or a folder that it is in, has a name that
// begins with a dot where the pattern that found it does not ask for one. Such
// files are the editors' and, as ..data, Kubernetes' own.
func isHidden(path, pattern string) bool {
	asked := strings.Split(filepath.Clean(pattern), string(filepath.Separator))
	for i, name := range strings.Split(path, string(filepath.Separator)) {
		if len(name) > 1 && name[0] == '.' && name != ".." && (i >= len(asked) || !strings.HasPrefix(asked[i], ".")) {
			return true
		}
	}
	return false
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err != nil || info.Mode().IsRegular() // a link that leads nowhere is a mistake, which reading it tells
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// build compiles what was gathered. What it returns is of use only if no
// mistake was filed.
func (d *document) build(l *loader) *Set {
	set := &Set{
		Source: Source{Start: "resume", Ack: "none", PsyncCommand: "PSYNC", MaxMirror: 1 << 30, Spool: 1 << 30, Prefer: "primary", ForeignWait: 15 * time.Second, Rewound: "deliver"},
		HTTP:   HTTP{Listen: defaultListen, MaxBehind: time.Minute, ShowValues: true},

		ShutdownTimeout: defaultShutdown,
		Store:           Store{Dir: defaultDir, MaxPending: defaultMaxPending, Retention: defaultRetention, KeepDelivered: 256 << 20},
	}
	if d.main == nil {
		return set
	}
	c := &compilation{
		l: l, d: d, timeout: defaultTimeout, retry: defaultRetry, targets: map[string]*Action{}, windows: map[string]*timing.Window{},
		ruleNames: map[string]view{}, nameSets: map[string]*nameSet{}, signatures: map[string]*Rule{},
	}
	d.main.section("source", func(t *table) { t.source(&set.Source) })
	d.main.section("store", func(t *table) { t.store(&set.Store) })
	d.main.section("http", func(t *table) { t.http(&set.HTTP) })
	d.main.section("check", func(t *table) { t.check() })
	d.main.section("defaults", func(t *table) {
		t.limits(&c.timeout, &c.retry)
		read(t, "shutdown_timeout", &set.ShutdownTimeout, func(v view) (time.Duration, bool) { return v.duration(0) })
		t.done()
	})
	set.Defaults = Defaults{c.timeout, c.retry}
	c.commands = newCommandNames(l.o.Commands)
	c.events = newEventNames(l.o.Events)
	c.compiler = condition.NewCompiler(condition.Config{
		Macros: d.macroTexts(), Lists: d.listValues(), Command: c.commands.checkCompared, Event: c.checkEvent, MaxPatterns: l.o.MaxPatterns,
	})
	for name := range sortedKeys(d.macros) {
		d.macros[name].report(c.compiler.Macro(name))
	}
	for name := range sortedKeys(d.targets) {
		c.target(name, d.targets[name])
	}
	for name := range sortedKeys(d.windows) {
		c.window(name, d.windows[name])
	}
	for _, v := range d.rules {
		if r := c.rule(v); r != nil {
			set.Rules = append(set.Rules, r)
		}
	}
	c.summaries(set)
	for _, v := range d.tests {
		if test := c.test(v); test != nil {
			set.Tests = append(set.Tests, test)
		}
	}
	if len(l.errors) == 0 {
		c.index(set)
	}
	return set
}

// index makes the index of the set, so that it can match.
func (c *compilation) index(set *Set) {
	set.patterns = slices.Clip(set.Rules)
	for _, p := range c.cancelEntries {
		p.rule.index = int32(len(set.patterns))
		set.patterns = append(set.patterns, p.rule)
		c.conjuncts = append(c.conjuncts, p.conjuncts)
	}
	for _, r := range set.patterns {
		if r.cond != nil && r.owner().conditionTime == nil {
			r.owner().conditionTime = new(atomic.Int64)
		}
	}
	set.compiler = c.compiler
	set.index = newIndex(set, c.conjuncts)
	set.needs = newNeedIndex(set, c.conjuncts)
	set.kept = keptOf(set, c.conjuncts)
	set.elements = elementsOf(set.Rules)
}

func (t *table) section(name string, decode func(*table)) {
	v, ok := t.get(name)
	if !ok {
		return
	}
	if s, ok := v.table(); ok {
		decode(s)
	}
}

// check decodes [check].
func (t *table) check() {
	t.list("allow", func(v view) {
		code, ok := v.text()
		if !ok {
			return
		}
		if msg, hint := CheckWarningCode(code); msg != "" {
			v.errorf(hint, "%s", msg)
		}
		t.l.allowed[code] = true
	})
	t.done()
}

func (t *table) source(s *Source) {
	t.server(s)
	read(t, "start", &s.Start, func(v view) (Start, bool) { return choose(v, Starts()) })
	read(t, "ack", &s.Ack, func(v view) (string, bool) { return v.oneOf("none", "received", "spooled", "durable") })
	read(t, "psync_command", &s.PsyncCommand, func(v view) (string, bool) {
		cmd, ok := v.str()
		if ok && (cmd == "" || strings.ContainsFunc(cmd, func(r rune) bool { return r <= ' ' || r >= 0x7f })) {
			v.errorf("", "%s is not the name of a command", v.shown(cmd))
			return "", false
		}
		return cmd, ok
	})
	read(t, "max_mirror", &s.MaxMirror, view.size)
	read(t, "spool", &s.Spool, view.spool)
	read(t, "prefer", &s.Prefer, func(v view) (string, bool) { return v.oneOf("primary", "replica") })
	read(t, "foreign_wait", &s.ForeignWait, func(v view) (time.Duration, bool) { return v.duration(0) })
	read(t, "rewound", &s.Rewound, func(v view) (string, bool) { return v.oneOf("deliver", "cancel") })
	read(t, "sentinel_hello", &s.SentinelHello, view.boolean)
	read(t, "announce", &s.Announce, view.hostPort)
	if v, ok := t.get("ack"); ok && s.Ack == "spooled" && s.Spool == 0 {
		v.errorf("give spool a size, or acknowledge what is \"durable\"", "there is no spool on disk to acknowledge")
	}
	t.warnWithoutSentinels(s)
	t.done()
}

// warnWithoutSentinels warns of what is for Sentinels where url is the address of
// a server.
func (t *table) warnWithoutSentinels(s *Source) {
	scheme, _, found := strings.Cut(s.URL, "://")
	if !found || strings.Contains(scheme, "sentinel") {
		return
	}
	for _, field := range []string{"prefer", "sentinel_user", "sentinel_password"} {
		if v, ok := t.get(field); ok && !(field == "prefer" && s.Prefer == "primary") {
			v.as("no-sentinels").warnf("redis+sentinel://HOST:26379/NAME asks Sentinels", "url is the address of a server, so that %s has no effect", field)
		}
	}
}

// hostPort parses an address that others reach.
func (v view) hostPort() (string, bool) {
	s, ok := v.str()
	if !ok {
		return "", false
	}
	host, port, err := net.SplitHostPort(s)
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || numErr != nil || n == 0 {
		v.errorf(`write the address under which the Sentinels reach triggerd: "10.0.0.7:26390"`, "%s is not host:port", v.shown(s))
		return "", false
	}
	return s, true
}

// minSpool is the least size of a spool: it is kept in files of a sixteenth.
const minSpool = 16 << 20

// isNone reports whether a size is that of nothing: 0, "0" or "off".
func (v view) isNone() bool { return v.v == int64(0) || v.v == "0" || v.v == "off" }

// spool parses the size of a spool, which may be none.
func (v view) spool() (int64, bool) {
	if v.isNone() {
		return 0, true
	}
	n, ok := v.size()
	if ok && n < minSpool {
		v.errorf(`"off" keeps it in memory`, "%d bytes; at least 16MiB are needed", n)
	}
	return n, ok && n >= minSpool
}

// minKeepDelivered is the least size of what is kept of deliveries.
const minKeepDelivered = 1 << 20

// keepDelivered parses how much is kept of deliveries, which may be nothing.
func (v view) keepDelivered() (int64, bool) {
	if v.isNone() {
		return 0, true
	}
	n, ok := v.size()
	if ok && n < minKeepDelivered {
		v.errorf(`"0" keeps none`, "%d bytes; at least 1MiB are needed", n)
	}
	return n, ok && n >= minKeepDelivered
}

// server decodes url, user and password.
func (t *table) server(s *Source) {
	at := t.view
	read(t, "url", &s.URL, func(v view) (string, bool) {
		v.form, at = formURL, v
		v.warnOpenURL()
		return v.str()
	})
	user, hasUser := t.get("user")
	password, hasPassword := t.get("password")
	read(t, "user", &s.User, view.str)
	read(t, "password", &s.Password, func(v view) (string, bool) {
		v.warnOpen()
		return v.str()
	})
	if hasUser && !hasPassword {
		user.errorf(`add password, or password = "" for one without`, "a user without a password")
	}
	sentinelUser, hasSentinelUser := t.get("sentinel_user")
	read(t, "sentinel_user", &s.SentinelUser, view.str)
	_, hasSentinelPassword := t.get("sentinel_password")
	read(t, "sentinel_password", &s.SentinelPassword, func(v view) (string, bool) {
		v.warnOpen()
		return v.str()
	})
	if hasSentinelUser && !hasSentinelPassword {
		sentinelUser.errorf(`add sentinel_password`, "a user without a password")
	}
	_, rest, _ := strings.Cut(s.URL, "://")
	authority, _, _ := strings.Cut(rest, "/")
	if named := strings.Contains(authority, "@"); named && (hasUser || hasPassword) {
		v := password
		if hasUser {
			v = user
		}
		v.errorf("leave out one of both", "the url has a user or a password too")
	}
	if t.l.o.Source == nil || s.URL == "" {
		return
	}
	if err := t.l.o.Source(s.URL); err != nil {
		at.errorf("", "%s", at.redactParts(strings.TrimPrefix(err.Error(), "source URL: ")))
	}
}

func (t *table) store(s *Store) {
	read(t, "dir", &s.Dir, func(v view) (string, bool) {
		dir, ok := v.str()
		if ok && dir == "" {
			v.errorf("", "an empty path")
		}
		return dir, ok && dir != ""
	})
	read(t, "max_pending", &s.MaxPending, func(v view) (int, bool) { return v.integer(1, 1_000_000_000) })
	read(t, "max_bytes", &s.MaxBytes, view.size)
	read(t, "keep_delivered", &s.KeepDelivered, view.keepDelivered)
	read(t, "retention", &s.Retention, func(v view) (time.Duration, bool) { return v.duration(time.Second) })
	t.done()
}

// minToken is the least number of bytes of a token. A shorter one can be
// guessed.
const minToken = 16

// CheckToken returns what is wrong with a token of [http], from wherever it
// comes, and what to do instead. The error does not quote it.
func CheckToken(token string) error {
	err := checkToken(token)
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s (%s)", err.Msg, err.Hint)
}

func checkToken(token string) *Error {
	switch {
	case len(token) < minToken:
		return &Error{Msg: fmt.Sprintf("a token of %d bytes; at least %d are needed", len(token), minToken), Hint: "openssl rand -hex 32 makes a good one"}
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return &Error{Msg: "the token has characters that no HTTP header carries", Hint: "letters, digits and the like"}
	}
	return nil
}

func (t *table) http(h *HTTP) {
	read(t, "listen", &h.Listen, func(v view) (string, bool) {
		addr, ok := v.str()
		if !ok || addr == "" || addr == "off" {
			return "", ok
		}
		if err := checkListen(addr); err != nil {
			v.errorf(`host:port as in "127.0.0.1:9797", a socket as in "unix:///run/triggerd/api.sock", or "off"`, "%s is no address to listen on: %v", v.shown(addr), err)
			return "", false
		}
		return addr, true
	})
	token := func(v view) (string, bool) {
		v.warnOpen()
		token, ok := v.str()
		if !ok {
			return "", false
		}
		if err := checkToken(token); err != nil {
			v.errorf(err.Hint, "%s", err.Msg)
			return "", false
		}
		return token, true
	}
	read(t, "token", &h.Token, token)
	read(t, "read_token", &h.ReadToken, token)
	read(t, "show_values", &h.ShowValues, view.boolean)
	if h.ReadToken != "" && h.ReadToken == h.Token {
		t.errorf("two of their own", "token and read_token are the same")
	}
	read(t, "max_behind", &h.MaxBehind, func(v view) (time.Duration, bool) { return v.duration(0) })
	t.done()
}

func checkListen(addr string) error {
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		if !filepath.IsAbs(path) {
			return errors.New("the path of the socket is not absolute")
		}
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		var a *net.AddrError
		if errors.As(err, &a) {
			return errors.New(a.Err)
		}
		return err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("the port is not a number up to 65535")
	}
	return nil
}

// limits decodes timeout and retry, over what is set already.
func (t *table) limits(timeout *time.Duration, retry *Retry) {
	read(t, "timeout", timeout, func(v view) (time.Duration, bool) { return v.duration(time.Millisecond) })
	t.section("retry", func(t *table) {
		read(t, "max_attempts", &retry.MaxAttempts, func(v view) (int, bool) { return v.integer(1, 1000) })
		read(t, "backoff", &retry.Backoff, func(v view) (time.Duration, bool) { return v.duration(time.Millisecond) })
		read(t, "max_backoff", &retry.MaxBackoff, func(v view) (time.Duration, bool) { return v.duration(time.Millisecond) })
		read(t, "max_age", &retry.MaxAge, func(v view) (time.Duration, bool) { return v.duration(0) })
		if retry.MaxBackoff < retry.Backoff {
			t.errorf("", "max_backoff %s is less than backoff %s", retry.MaxBackoff, retry.Backoff)
		}
		t.done()
	})
}

func (d *document) macroTexts() map[string]string {
	texts := map[string]string{}
	for name, v := range d.macros {
		if s, ok := v.text(); ok {
			texts[name] = s
		}
	}
	return texts
}

// listValues returns the lists as conditions use them. A list is of texts, of
// numbers, or of lists of texts, since "in" compares with one kind.
func (d *document) listValues() map[string]any {
	values := map[string]any{}
	for name, v := range d.lists {
		list, ok := v.v.([]any)
		if !ok {
			v.wrongType("a list", "")
			continue
		}
		switch {
		case len(list) > 0 && isNumber(list[0]):
			values[name] = listOf(v, list, view.number)
		case len(list) > 0 && isList(list[0]):
			values[name] = rowsOf(v, list)
		default:
			values[name] = listOf(v, list, view.str)
		}
	}
	return values
}

func isList(x any) bool { _, ok := x.([]any); return ok }

// rowsOf returns a list of lists, which have texts and are of one length.
func rowsOf(v view, list []any) [][]string {
	return listOf(v, list, func(row view) ([]string, bool) {
		texts, ok := row.v.([]any)
		if !ok {
			row.wrongType("a list, as the first is", "")
			return nil, false
		}
		if first := list[0].([]any); len(texts) == 0 || len(texts) != len(first) {
			row.errorf("", "a list of %d in a list of lists of %d: all are of one length", len(texts), len(first))
			return nil, false
		}
		out := listOf(row, texts, view.str)
		return out, len(out) == len(texts)
	})
}

func isNumber(x any) bool {
	switch x.(type) {
	case int64, float64:
		return true
	}
	return false
}

func listOf[T any](v view, list []any, f func(view) (T, bool)) []T {
	out := make([]T, 0, len(list))
	for i, e := range list {
		if value, ok := f(v.elem(i, e)); ok {
			out = append(out, value)
		}
	}
	return out
}
