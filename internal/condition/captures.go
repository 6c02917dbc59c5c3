package condition

import (
	"regexp"
	"slices"

	"triggerd/internal/glob"
)

// Captures is what the key patterns of a rule capture: the params of its
// expressions. A nil Captures captures nothing. It does not change, and may be
// used by several goroutines.
type Captures struct {
	names   []string // sorted
	only    *glob.Pattern
	keys    []*glob.Pattern
	regexes []*regexp.Regexp
}

// NewCaptures returns what globs and regular expressions capture by name; nil
// if that is nothing. It keeps the slices.
func NewCaptures(keys []*glob.Pattern, regexes []*regexp.Regexp) *Captures {
	var names []string
	for _, p := range keys {
		names = append(names, p.Captures()...)
	}
	for _, re := range regexes {
		for _, name := range re.SubexpNames() {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	c := &Captures{names: slices.Compact(names), keys: keys, regexes: regexes}
	if len(keys) == 1 && len(regexes) == 0 && keys[0].Simple() {
		c.only = keys[0]
	}
	return c
}

// Names returns the names that are captured, sorted; not to be changed.
func (c *Captures) Names() []string {
	if c == nil {
		return nil
	}
	return c.names
}

// Only returns the one pattern that captures, if it is a simple one; else nil.
func (c *Captures) Only() *glob.Pattern {
	if c == nil {
		return nil
	}
	return c.only
}

// Params returns what was captured of a key: raw bytes by name, a new map each
// time. Of several patterns the first that matches captures. It is nil if
// nothing is captured at all.
func (c *Captures) Params(key []byte) map[string]string {
	if c == nil {
		return nil
	}
	params := make(map[string]string, len(c.names))
	for _, p := range c.keys {
		if p.Capture(key, params) {
			break
		}
	}
	for _, re := range c.regexes {
		at := re.FindSubmatchIndex(key)
		if at == nil {
			continue
		}
		for i, name := range re.SubexpNames() {
			if name != "" && at[2*i] >= 0 {
				params[name] = string(key[at[2*i]:at[2*i+1]])
			}
		}
		break
	}
	return params
}

// simple returns the pattern that captures of a key, if it is found without
// looking at others than simple ones; else nil.
func (c *Captures) simple(key []byte) *glob.Pattern {
	if c == nil || c.only != nil || c.regexes != nil {
		return c.Only()
	}
	for _, p := range c.keys {
		if !p.Simple() {
			return nil
		}
		if p.Match(key) {
			return p
		}
	}
	return nil
}
