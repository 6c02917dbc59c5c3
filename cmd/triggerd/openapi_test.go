package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/redistest"
	"triggerd/internal/web"
)

// The API's description is made of the server's own types with their comments,
// and of this table. The test compares it with docs/openapi.yaml, with the
// server's routes, and with real answers.

// apiCall is a request that the API answers.
type apiCall struct {
	route   string // method and path
	summary string
	params  []string // names of parameters of the query
	body    any      // of the request; nil: none
	answer  any      // nil: see media
	media   string   // of an answer that is not JSON
	also    []int    // statuses of errors, beside 400, 401 and 403
}

var (
	listParams = []string{"action", "rule", "key", "id", "since", "limit", "before"}
	deadParams = append([]string{"reason", "error"}, listParams...)
)

var apiCalls = []apiCall{
	{route: "GET /api/v1/status", summary: "Everything at once: streams, rules, actions, the store, the last reload", answer: web.Status{}},
	{route: "GET /api/v1/events", summary: "What happens, as server-sent events, for as long as they are read. The id of an event is the seq of its data", params: []string{"rule", "key", "outcome", "all", "when", "after", "batch", "try"}, answer: admin.FeedEntry{}, media: "text/event-stream"},
	{route: "GET /api/v1/overview", summary: "What the page shows at the top: counts, and what is wrong now with what to do", answer: web.Overview{}},
	{route: "GET /api/v1/rates", summary: "What happened in the last seconds and minutes", answer: admin.Rates{}},
	{route: "GET /api/v1/rates/{name}", summary: "The same of a rule", answer: admin.RuleRates{}, also: []int{404}},
	{route: "GET /api/v1/last-event", summary: "The last event of a key, or of any", params: []string{"key"}, answer: admin.LastEvent{}, also: []int{404}},
	{route: "GET /api/v1/value", summary: "The value of a key as triggerd keeps it", params: []string{"key", "db"}, answer: admin.KeyValue{}},
	{route: "GET /api/v1/rules", summary: "Rules, with their places in the files", params: []string{"q", "health"}, answer: web.Rules{}},
	{route: "GET /api/v1/rules/{name}", summary: "What a rule counts and waits for", params: []string{"by", "cursor", "limit"}, answer: admin.RuleDetail{}, also: []int{404}},
	{route: "POST /api/v1/check", summary: "Check the text of rules, as triggerd check --offline does", body: admin.CheckQuestion{}, answer: admin.CheckAnswer{}, also: []int{501}},
	{route: "POST /api/v1/test", summary: "Run the tests in the text of rules", body: admin.TestQuestion{}, answer: admin.TestAnswer{}, also: []int{501}},
	{route: "POST /api/v1/explain", summary: "Tell why a rule of a text fires, or does not, for commands", body: admin.ExplainQuestion{}, answer: admin.ExplainAnswer{}, also: []int{501}},
	{route: "GET /api/v1/session", summary: "What the page may do", answer: web.Session{}},
	{route: "POST /api/v1/login", summary: "Exchange a token for a cookie of the page", body: web.Login{}, answer: web.Session{}},
	{route: "POST /api/v1/logout", summary: "End that", answer: web.Session{}},
	{route: "GET /api/v1/deliveries", summary: "Firings that wait, the oldest first, or that were delivered, the latest first", params: append([]string{"state", "failing"}, listParams...), answer: web.Deliveries{}},
	{route: "GET /api/v1/deliveries/{ref}", summary: "A firing that waits, was delivered or was given up, by its number or its ID (slashes as %2F), with its event, timeline and request", answer: admin.Delivery{}, also: []int{404}},
	{route: "POST /api/v1/deliveries/retry", summary: "Attempt now what waits for its next attempt: by numbers, or all of an action", body: web.Selection{}, answer: web.Done{}, also: []int{404}},
	{route: "POST /api/v1/deliveries/cancel", summary: "Stop what waits from being delivered: it becomes a dead letter with the reason cancelled", body: web.Selection{}, answer: admin.Cancelled{}, also: []int{404, 409}},
	{route: "POST /api/v1/deliveries/redeliver", summary: "Deliver once more what was delivered, under the same ID", body: web.Selection{}, answer: web.Done{}, also: []int{404, 409}},
	{route: "GET /api/v1/dead-letters", summary: "Dead letters, the latest first", params: deadParams, answer: web.DeadLetters{}},
	{route: "GET /api/v1/dead-letters/{number}", summary: "A dead letter, with its event, timeline and request", answer: admin.DeadLetter{}, also: []int{404}},
	{route: "GET /api/v1/dead-letters/causes", summary: "Dead letters grouped by action and cause, the largest group first", params: []string{"reason", "action", "rule", "key", "since"}, answer: web.Causes{}},
	{route: "GET /api/v1/dead-letters/export", summary: "Dead letters with their events, one JSON object a line; broken off where it could not be finished", params: []string{"reason", "error", "action", "rule", "key", "id", "since"}, answer: admin.DeadLetter{}, media: "application/x-ndjson"},
	{route: "POST /api/v1/dead-letters/retry", summary: "Turn dead letters into pending firings with the IDs that they had", body: web.Selection{}, answer: web.Done{}, also: []int{404, 409}},
	{route: "POST /api/v1/dead-letters/drop", summary: "Remove dead letters for good", body: web.Selection{}, answer: web.Done{}, also: []int{404, 409}},
	{route: "POST /api/v1/store/backup", summary: "A tar archive of the data directory as it is now; broken off where it could not be finished", media: "application/x-tar"},
	{route: "POST /api/v1/reload", summary: "Read the rules again. With mistakes the old rules stay", answer: admin.Reload{}, also: []int{501}},
	{route: "POST /api/v1/pause", summary: "Stop a rule or an action until it is resumed, or for a time", body: web.Pause{}, answer: web.Done{}, also: []int{404, 409}},
	{route: "POST /api/v1/resume", summary: "End a pause", body: web.Name{}, answer: web.Done{}, also: []int{404, 409}},
	{route: "GET /healthz", summary: "ok, as long as the process answers", media: "text/plain"},
	{route: "GET /readyz", summary: "ok, or 503 with why the daemon cannot do its work", media: "text/plain", also: []int{503}},
	{route: "GET /metrics", summary: "Metrics in the format of Prometheus", media: "text/plain"},
}

