package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"triggerd/engine"
	"triggerd/internal/web"
	"triggerd/source"
)

// section returns the part of a file of the docs under a heading.
func section(t *testing.T, file, heading string) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("docs/%s has no section %s", file, heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	text, _, _ = strings.Cut(text, "\n"+level+" ")
	return text
}

var (
	tableRow   = regexp.MustCompile(`(?m)^\|(.*)\|$`)
	quotedName = regexp.MustCompile("`([a-z_0-9]+)`")
)

// columnNames returns the names that are quoted in a column of the tables of a
// text, counted from 0.
func columnNames(text string, column int) map[string]bool {
	names := map[string]bool{}
	for _, row := range tableRow.FindAllStringSubmatch(text, -1) {
		cells := strings.Split(row[1], " | ")
		if column >= len(cells) {
			continue
		}
		for _, m := range quotedName.FindAllStringSubmatch(cells[column], -1) {
			names[m[1]] = true
		}
	}
	return names
}

// sameNames compares what the docs have with what there is.
func sameNames(t *testing.T, what string, docs, code map[string]bool) {
	t.Helper()
	for name := range code {
		if !docs[name] {
			t.Errorf("the docs do not have the %s %s", what, name)
		}
	}
	for name := range docs {
		if !code[name] {
			t.Errorf("the docs have a %s %s, which triggerd does not have", what, name)
		}
	}
}

// TestDocsMetrics: docs/operations.md has all metrics, and no others.
func TestDocsMetrics(t *testing.T) {
	t.Parallel()
	set, err := engine.BuildRules(map[string]any{}, engine.ActionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Config{Rules: set, Replay: true, Source: source.NewRecording(strings.NewReader(""), "")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Run(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	log := slog.New(slog.DiscardHandler)
	srv, err := web.New(web.Config{Listen: "127.0.0.1:0", Daemon: e, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	code := map[string]bool{"build_info": true}
	name := regexp.MustCompile(`fqName: "triggerd_([a-z_]+)"`)
	for _, c := range []prometheus.Collector{e.Collector(), srv.Collector(), newLogQueue(io.Discard).collector()} {
		described := make(chan *prometheus.Desc)
		go func() {
			c.Describe(described)
			close(described)
		}()
		for d := range described {
			m := name.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("%s", d)
			}
			code[m[1]] = true
		}
	}
	sameNames(t, "metric", columnNames(section(t, "operations.md", "## Metrics"), 0), code)
}

// TestDocsFields: docs/rules.md has all fields of the rules file, and no others.
// The fields of the kinds of actions have tables that are made from the code.
func TestDocsFields(t *testing.T) {
	t.Parallel()
	var doc struct {
		Properties map[string]struct{ Properties map[string]any }
		Defs       map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	if err := json.Unmarshal(wholeSchema(t), &doc); err != nil {
		t.Fatal(err)
	}
	sections := section(t, "rules.md", "## Sections")
	docs, code := columnNames(sections, 1), map[string]bool{"include": true}
	for _, name := range []string{"source", "store", "http", "check", "defaults"} {
		for field := range doc.Properties[name].Properties {
			code[field] = true
		}
	}
	sameNames(t, "field of a section", docs, code)

	docs, code = columnNames(section(t, "rules.md", "## A rule"), 0), map[string]bool{}
	for field := range doc.Defs["rule"].Properties {
		code[field] = true
	}
	sameNames(t, "field of a rule", docs, code)

	docs, code = columnNames(strings.SplitN(section(t, "rules.md", "## Actions"), "### ", 2)[0], 0), map[string]bool{"target": true, "name": true, "order": true}
	for field := range doc.Defs["kinds"].Properties {
		code[field] = true
	}
	sameNames(t, "field of an action", docs, code)
}
