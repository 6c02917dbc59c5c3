package firing

import (
	"errors"
	"fmt"
	"strings"
)

// Endpoint names what firings are delivered with: a target, over all rules that
// use it, or an action of a rule's own. Its text is "target/NAME" or
// "rule/RULE/ACTION". "" is none.
type Endpoint string

const (
	targetPrefix = "target/"
	rulePrefix   = "rule/"
)

// OfTarget returns the endpoint of a target.
func OfTarget(name string) Endpoint { return Endpoint(targetPrefix + name) }

// OfRule returns the endpoint of an action of a rule's own.
func OfRule(rule, action string) Endpoint { return Endpoint(rulePrefix + rule + "/" + action) }

// RuleName is a rule's name in full, where names of rules and of endpoints stand
// side by side: "rule/NAME".
func RuleName(rule string) string { return rulePrefix + rule }

// RuleOf undoes RuleName. It returns false for what is no rule's name in full.
func RuleOf(full string) (rule string, ok bool) {
	rule, ok = strings.CutPrefix(full, rulePrefix)
	return rule, ok && rule != "" && !strings.Contains(rule, "/")
}

var errEndpoint = errors.New("not the name of a target or of a rule's action")

// ParseEndpoint reads the text of an endpoint, or the name of a target alone.
func ParseEndpoint(text string) (Endpoint, error) {
	e := Endpoint(text)
	switch {
	case text != "" && !strings.Contains(text, "/"):
		return OfTarget(text), nil
	case e.Target() != "" && !strings.Contains(e.Target(), "/"), e.Action() != "" && !strings.HasPrefix(text, rulePrefix+"/"):
		return e, nil
	}
	return "", fmt.Errorf("%w: %.100q (target/NAME, or rule/RULE/ACTION)", errEndpoint, text)
}

// IsZero reports whether e is none.
func (e Endpoint) IsZero() bool { return e == "" }

// String returns the text of e.
func (e Endpoint) String() string { return string(e) }

// Target returns the name of the target, "" for an action of a rule's own.
func (e Endpoint) Target() string {
	name, ok := strings.CutPrefix(string(e), targetPrefix)
	if !ok {
		return ""
	}
	return name
}

// Action returns the name of the action of a rule's own, "" for a target. It
// ends the IDs of the firings that are delivered with it.
func (e Endpoint) Action() string {
	rest, ok := strings.CutPrefix(string(e), rulePrefix)
	if !ok {
		return ""
	}
	_, action, _ := strings.Cut(rest, "/")
	return action
}