// params are the parameters of queries and paths.
var apiParams = map[string]struct{ kind, doc string }{
	"action":  {"string", "only of this action: target/NAME, NAME of a target, or rule/RULE/ACTION"},
	"rule":    {"string", "only of this rule"},
	"key":     {"string", "only of keys that match this glob"},
	"id":      {"string", "only with this ID, the receiver's webhook-id"},
	"since":   {"string", "only from this time on: 2026-01-31T14:00:00Z, or 10m for ten minutes ago"},
	"limit":   {"integer", "at most that many, up to 1000; 100 by default"},
	"before":  {"integer", "the next of the answer before"},
	"state":   {"string", "pending (the default) or delivered"},
	"failing": {"integer", "1: only those that were attempted in vain"},
	"reason":  {"string", "only given up for this: attempts, age, permanent, dropped, damaged, cancelled, rewound"},
	"error":   {"string", "only of this cause: the error of a group of /api/v1/dead-letters/causes"},
	"outcome": {"string", "only attempts that came to this: delivered, retried or given_up"},
	"all":     {"integer", "1: every event too"},
	"when":    {"string", "only events for which this condition of a rule holds"},
	"after":   {"integer", "only entries after the one with this seq, as far as they are kept"},
	"batch":   {"integer", "1: entries of a moment as one event, a list"},
	"try":     {"integer", "1: only say whether the request makes sense"},
	"q":       {"string", "only rules with this text in their name or in what is written of them"},
	"health":  {"string", "firing, erring or paused"},
	"db":      {"integer", "number of a database; 0 by default"},
	"by":      {"string", "only what is counted for values that begin so"},
	"cursor":  {"string", "the next of the answer before"},
	"name":    {"string", "of a rule"},
	"ref":     {"string", "number or ID"},
	"number":  {"integer", "of a dead letter"},
}

// node is an object whose members are in order.
type node []member

