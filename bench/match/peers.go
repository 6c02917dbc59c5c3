package main

import (
	"regexp"
	"strings"
	"unsafe"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
	"github.com/gobwas/glob"

	"triggerd/internal/event"
)

// loopOf asks every pattern in turn, as a server does for its subscribers.
func loopOf(patterns []string) matcher {
	list := make([][]byte, len(patterns))
	for i, p := range patterns {
		list[i] = []byte(p)
	}
	return func(ev *event.Event) (n int) {
		for _, p := range list {
			if stringMatch(p, ev.Key) {
				n++
			}
		}
		return n
	}
}

// stringMatch matches by the rules of the server's globs, the way the server
// does: it tries the rest of the pattern at each place that a star leaves open.
func stringMatch(p, s []byte) bool {
	for len(p) > 0 {
		switch p[0] {
		case '*':
			for len(p) > 1 && p[1] == '*' {
				p = p[1:]
			}
			if len(p) == 1 {
				return true
			}
			for i := range len(s) + 1 {
				if stringMatch(p[1:], s[i:]) {
					return true
				}
			}
			return false
		case '?':
			if len(s) == 0 {
				return false
			}
		case '[':
			if len(s) == 0 {
				return false
			}
			ok := false
			if ok, p = class(p[1:], s[0]); !ok {
				return false
			}
		case '\\':
			if len(p) > 1 {
				p = p[1:]
			}
			fallthrough
		default:
			if len(s) == 0 || p[0] != s[0] {
				return false
			}
		}
		p, s = p[1:], s[1:]
	}
	return len(s) == 0
}

// class matches a class; rest begins at its end.
func class(p []byte, c byte) (ok bool, rest []byte) {
	not := len(p) > 0 && p[0] == '^'
	if not {
		p = p[1:]
	}
	for len(p) > 0 && p[0] != ']' {
		switch {
		case p[0] == '\\' && len(p) > 1:
			ok = ok || p[1] == c
			p = p[2:]
		case len(p) > 2 && p[1] == '-':
			ok = ok || min(p[0], p[2]) <= c && c <= max(p[0], p[2])
			p = p[3:]
		default:
			ok = ok || p[0] == c
			p = p[1:]
		}
	}
	if len(p) == 0 {
		p = []byte{']'}
	}
	return ok != not, p
}

func gobwasLoop(patterns []string) matcher {
	list := make([]*glob.Pattern, len(patterns))
	for i, p := range patterns {
		list[i] = glob.MustCompile(p)
	}
	return func(ev *event.Event) (n int) {
		key := text(ev.Key)
		for _, g := range list {
			if g.Match(key) {
				n++
			}
		}
		return n
	}
}

func regexpLoop(patterns []string) matcher {
	list := make([]*regexp.Regexp, len(patterns))
	for i, p := range patterns {
		p = strings.NewReplacer("*", ".*", "?", ".", "+", `\+`, ".", `\.`).Replace(p)
		list[i] = regexp.MustCompile("(?s)^" + p + "$")
	}
	return func(ev *event.Event) (n int) {
		for _, re := range list {
			if re.Match(ev.Key) {
				n++
			}
		}
		return n
	}
}

// variables are what the conditions of the benchmark read.
type variables struct {
	Key     string   `expr:"key"`
	Command string   `expr:"command"`
	Args    []string `expr:"args"`
}

// machineLoop runs every condition in expr's machine.
func machineLoop(n int) matcher {
	programs := make([]*vm.Program, n)
	for i := range programs {
		p, err := expr.Compile(condition(i), expr.Env(&variables{}), expr.AsBool())
		if err != nil {
			panic(err)
		}
		programs[i] = p
	}
	var machine vm.VM
	var env variables
	return func(ev *event.Event) (matched int) {
		env.Key, env.Command, env.Args = text(ev.Key), ev.Command, env.Args[:0]
		for _, a := range ev.Args {
			env.Args = append(env.Args, text(a))
		}
		for _, p := range programs {
			if v, err := machine.Run(p, &env); err == nil && v == true {
				matched++
			}
		}
		return matched
	}
}

func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
