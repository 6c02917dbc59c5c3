package rules_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"triggerd/rules"
)

// known is what tests know of a server.
var known = []rules.Command{
	{Name: "SET", Classes: []string{"@string", "@write"}},
	{Name: "DEL", Classes: []string{"@keyspace", "@write"}},
	{Name: "DECR", Classes: []string{"@string", "@write"}},
	{Name: "HSET", Classes: []string{"@hash", "@write"}},
	{Name: "PUBLISH", Classes: []string{"@pubsub"}},
	{Name: "XGROUP CREATE", Classes: []string{"@stream", "@write"}},
	{Name: "XGROUP SETID", Classes: []string{"@stream", "@write"}},
	{Name: "EXPIRE", Classes: []string{"@keyspace", "@write"}, Instead: `it arrives as PEXPIREAT; write event = "expire"`},
}

// options checks everything, with a small server and two kinds of actions.
func options() rules.Options {
	return rules.Options{
		Action:   checkAction,
		Kinds:    []rules.Kind{{Name: "webhook", Secrets: []string{"pass_phrase"}, Templates: []string{"url", "headers"}, URLs: []string{"url", "proxy", "oauth2.token_url"}}, {Name: "log"}, {Name: "print"}},
		Commands: known,
		Events:   []string{"set", "del", "expired", "expire", "hset", "decrby"},
		LookupEnv: func(name string) (string, bool) {
			v, ok := map[string]string{"SECRET": "hunter2\n\"x", "EMPTY": "", "HOST": "example.com"}[name]
			return v, ok
		},
	}
}

type fieldError struct{ field, msg string }

func (e *fieldError) Error() string { return e.field + ": " + e.msg }
func (e *fieldError) Field() string { return e.field }

func checkAction(kind string, fields map[string]any) (rules.ActionFacts, error) {
	var errs []error
	switch kind {
	case "webhook":
		if url, _ := fields["url"].(string); !strings.HasPrefix(url, "http") {
			errs = append(errs, &fieldError{"url", fmt.Sprintf("%q is not http", strings.TrimPrefix(url, "ftp://user:hunter2@"))})
		}
		headers, _ := fields["headers"].(map[string]any)
		for name, v := range headers {
			if v == "bad" {
				errs = append(errs, &fieldError{"headers." + name, "a bad header"})
			}
		}
	case "exec", "log":
		if _, ok := fields["levle"]; ok {
			errs = append(errs, &fieldError{"levle", "unknown field"})
		}
	default:
		errs = append(errs, &fieldError{"type", "unknown kind"})
	}
	return rules.ActionFacts{}, errors.Join(errs...)
}

// writeFile writes a file into a new directory and returns its path.
func writeFile(dir, name, text string) string {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
	return path
}