type member struct {
	name  string
	value any // node, []any, string, bool or int
}

func (n node) get(name string) any {
	for _, m := range n {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// yaml appends a value in YAML. Texts are as in JSON, which is YAML.
func yaml(b *strings.Builder, v any, indent string) {
	switch v := v.(type) {
	case node:
		if len(v) == 0 {
			b.WriteString(" {}\n")
			return
		}
		b.WriteString("\n")
		for _, m := range v {
			b.WriteString(indent + yamlKey(m.name) + ":")
			yaml(b, m.value, indent+"  ")
		}
	case []any:
		if len(v) == 0 {
			b.WriteString(" []\n")
			return
		}
		b.WriteString("\n")
		for _, e := range v {
			var item strings.Builder
			yaml(&item, e, indent+"  ")
			b.WriteString(indent + "- " + strings.TrimLeft(item.String(), " \n"))
		}
	case string:
		b.WriteString(" " + yamlText(v) + "\n")
	default:
		fmt.Fprintf(b, " %v\n", v)
	}
}

func yamlKey(name string) string {
	if strings.ContainsAny(name, "/{}") || name[0] >= '0' && name[0] <= '9' {
		return yamlText(name)
	}
	return name
}

func yamlText(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a text
	return strings.TrimSpace(b.String())
}

// schemas makes the schemas of types.
type schemas struct {
	docs map[string]string // of "Type" and "Type.Field"
	made map[string]node
}

func (s *schemas) of(t reflect.Type) node {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return node{{"type", "string"}, {"format", "date-time"}}
	case t == reflect.TypeFor[json.RawMessage]():
		return node{} // any JSON
	case t == reflect.TypeFor[admin.Excerpt]():
		return node{{"type", []any{"string", "null"}}} // null: the key is not there
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Slice:
		return node{{"type", "array"}, {"items", s.of(t.Elem())}}
	case reflect.Map:
		return node{{"type", "object"}, {"additionalProperties", s.of(t.Elem())}}
	case reflect.String:
		return node{{"type", "string"}}
	case reflect.Bool:
		return node{{"type", "boolean"}}
	case reflect.Float64:
		return node{{"type", "number"}}
	case reflect.Struct:
		name := t.Name()
		if t == reflect.TypeFor[web.Status]() {
			name = "Everything"
		}
		if _, made := s.made[name]; !made {
			s.made[name] = nil // it may be part of itself
			properties, required := node{}, []any{}
			s.fields(t, &properties, &required)
			schema := node{{"type", "object"}}
			if doc := s.docs[t.Name()]; doc != "" {
				schema = append(schema, member{"description", doc})
			}
			if len(required) > 0 {
				schema = append(schema, member{"required", required})
			}
			s.made[name] = append(schema, member{"properties", properties})
		}
		return node{{"$ref", "#/components/schemas/" + name}}
	}
	return node{{"type", "integer"}}
}

// fields adds the fields of a struct, and those of what is embedded in it.
func (s *schemas) fields(t reflect.Type, properties *node, required *[]any) {
	for f := range t.Fields() {
		if f.Anonymous {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			s.fields(inner, properties, required)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		name = cmpOr(name, f.Name)
		schema := s.of(f.Type)
		if doc := s.docs[t.Name()+"."+f.Name]; doc != "" {
			schema = append(node{{"description", doc}}, schema...)
		}
		*properties = append(*properties, member{name, schema})
		if options == "" && f.Type.Kind() != reflect.Pointer {
			*required = append(*required, name)
		}
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// docsOf returns the comments of the types of packages and of their fields.
func docsOf(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	docs := map[string]string{}
	clean := func(g *ast.CommentGroup) string { return strings.Join(strings.Fields(g.Text()), " ") }
	for _, dir := range dirs {
		for _, f := range parsed(t, dir) {
			ast.Inspect(f, func(n ast.Node) bool {
				decl, ok := n.(*ast.GenDecl)
				if !ok {
					return true
				}
				for _, spec := range decl.Specs {
					typ, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					docs[typ.Name.Name] = clean(decl.Doc)
					if of, ok := typ.Type.(*ast.StructType); ok {
						for _, field := range of.Fields.List {
							for _, name := range field.Names {
								docs[typ.Name.Name+"."+name.Name] = strings.TrimSpace(clean(field.Doc) + " " + clean(field.Comment))
							}
						}
					}
				}
				return false
			})
		}
	}
	return docs
}

// parsed parses the Go files of a package, tests apart.
func parsed(t *testing.T, dir string) (list []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	return list
}

// describeAPI makes the description, and returns the schemas too.
func describeAPI(t *testing.T) (node, *schemas) {
	s := &schemas{docs: docsOf(t, "../../internal/admin", "../../internal/web"), made: map[string]node{}}
	paths := node{}
	for _, c := range apiCalls {
		method, path, _ := strings.Cut(c.route, " ")
		op := node{{"summary", c.summary}}
		var params []any
		for part := range strings.SplitSeq(path, "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok {
				params = append(params, paramOf(t, strings.TrimSuffix(name, "}"), "path"))
			}
		}
		for _, name := range c.params {
			params = append(params, paramOf(t, name, "query"))
		}
		if method == "POST" {
			params = append(params, node{{"name", "X-Triggerd"}, {"in", "header"}, {"required", true}, {"description", "1: no foreign page sends it"}, {"schema", node{{"type", "string"}}}})
		}
		if params != nil {
			op = append(op, member{"parameters", params})
		}
		if c.body != nil {
			op = append(op, member{"requestBody", node{{"required", true}, {"content", node{{"application/json", node{{"schema", s.of(reflect.TypeOf(c.body))}}}}}}})
		}
		content := node{{"schema", node{{"type", "string"}}}}
		if c.answer != nil {
			content = node{{"schema", s.of(reflect.TypeOf(c.answer))}}
		}
		media := cmpOr(c.media, "application/json")
		responses := node{{"200", node{{"description", "done"}, {"content", node{{media, content}}}}}}
		if strings.HasPrefix(path, "/api/") {
			for _, status := range append([]int{400, 401, 403}, c.also...) {
				responses = append(responses, member{strconv.Itoa(status), node{{"$ref", "#/components/responses/Error"}}})
			}
		} else if len(c.also) > 0 {
			responses = append(responses, member{strconv.Itoa(c.also[0]), node{{"description", "why"}}})
		}
		paths = addOperation(paths, path, strings.ToLower(method), append(op, member{"responses", responses}))
	}
	fail := s.of(reflect.TypeFor[web.Error]())
	all := node{}
	for _, name := range slices.Sorted(maps.Keys(s.made)) {
		all = append(all, member{name, s.made[name]})
	}
	return node{
		{"openapi", "3.1.0"},
		{"info", node{{"title", "triggerd"}, {"version", "1"}, {"description", "What may be asked of a running triggerd, and what it may be told. docs/operations.md says more. Unknown fields and parameters are refused."}}},
		{"servers", []any{node{{"url", "http://127.0.0.1:9797"}}}},
		{"security", []any{node{{"token", []any{}}}}},
		{"paths", paths},
		{"components", node{
			{"securitySchemes", node{{"token", node{{"type", "http"}, {"scheme", "bearer"}, {"description", "[http] token, or read_token, which only reads; neither is needed on a loopback address or a socket without a token"}}}}},
			{"responses", node{{"Error", node{{"description", "one sentence that says why"}, {"content", node{{"application/json", node{{"schema", fail}}}}}}}}},
			{"schemas", all},
		}},
	}, s
}

func addOperation(paths node, path, method string, op node) node {
	for i := range paths {
		if paths[i].name == path {
			paths[i].value = append(paths[i].value.(node), member{method, op})
			return paths
		}
	}
	return append(paths, member{path, node{{method, op}}})
}

func paramOf(t *testing.T, name, in string) node {
	t.Helper()
	p, ok := apiParams[name]
	if !ok {
		t.Fatalf("parameter %s is not described", name)
	}
	n := node{{"name", name}, {"in", in}}
	if in == "path" {
		n = append(n, member{"required", true})
	}
	return append(n, member{"description", p.doc}, member{"schema", node{{"type", p.kind}}})
}

// routesOf returns the routes that the server registers, without those of
// profiles and the one for all else.
func routesOf(t *testing.T) (routes []string) {
	t.Helper()
	for _, f := range parsed(t, "../../internal/web") {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "HandleFunc" && sel.Sel.Name != "Handle" {
				return true
			}
			if lit, ok := call.Args[0].(*ast.BasicLit); ok {
				route, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				method, path, _ := strings.Cut(route, " ")
				if (method == "GET" || method == "POST") && len(path) > 1 && !slices.ContainsFunc([]string{"/debug/", "/assets/", "/favicon"}, func(of string) bool { return strings.HasPrefix(path, of) }) {
					routes = append(routes, strings.ReplaceAll(route, "...", ""))
				}
			}
			return true
		})
	}
	return routes
}

// docs/openapi.yaml is what the server's types and routes are.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	doc, _ := describeAPI(t)
	var b strings.Builder
	b.WriteString("# Made by go test ./cmd/triggerd -run TestOpenAPI -update\n")
	for _, m := range doc {
		b.WriteString(m.name + ":")
		yaml(&b, m.value, "  ")
	}
	const path = "../../docs/openapi.yaml"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil || string(have) != b.String() {
		t.Errorf("%s is not what the server has: go test ./cmd/triggerd -run TestOpenAPI -update (%v)", path, err)
	}
	var described []string
	for _, c := range apiCalls {
		described = append(described, c.route)
	}
	routes := routesOf(t)
	slices.Sort(routes)
	slices.Sort(described)
	if !slices.Equal(routes, described) {
		t.Errorf("the server has the routes\n%s\ndescribed are\n%s", strings.Join(routes, "\n"), strings.Join(described, "\n"))
	}
}

