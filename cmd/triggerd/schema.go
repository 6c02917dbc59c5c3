package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"triggerd/actions"
	"triggerd/actions/kinds"
)

// schemaFrame is the schema without what the kinds of actions say of their
// fields.
//
//go:embed schema.json
var schemaFrame []byte

// object is a part of a schema.
type object = map[string]any

// schemaOf returns the JSON Schema of a rules file with these kinds of actions.
func schemaOf(all actions.Kinds) ([]byte, error) {
	names, fields := []string{}, []object{}
	for _, k := range all {
		names = append(names, k.Name)
		then := fieldsSchema(k.Fields)
		then["description"] = k.Doc
		fields = append(fields, object{"if": object{"properties": object{"type": object{"const": k.Name}}}, "then": then})
	}
	b := schemaFrame
	for mark, part := range map[string]any{`"@kinds"`: names, `"@fields"`: fields} {
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		e.SetIndent("      ", "  ")
		if err := e.Encode(part); err != nil {
			return nil, err
		}
		b = bytes.Replace(b, []byte(mark), bytes.TrimSpace(text.Bytes()), 1)
	}
	return b, nil
}

// fieldsSchema returns what a table with these fields has to be.
func fieldsSchema(fields []actions.Field) object {
	properties, required := object{}, []string{}
	s := object{"properties": properties}
	for _, f := range fields {
		properties[f.Name] = fieldSchema(f)
		switch {
		case f.Required && f.Unless != "":
			s["anyOf"] = []object{{"required": []string{f.Name}}, {"required": []string{f.Unless}}}
		case f.Required:
			required = append(required, f.Name)
		}
	}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func fieldSchema(f actions.Field) object {
	s := object{}
	text := object{"type": "string"}
	switch f.Type {
	case actions.Text:
		s["type"] = "string"
		if f.Values != nil {
			delete(s, "type")
			s["enum"] = f.Values
		}
	case actions.Flag:
		s["type"] = "boolean"
	case actions.Texts:
		s["type"], s["items"] = "array", text
		if f.Required {
			s["minItems"] = 1
		}
	case actions.TextOrTexts:
		s["$ref"] = "#/$defs/texts"
	case actions.TextTable:
		s["type"], s["additionalProperties"] = "object", text
	case actions.Table:
		s = fieldsSchema(f.Fields)
		s["type"], s["additionalProperties"] = "object", false
	case actions.Statuses:
		s["$ref"] = "#/$defs/statuses"
	case actions.ExitCodes:
		s["type"], s["items"] = "array", object{"type": "integer", "minimum": 1, "maximum": 255}
	}
	if f.Doc != "" {
		s["description"] = strings.ReplaceAll(f.Doc, "`", "")
	}
	return s
}

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema of the rules file, for editors",
		Long: `Schema prints a JSON Schema (2020-12) of the rules file, with which an editor
completes and checks it while it is written. What takes more than the shape of
the file, such as a condition, only check knows.`,
		Example: `  triggerd schema > rules.schema.json
  # first line of rules.toml, for taplo and the editors that use it:
  #:schema ./rules.schema.json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := schemaOf(kinds.All)
			if err != nil {
				return failed(err)
			}
			_, err = cmd.OutOrStdout().Write(b)
			return failed(err)
		},
	}
}
