package tmpl

import (
	"testing"

	"triggerd/internal/event"
)

func TestReadsOfTemplate(t *testing.T) {
	const all = event.PartType | event.PartCause | event.PartTTL | event.PartChanged | event.PartBefore | event.PartAfter
	tests := []struct {
		text string
		want event.Parts
	}{
		{"type", 0},
		{"{{.key}} of the type before", 0},
		{`{{"type"}}`, 0},
		{"{{.type}}", event.PartType},
		{"{{ 1 | print .cause }}", event.PartCause},
		{"{{$.type}}", event.PartType},
		{"{{upper .type | json}}", event.PartType},
		{"{{if eq .type \"list\"}}x{{end}}", event.PartType},
		{"{{if .key}}{{else}}{{.type}}{{end}}", event.PartType},
		{"{{if .key}}{{else if .cause}}{{end}}", event.PartCause},
		{"{{.params.type}}", 0},
		{"{{with .params}}{{.type}}{{end}}", 0},
		{"{{with .params}}{{$.type}}{{end}}", event.PartType},
		{"{{with .}}{{.type}}{{end}}", event.PartType},
		{"{{with $}}{{.key}}{{end}}", 0},
		{"{{with .key}}{{.}}{{else}}{{.type}}{{end}}", event.PartType},
		{"{{range .args}}{{.}}{{end}}", 0},
		{"{{range $i, $a := .args}}{{$i}}{{$a}}{{end}}", 0},
		{"{{range .events}}{{.key}}{{end}}", 0},
		{"{{range .events}}{{.type}}{{end}}", event.PartType},
		{"{{range $.events}}{{.type}}{{end}}", event.PartType},
		{"{{range $e := .events}}{{$e.type}}{{end}}", all},
		{"{{len .events}}", 0},
		{"{{json .events}}", all},
		{"{{with index .events 0}}{{.type}}{{end}}", all},
		{"{{(index .events 0).type}}", all},
		{"{{.before.status}} {{.after.status}}", event.PartBefore | event.PartAfter},
		{"{{with .after}}{{.type}}{{end}}", event.PartAfter},
		{"{{len .before}}", event.PartBefore},
		{"{{if .ttl}}{{range .changed}}{{end}}{{end}}", event.PartTTL | event.PartChanged},
		{"{{.unknown}}", event.PartBefore | event.PartAfter},
		{"{{.tx.id}}{{.status}}{{.by}}", 0},
		{"{{json .}}", all},
		{"{{.}}", all},
		{"{{printf \"%v\" $}}", all},
		{"{{$x := .}}{{$x.key}}", all},
		{`{{index . "type"}}`, event.PartType},
		{`{{index . "key"}}`, 0},
		{`{{index $ "cause"}}`, event.PartCause},
		{"{{index . .key}}", all},
		{`{{define "a"}}{{.type}}{{end}}{{template "a" .}}`, event.PartType},
		{`{{define "a"}}{{.key}}{{end}}{{template "a" $}}`, 0},
		{`{{block "a" .}}{{.cause}}{{end}}`, event.PartCause},
	}
	for _, tt := range tests {
		x, err := parseTemplate(tt.text)
		if err != nil {
			t.Fatalf("%s: %v", tt.text, err)
		}
		if got := readsOfTemplate(x); got != tt.want {
			t.Errorf("%s reads %b, want %b", tt.text, got, tt.want)
		}
	}
}