// Answers of a real daemon have the fields that are described, and no others.
func TestOpenAPIAnswers(t *testing.T) {
	t.Parallel()
	_, s := describeAPI(t)
	srv, dir := redistest.Start(t, "redis-7.0"), t.TempDir()
	rec := newReceiver(t, func(r *http.Request, _ int) int {
		switch r.URL.Path {
		case "/a":
			return http.StatusOK
		case "/dead":
			return http.StatusBadRequest
		}
		return http.StatusServiceUnavailable
	})
	rules := deliveryRules(srv.Addr, rec.URL, rec.URL, "") + fmt.Sprintf("[[rule]]\nname = \"dead\"\nkey = \"dead:*\"\n[[rule.action]]\ntype = \"webhook\"\nurl = %q\n"+
		"[[rule]]\nname = \"counted\"\nkey = \"a:*\"\ncount = { over = 5, within = \"1h\", by = \"key\" }\n[[rule.action]]\ntype = \"log\"\n", rec.URL+"/dead")
	write(t, dir, "rules.toml", rules)
	p, api := startKept(t, dir)
	feed, err := http.Get(api + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Body.Close()
	for _, key := range []string{"a:1", "b:1", "dead:1"} {
		redistest.Do(t, srv, "SET", key, "v")
	}
	awaitAnswer(t, api, `(?s)waits .*dead: permanent.*delivered `, "deliveries", "list", "--key", "*")
	for in := bufio.NewScanner(feed.Body); in.Scan(); {
		if data, ok := strings.CutPrefix(in.Text(), "data: "); ok {
			s.check(t, "events", data, admin.FeedEntry{})
			if strings.Contains(data, `"outcome"`) {
				break
			}
		}
	}
	var list web.Deliveries
	decode(t, mustAsk(t, api, "", "deliveries", "list", "--delivered", "--json"), &list)
	done := fmt.Sprint(list.Deliveries[0].Number)
	for _, one := range []struct{ route, path, body string }{
		{"GET /api/v1/overview", "", ""}, {"GET /api/v1/rates", "", ""}, {"GET /api/v1/rates/{name}", "/api/v1/rates/a", ""}, {"GET /api/v1/rules", "", ""},
		{"GET /api/v1/last-event", "/api/v1/last-event?key=a:1", ""}, {"GET /api/v1/session", "", ""}, {"GET /api/v1/value", "/api/v1/value?key=a:1", ""}, {"POST /api/v1/check", "", `{"text":"[[rule]]\n"}`},
		{"GET /api/v1/status", "", ""}, {"GET /api/v1/rules/{name}", "/api/v1/rules/counted", ""},
		{"GET /api/v1/deliveries", "", ""}, {"GET /api/v1/deliveries", "/api/v1/deliveries?state=delivered", ""},
		{"GET /api/v1/deliveries/{ref}", "/api/v1/deliveries/" + done, ""},
		{"GET /api/v1/dead-letters", "", ""}, {"GET /api/v1/dead-letters/{number}", "/api/v1/dead-letters/1", ""},
		{"GET /api/v1/dead-letters/causes", "", ""}, {"GET /api/v1/dead-letters/export", "", ""},
		{"POST /api/v1/deliveries/retry", "", `{"action":"b"}`}, {"POST /api/v1/deliveries/cancel", "", `{"all":true,"action":"b"}`},
		{"POST /api/v1/deliveries/redeliver", "", `{"numbers":[` + done + `]}`},
		{"POST /api/v1/dead-letters/retry", "", `{"numbers":[1]}`}, {"POST /api/v1/dead-letters/drop", "", `{"all":true}`},
		{"POST /api/v1/reload", "", ""}, {"POST /api/v1/pause", "", `{"name":"target/b","for":"1h"}`}, {"POST /api/v1/resume", "", `{"name":"target/b"}`},
	} {
		i := slices.IndexFunc(apiCalls, func(c apiCall) bool { return c.route == one.route })
		method, path, _ := strings.Cut(one.route, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, api+cmpOr(one.path, path), strings.NewReader(one.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Triggerd", "1")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if _, err := bufio.NewReader(resp.Body).WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s", one.route, resp.Status, b.String())
			continue
		}
		text, _, _ := strings.Cut(b.String(), "\n") // a line of what is exported
		s.check(t, one.route, text, apiCalls[i].answer)
	}
	p.stop()
}

// check checks that a JSON text is what is described of a type.
func (s *schemas) check(t *testing.T, where, text string, of any) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Errorf("%s: %v in %.200s", where, err, text)
		return
	}
	s.checkValue(t, where, v, s.of(reflect.TypeOf(of)))
}

