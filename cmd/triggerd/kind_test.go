package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/actionstest/fax"
	"triggerd/actions/kinds"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// The schema of a kind is made from its fields, whatever kind it is.
func TestSchemaOfKind(t *testing.T) {
	t.Parallel()
	b, err := schemaOf(append(slices.Clone(kinds.All), &fax.Kind))
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
	told := doc.Defs.Kinds
	if n := len(told.Properties.Type.Enum); told.Properties.Type.Enum[n-1] != "fax" {
		t.Errorf("the kinds are %q", told.Properties.Type.Enum)
	}
	var got bytes.Buffer
	if err := json.Compact(&got, told.AllOf[len(told.AllOf)-1]); err != nil {
		t.Fatal(err)
	}
	want := `{"if":{"properties":{"type":{"const":"fax"}}},"then":{"description":"sends a fax","properties":{` +
		`"cover":{"additionalProperties":false,"description":"a page before the others","properties":{"logo":{"type":"boolean"}},"type":"object"},` +
		`"number":{"description":"with +","type":"string"},"paper":{"enum":["a4","letter"]},` +
		`"passphrase":{"description":"of the machine","type":"string"},"text":{"description":"by default the key","type":"string"}},"required":["number"]}}`
	if got.String() != want {
		t.Errorf("got  %s\nwant %s", &got, want)
	}
}

// A kind that is in the list is delivered with, as often at once as it says. What
// its templates read is kept, and status tells where it delivers to.
func TestNewKind(t *testing.T) {
	t.Parallel()
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		dir := t.TempDir()
		do := func(line string) { redistest.Do(t, srv, strings.Fields(line)...) }
		do("RPUSH queue a b")
		write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[http]
listen = "127.0.0.1:0"
[[rule]]
name = "taken"
key = "queue"
event = "lpop"
[[rule.action]]
type = "fax"
number = "+4989"
text = "{{.type}} {{.key}}"
passphrase = "hunter2-of-the-machine"
`, srv.Addr))
		p := startWith(t, command(t, dir), "TRIGGERD_HTTP=", withFax+"=1")
		p.logs.await(t, `msg="attached`, 1)
		api := apiOf(t, p)
		do("LPOP queue")
		awaitAnswer(t, api, `, 1 delivered,(?s:.*)taken/fax +fax \+4989 `, "status")
		p.stop()
		if want := "FAX +4989\npaper: a4\n\nlist queue on one of 3 lines\n"; p.stdout.String() != want {
			t.Errorf("got  %s\nwant %s", &p.stdout, want)
		}
	})
}

// What a kind would send is seen without sending it, through the list.
func TestPreviewOfNewKind(t *testing.T) {
	t.Parallel()
	const passphrase = "hunter2-of-the-machine"
	a, err := append(slices.Clone(kinds.All), &fax.Kind).New("fax", map[string]any{"number": "+4989", "text": passphrase + " {{.key}}", "passphrase": passphrase}, actions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := actions.Render(t.Context(), a, actionstest.Firing())
	if want := "FAX +4989\npaper: a4\n\n*** stock:42"; err != nil || p.String() != want {
		t.Errorf("got %s, %v; want %s", p, err, want)
	}
}
