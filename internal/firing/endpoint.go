package firing

import (
	"errors"
	"fmt"
	"strings"
)

// Endpoint names what firings are delivered with: a target, which many rules
// may use, or an action of a single rule. Its text is "target/NAME" or
// "rule/RULE/ACTION". "" is no endpoint.
type Endpoint string

const (
	targetPrefix = "target/"
	rulePrefix   = "rule/"
)

// OfTarget returns the endpoint of a target.
func OfTarget(name string) Endpoint { return Endpoint(targetPrefix + name) }

// OfRule returns the endpoint of a rule's own action.
func OfRule(rule, action string) Endpoint { return Endpoint(rulePrefix + rule + "/" + action) }

// RuleName returns the full name of a rule, "rule/NAME", for lists that have
// names of rules and of endpoints.
func RuleName(rule string) string { return rulePrefix + rule }

// RuleOf undoes RuleName. It returns false if full is not the full name of a
// rule.
func RuleOf(full string) (rule string, ok bool) {
	rule, ok = strings.CutPrefix(full, rulePrefix)
	return rule, ok && rule != "" && !strings.Contains(rule, "/")
}

var errEndpoint = errors.New("not the name of a target or of a rule's action")

// ParseEndpoint parses the text of an endpoint, or the name of a target alone.
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

// IsZero reports whether e is no endpoint.
func (e Endpoint) IsZero() bool { return e == "" }

// String returns the text of e.
func (e Endpoint) String() string { return string(e) }

// Target returns the name of the target, "" for a rule's own action.
func (e Endpoint) Target() string {
	name, ok := strings.CutPrefix(string(e), targetPrefix)
	if !ok {
		return ""
	}
	return name
}

// Action returns the name of a rule's own action, "" for a target. The IDs of
// its firings end with it.
func (e Endpoint) Action() string {
	rest, ok := strings.CutPrefix(string(e), rulePrefix)
	if !ok {
		return ""
	}
	_, action, _ := strings.Cut(rest, "/")
	return action
}