func (s *schemas) checkValue(t *testing.T, where string, v any, schema node) {
	t.Helper()
	if ref, ok := schema.get("$ref").(string); ok {
		schema = s.made[strings.TrimPrefix(ref, "#/components/schemas/")]
	}
	var kinds []any
	switch kind := schema.get("type").(type) {
	case nil:
		return // anything
	case []any:
		kinds = kind
	default:
		kinds = []any{kind}
	}
	is := map[any]bool{}
	switch v := v.(type) {
	case nil:
		is["null"] = true
	case bool:
		is["boolean"] = true
	case float64:
		is["number"], is["integer"] = true, v == float64(int64(v))
	case string:
		is["string"] = true
	case []any:
		is["array"] = true
		items, _ := schema.get("items").(node)
		for i, e := range v {
			s.checkValue(t, fmt.Sprintf("%s[%d]", where, i), e, items)
		}
	case map[string]any:
		is["object"] = true
		s.checkObject(t, where, v, schema)
	}
	if !slices.ContainsFunc(kinds, func(kind any) bool { return is[kind] }) {
		t.Errorf("%s is %v, described is %q", where, v, kinds)
	}
}

func (s *schemas) checkObject(t *testing.T, where string, v map[string]any, schema node) {
	t.Helper()
	properties, isStruct := schema.get("properties").(node)
	each, _ := schema.get("additionalProperties").(node)
	for name, value := range v {
		of := each
		if isStruct {
			if of, _ = properties.get(name).(node); of == nil {
				t.Errorf("%s has a field %s, which is not described", where, name)
				continue
			}
		}
		if of != nil {
			s.checkValue(t, where+"."+name, value, of)
		}
	}
	required, _ := schema.get("required").([]any)
	for _, name := range required {
		if _, there := v[name.(string)]; !there {
			t.Errorf("%s has no field %v, which is described as required", where, name)
		}
	}
}
