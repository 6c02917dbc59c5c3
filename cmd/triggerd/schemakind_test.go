package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"triggerd/actions"
	"triggerd/actions/kinds"
)

// The schema of a kind is made from its fields, whatever kind it is.
func TestSchemaOfKind(t *testing.T) {
	fax := &actions.Kind{Name: "fax", Doc: "sends a fax", Fields: []actions.Field{
		{Name: "number", Required: true, Doc: "with `+`"},
		{Name: "paper", Values: []string{"a4", "letter"}},
		{Name: "cover", Type: actions.Table, Fields: []actions.Field{{Name: "logo", Type: actions.Flag}}},
	}}
	b, err := schemaOf(append(slices.Clone(kinds.All), fax))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Defs struct {
			Kinds struct {
				Properties struct{ Type struct{ Enum []string } }
				AllOf      []json.RawMessage
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	kinds := doc.Defs.Kinds
	if n := len(kinds.Properties.Type.Enum); kinds.Properties.Type.Enum[n-1] != "fax" {
		t.Errorf("the kinds are %q", kinds.Properties.Type.Enum)
	}
	var got bytes.Buffer
	if err := json.Compact(&got, kinds.AllOf[len(kinds.AllOf)-1]); err != nil {
		t.Fatal(err)
	}
	want := `{"if":{"properties":{"type":{"const":"fax"}}},"then":{"description":"sends a fax","properties":{` +
		`"cover":{"additionalProperties":false,"properties":{"logo":{"type":"boolean"}},"type":"object"},` +
		`"number":{"description":"with +","type":"string"},"paper":{"enum":["a4","letter"]}},"required":["number"]}}`
	if got.String() != want {
		t.Errorf("got  %s\nwant %s", &got, want)
	}
}
