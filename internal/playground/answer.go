package playground

import (
	"triggerd/internal/admin"
	"triggerd/rules"
)

// Answer returns what came of loading rules: set, or err, which then has the
// mistakes.
func Answer(set *rules.Set, err error) *admin.CheckAnswer {
	out := &admin.CheckAnswer{OK: err == nil, Errors: findings(rules.Errors(err)), Warnings: []admin.Finding{}}
	if err != nil && len(out.Errors) == 0 {
		out.Errors = append(out.Errors, admin.Finding{Message: err.Error()})
	}
	if set == nil {
		return out
	}
	out.Warnings = findings(set.Warnings)
	if len(set.Notes) > 0 {
		out.Notes = findings(set.Notes)
	}
	for _, k := range set.Kept() {
		out.Kept = append(out.Kept, admin.Kept{Keys: k.Keys, Values: k.Values, Reasons: k.Reasons})
	}
	for _, n := range set.Lookups {
		out.Lookups = append(out.Lookups, admin.Lookup{What: n.What, Name: n.Name})
	}
	for _, r := range set.Rules {
		out.Rules = append(out.Rules, r.Name)
	}
	return out
}

func findings(list []*rules.Error) []admin.Finding {
	out := []admin.Finding{}
	for _, e := range list {
		out = append(out, admin.Finding{File: e.File, Line: e.Line, Col: e.Col, Rule: e.Rule, Field: e.Field, Code: e.Code, Message: e.Msg, Hint: e.Hint})
	}
	return out
}
