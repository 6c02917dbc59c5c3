// Package playground checks, tests and explains rules that nobody uses, for
// people who try them in a browser. It is an admin.Playground, by the same code
// as triggerd check, test and explain.
//
//	p := playground.New()
//	answer, err := p.Explain(ctx, admin.ExplainQuestion{Text: rules, Rule: "sold-out", Commands: []string{"SET stock:7 0"}})
//
// # What it may do
//
// The text comes from anybody who may read. So it is checked as by check
// --offline: no file, variable, include, program or network is looked at. One
// question is answered at a time, within two seconds; a text has at most 1 MiB, and
// what is played to it keeps at most 32 MiB of values, so that all of it stays
// below 64 MiB or so.
package playground
