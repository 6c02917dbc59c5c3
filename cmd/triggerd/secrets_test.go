package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"triggerd/internal/redistest"
)

var percentEncoded = regexp.MustCompile("%..")

// formsOf are the ways in which the receiver and the program of these tests
// repeat what they got.
func formsOf(s string) []string {
	asJSON, _ := json.Marshal(s)
	inJSON := string(asJSON[1 : len(asJSON)-1])
	quoted := strconv.QuoteToASCII(s)
	forms := []string{
		s, url.QueryEscape(s), url.PathEscape(s), percentEncoded.ReplaceAllStringFunc(url.QueryEscape(s), strings.ToLower),
		inJSON, strings.ReplaceAll(strings.ReplaceAll(inJSON, `\`, `\\`), `"`, `\"`), quoted[1 : len(quoted)-1], html.EscapeString(s), hex.EncodeToString([]byte(s)),
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		for _, before := range []string{"", "u", "u:"} {
			forms = append(forms, enc.EncodeToString([]byte(before+s)))
		}
	}
	return forms
}

// echo is a receiver that says all it got, in every form, with the status that
// the path asks for.
type echo struct {
	*httptest.Server
	mu   sync.Mutex
	more []string                     // that it says too
	got  map[string]map[string]string // by status: what it got
}

func newEcho(t *testing.T) *echo {
	e := &echo{got: map[string]map[string]string{}}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, password, _ := r.BasicAuth()
		status, part, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		got := map[string]string{"header": r.Header.Get("X-Trace"), "path": part, "query": r.URL.Query().Get("x"), "body": strings.TrimPrefix(string(body), "it is "), "basic": password}
		e.mu.Lock()
		e.got[status] = got
		more := e.more
		e.mu.Unlock()
		code, _ := strconv.Atoi(status)
		w.WriteHeader(code)
		fmt.Fprintln(w, r.RequestURI, string(body), r.Header)
		for _, v := range got {
			more = append(more, formsOf(v)...)
		}
		fmt.Fprintln(w, strings.Join(more, "\n"))
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *echo) received(status string) map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.got[status]
}

// leaks returns the forms of the values that are in a text, which may be JSON
// itself, or the escaped text of a log.
func leaks(text string, values map[string]string) (found []string) {
	for name, v := range values {
		for _, form := range formsOf(v) {
			inJSON, _ := json.Marshal(form)
			for _, written := range []string{form, strings.ReplaceAll(form, `\`, `\\`), string(inJSON[1 : len(inJSON)-1])} {
				if strings.Contains(text, written) {
					found = append(found, name+": "+written)
				}
			}
		}
	}
	return found
}

// What came from the environment and from files reaches receivers and programs
// as it is, and comes back in no form and to no place: to no log, no command, no
// answer of the API and no file of the store; also not what a reload replaced.
// The names of the fields do not look like those of secrets.
func TestSecretsComeBackNowhere(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	hook, dir := newEcho(t), t.TempDir()
	values := map[string]string{
		"header": `trÄce "5"\x`, "path": "T0 B0", "query": "q&r+s=t", "body": "two\nlines/of <it>", "basic": "p w:d%41",
		"variable": "pl'ain $v", "argument": "mehr\nzeilig 7", "server": "r&d p/w", "replaced": "old-file-value",
	}
	write(t, dir, "query", values["query"]+"\n")
	write(t, dir, "argument", values["argument"]+"\r\n")
	write(t, dir, "rotating", values["replaced"]+"\n")
	env := []string{
		"TRIGGERD_HTTP=", "V_HEADER=" + values["header"], "V_PATH=" + values["path"], "V_BODY=" + values["body"],
		"V_BASIC=" + values["basic"], "V_VARIABLE=" + values["variable"], "V_SERVER=" + values["server"], "V_UNUSED=",
	}
	redistest.Do(t, srv, "ACL", "SETUSER", "follower", "on", ">"+values["server"], "+psync", "+replconf", "+ping")
	rules := fmt.Sprintf(`
[source]
url = "redis://follower:${env:V_SERVER}@%s"
[http]
listen = "127.0.0.1:0"
[defaults]
retry = { backoff = "10ms", max_backoff = "20ms", max_attempts = 1000 }
`, srv.Addr)
	for _, status := range []string{"200", "503", "410"} {
		rules += fmt.Sprintf(`
[[rule]]
name = "web-%s"
key = "k:*"
[[rule.action]]
type = "webhook"
url = "%s/%s/${env:V_PATH}?x=${file:query}&y=${env:V_UNUSED:-a-default}"
headers = { X-Trace = "${env:V_HEADER}", X-Rotated = "${file:rotating}" }
body = "it is ${env:V_BODY}"
basic = { user = "me", password = "${env:V_BASIC}" }
`, status, hook.URL, status)
	}
	for _, code := range []string{"0", "1", "65"} {
		rules += fmt.Sprintf(`
[[rule]]
name = "exec-%s"
key = "k:*"
[[rule.action]]
type = "exec"
command = ["sh", "-c", "printf '%%s' \"$X\" > got-x; printf '%%s' \"$0\" > got-0; env; echo \"$0\"; printf '%%s' \"$X\" | base64; env | base64; printf '%%s' \"$0\" | od -An -tx1 | tr -d ' \\n'; echo a-default; exit %s", "${file:argument}"]
env = { X = "${env:V_VARIABLE}" }
`, code, code)
	}
	write(t, dir, "rules.toml", rules)
	p := startWith(t, command(t, dir, "--log-level", "debug"), env...)
	p.logs.await(t, `msg="attached`, 1)
	api := apiOf(t, p)
	redistest.Do(t, srv, "SET", "k:1", "value")

	awaitAnswer(t, api, `web-503(.*\n)+.*exec-1|exec-1(.*\n)+.*web-503`, "deliveries", "list", "--failing")
	awaitAnswer(t, api, `web-410(.*\n)+.*exec-65|exec-65(.*\n)+.*web-410`, "dlq", "list")
	awaitAnswer(t, api, `web-200(.*\n)+.*exec-0|exec-0(.*\n)+.*web-200`, "deliveries", "list", "--delivered")
	for _, status := range []string{"200", "503", "410"} {
		for name, got := range hook.received(status) {
			if got != values[name] {
				t.Errorf("%s: the receiver got the %s %q, want %q", status, name, got, values[name])
			}
		}
	}
	awaitFile(t, filepath.Join(dir, "got-x"), values["variable"])
	awaitFile(t, filepath.Join(dir, "got-0"), values["argument"])

	// What a reload replaced is told by who remembers it.
	hook.mu.Lock()
	hook.more = formsOf(values["replaced"])
	hook.mu.Unlock()
	values["replacing"] = "new-file-value"
	write(t, dir, "rotating", values["replacing"])
	for n := range 2 { // by who knows no better, twice
		p.signal(syscall.SIGHUP)
		p.logs.await(t, `msg="rules reloaded"`, n+1)
	}
	redistest.Do(t, srv, "SET", "k:2", "value")
	awaitAnswer(t, api, `(?s)k:2.*410 Gone`, "dlq", "list")

	told := map[string]string{}
	tell := func(args ...string) string {
		out := mustAsk(t, api, "", args...)
		told[strings.Join(args, " ")] = out
		return out
	}
	for _, asJSON := range [][]string{nil, {"--json"}} {
		tell(append([]string{"status", "--all"}, asJSON...)...)
		tell(append([]string{"deliveries", "list"}, asJSON...)...)
		tell(append([]string{"deliveries", "list", "--failing"}, asJSON...)...)
		tell(append([]string{"deliveries", "list", "--delivered"}, asJSON...)...)
		tell(append([]string{"dlq", "list"}, asJSON...)...)
	}
	var list struct {
		Deliveries  []struct{ Number uint64 }
		DeadLetters []struct{ Number uint64 } `json:"dead_letters"`
	}
	for _, of := range []string{"deliveries list --json", "deliveries list --delivered --json", "dlq list --json"} {
		list.Deliveries, list.DeadLetters = nil, nil
		if err := json.Unmarshal([]byte(told[of]), &list); err != nil || len(list.Deliveries)+len(list.DeadLetters) == 0 {
			t.Fatalf("%s: %v, %s", of, err, told[of])
		}
		for _, each := range append(list.Deliveries, list.DeadLetters...) {
			number := strconv.FormatUint(each.Number, 10)
			tell(strings.Fields(of)[0], "show", number)
			tell(strings.Fields(of)[0], "show", number, "--json")
		}
	}
	tell("dlq", "export")
	p.stop()
	told["log"] = p.logs.String()
	err := filepath.WalkDir(filepath.Join(dir, "triggerd-data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		told[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	marks := 0
	for what, text := range told {
		marks += strings.Count(text, "***")
		for _, leak := range leaks(text, values) {
			t.Errorf("%s tells the %s", what, leak)
		}
	}
	if marks < 100 {
		t.Errorf("only %d marks: was anything repeated?", marks)
	}
	if out := told["dlq export"]; !strings.Contains(out, "a-default") || !strings.Contains(out, `"key":"k:2"`) {
		t.Errorf("more than secrets is masked: %s", out)
	}
}

// Data that has a secret in it is delivered and shown as it is.
func TestDataIsNeverMasked(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	hook, dir := newSink(t), t.TempDir()
	hook.setReply(func(d *delivery) int {
		if d.Data.Attempt == 1 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	write(t, dir, "rules.toml", fmt.Sprintf(`
[source]
url = "redis://%s"
[http]
listen = "127.0.0.1:0"
[[rule]]
name = "data"
key = "*"
[[rule.action]]
type = "webhook"
url = "%s/in"
headers = { X = "${env:V}" }
retry = { backoff = "1h", max_backoff = "1h" }
[[rule.action]]
type = "log"
message = "from ${env:V}: {{.key}}"
`, srv.Addr, hook.URL))
	const secret = "any-word"
	p := startWith(t, command(t, dir), "TRIGGERD_HTTP=", "V="+secret)
	p.logs.await(t, `msg="attached`, 1)
	api := apiOf(t, p)
	redistest.Do(t, srv, "SET", "k:"+secret, secret)
	awaitAnswer(t, api, `503 Service`, "deliveries", "list", "--failing")
	out := mustAsk(t, api, `"key":"k:any-word"`, "deliveries", "show", "1", "--json")
	if !strings.Contains(out, `"args":["k:any-word","any-word"]`) {
		t.Errorf("shown as %s", out)
	}
	p.logs.await(t, `msg="from ***: k:any-word" rule=data event=set key=k:any-word`, 1)
	mustAsk(t, api, "", "deliveries", "retry", "1")
	d := hook.await(t, "the delivery", func(ds []delivery) bool { return len(ds) == 1 })[0]
	if d.Data.Key != "k:"+secret || d.value() != secret {
		t.Errorf("delivered %+v", d)
	}
	p.stop()
}
