package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/redistest"
	"triggerd/internal/web"
)

// receiver answers each request as a test says, which may wait, and notes the
// requests that it has answered.
type receiver struct {
	*httptest.Server
	answer func(r *http.Request, n int) int // n counts the requests of one ID, from 1

	mu   sync.Mutex // guards what follows
	seen []requested
	of   map[string]int
}

type requested struct {
	id          string
	redelivered bool
	status      int
}

func newReceiver(t *testing.T, answer func(r *http.Request, n int) int) *receiver {
	rec := &receiver{answer: answer, of: map[string]int{}}
	rec.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Webhook-Id")
		rec.mu.Lock()
		rec.of[id]++
		n := rec.of[id]
		rec.mu.Unlock()
		status := rec.answer(r, n)
		rec.mu.Lock()
		rec.seen = append(rec.seen, requested{id, r.Header.Get("Triggerd-Redelivered") == "true", status})
		rec.mu.Unlock()
		w.WriteHeader(status)
		fmt.Fprintf(w, "answer %d to %s", status, r.Header.Get("Authorization"))
	}))
	t.Cleanup(rec.Close)
	return rec
}

func (r *receiver) list() []requested {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// deliveryRules have a target for keys a:* and another for keys b:*.
func deliveryRules(addr, a, b, store string) string {
	rules := fmt.Sprintf("[source]\nurl = \"redis://%s\"\n[http]\nlisten = \"127.0.0.1:0\"\n[store]\n%s\n[defaults]\ntimeout = \"60s\"\nretry = { backoff = \"100ms\", max_backoff = \"100ms\", max_attempts = 1000 }\n", addr, store)
	for name, url := range map[string]string{"a": a, "b": b} {
		if url == "" {
			continue
		}
		rules += fmt.Sprintf("[targets.%s]\ntype = \"webhook\"\nurl = %q\nbearer = \"s3cret-of-the-target\"\n[[rule]]\nname = %q\nkey = \"%s:*\"\n[[rule.action]]\ntarget = %q\n", name, url+"/"+name, name, name, name)
	}
	return rules
}

// startKept starts triggerd on rules, and returns it with its API.
func startKept(t *testing.T, dir string, env ...string) (*process, string) {
	t.Helper()
	p := startWith(t, command(t, dir), append([]string{"TRIGGERD_HTTP="}, env...)...)
	p.logs.await(t, `msg="attached`, 1)
	return p, apiOf(t, p)
}

// wantFailure asks for what has to fail with exit code 1 and one sentence.
func wantFailure(t *testing.T, api, want string, args ...string) {
	t.Helper()
	out, err := ask(t, api, args...)
	if err == nil || !strings.Contains(err.Error(), "exit code 1: triggerd: ") || !strings.Contains(err.Error(), want) {
		t.Errorf("triggerd %s: %v, want %q\n%s", strings.Join(args, " "), err, want, out)
	}
}

// A delivery that was made is kept whole, over a restart: its attempts, what was
// sent, without secrets, and its event. It can be made once more, under its ID.
func TestDeliveriesKept(t *testing.T) {
	t.Parallel()
	srv, dir := redistest.Start(t, "redis-7.0"), t.TempDir()
	rec := newReceiver(t, func(r *http.Request, n int) int {
		if r.URL.Path == "/a" && n < 3 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	write(t, dir, "rules.toml", deliveryRules(srv.Addr, rec.URL, rec.URL, ""))
	p, api := startKept(t, dir)
	redistest.Do(t, srv, "SET", "a:1", "v")
	redistest.Do(t, srv, "SET", "b:1", "v")
	awaitAnswer(t, api, `(?s)delivered +\d+ .*delivered +\d+ `, "deliveries", "list", "--key", "?:1")
	p.stop()
	p, api = startKept(t, dir)

	var list web.Deliveries
	decode(t, mustAsk(t, api, "", "deliveries", "list", "--delivered", "--rule", "a", "--since", "2d1h", "--json"), &list)
	if len(list.Deliveries) != 1 || list.Deliveries[0].Key != "a:1" || list.Deliveries[0].Attempts != 3 || list.Deliveries[0].Code != 200 {
		t.Fatalf("got %+v", list)
	}
	d := list.Deliveries[0]
	number := strconv.FormatUint(d.Number, 10)
	for _, ref := range []string{number, d.ID} {
		var one admin.Delivery
		text := mustAsk(t, api, "", "deliveries", "show", ref, "--json")
		decode(t, text, &one)
		var outcomes []string
		for _, a := range one.Timeline {
			outcomes = append(outcomes, fmt.Sprint(a.Number, a.Outcome, a.Code))
			if a.At.IsZero() || a.Seconds <= 0 {
				t.Errorf("an attempt without its time: %+v", a)
			}
		}
		if got := strings.Join(outcomes, " "); got != "1retried503 2retried503 3delivered200" {
			t.Errorf("show %s: attempts %s", ref, got)
		}
		if r := one.Request; r == nil || !r.Sent || r.Call[0] != "POST" || r.Call[1] != rec.URL+"/a" || r.Body != string(one.Firing) || !strings.Contains(r.Body, `"attempt":3`) {
			t.Errorf("show %s: request %+v", ref, one.Request)
		}
		if strings.Contains(text, "s3cret") || !strings.Contains(text, "Bearer ***") {
			t.Errorf("show %s: a secret is shown, or no header:\n%s", ref, text)
		}
	}
	mustAsk(t, api, "  200   answer 200 to ***\n", "deliveries", "show", number)
	decode(t, mustAsk(t, api, "", "deliveries", "list", "--key", "a:*", "-o", "json"), &struct{}{}) // one answer, not three

	mustAsk(t, api, "1 firing pending once more", "deliveries", "redeliver", number, number)
	awaitAnswer(t, api, `delivered .* 200 \(once more\)`, "deliveries", "list", "--id", d.ID)
	seen := rec.list()
	if last := seen[len(seen)-1]; last.id != d.ID || !last.redelivered || slices.ContainsFunc(seen[:len(seen)-1], func(r requested) bool { return r.redelivered }) {
		t.Errorf("received %+v", seen)
	}
	mustAsk(t, api, `"redelivered": true`, "deliveries", "show", d.ID)
	p.logs.await(t, `msg="delivered once more" by="127.0.0.1, without a token" count=1`, 1)

	wantFailure(t, api, "delivery 4711 was not delivered, or is no longer kept", "deliveries", "redeliver", "4711")
	wantFailure(t, api, "nothing that was delivered and is kept is selected", "deliveries", "redeliver", "--all", "--key", "c:*")
	wantFailure(t, api, "and 1 were expected: nothing was done", "deliveries", "redeliver", "--all", "--expect", "1")
	write(t, dir, "rules.toml", deliveryRules(srv.Addr, "http://127.0.0.1:1", "", ""))
	p.signal(syscall.SIGHUP)
	p.logs.await(t, `msg="rules reloaded"`, 1)
	wantFailure(t, api, "and target/a goes to http://127.0.0.1:1 now; ask for it with changed (--changed)", "deliveries", "redeliver", number)
	wantFailure(t, api, "which no rule has any more", "deliveries", "redeliver", "--all", "--rule", "b")
	mustAsk(t, api, "1 firing pending once more", "deliveries", "redeliver", number, "--changed")
	p.stop()
	wantWhole(t, dir)
}

func decode(t *testing.T, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// wantWhole verifies a data directory.
func wantWhole(t *testing.T, dir string) {
	t.Helper()
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"store", "verify", filepath.Join(dir, defaultDataDir)}, &out, &errs); code != exitOK {
		t.Errorf("store verify: exit code %d\n%s%s", code, &out, &errs)
	}
}

// What was delivered is on disk soon after, though nothing else is written: a copy
// of the data directory, as kill -9 would leave it, has nothing that waits.
func TestDeliveredIsOnDisk(t *testing.T) {
	t.Parallel()
	srv, dir := redistest.Start(t, "redis-7.0", "--repl-ping-replica-period", "3600"), t.TempDir() // whose PING would be a position to commit
	rec := newReceiver(t, func(*http.Request, int) int { return http.StatusOK })
	write(t, dir, "rules.toml", deliveryRules(srv.Addr, rec.URL, rec.URL, ""))
	p, api := startKept(t, dir)
	redistest.Do(t, srv, "SET", "a:1", "v")
	awaitAnswer(t, api, "delivered +1 ", "deliveries", "list", "--key", "a:1")
	limit := time.After(patience)
	for n := 0; ; n++ {
		var out, errs strings.Builder
		copied := filepath.Join(dir, fmt.Sprint("copy", n))
		err := os.CopyFS(copied, os.DirFS(filepath.Join(dir, defaultDataDir)))
		if err == nil && run(t.Context(), []string{"store", "verify", copied}, &out, &errs) == exitOK && strings.Contains(out.String(), ": 0 pending firings") {
			break
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-limit:
			t.Fatalf("%v\n%s%s", err, &out, &errs)
		}
	}
	p.stop()
}

// With show_values = false no values are shown of what is kept, and read_token
// changes nothing.
func TestDeliveriesHidden(t *testing.T) {
	srv, dir := redistest.Start(t, "redis-7.0"), t.TempDir()
	rec := newReceiver(t, func(r *http.Request, _ int) int {
		if r.URL.Path == "/a" {
			return http.StatusOK
		}
		return http.StatusBadRequest
	})
	rules := strings.Replace(deliveryRules(srv.Addr, rec.URL, rec.URL, ""), "[http]\n", "[http]\nshow_values = false\ntoken = \"changes-everything\"\nread_token = \"reads-everything\"\n", 1)
	write(t, dir, "rules.toml", rules)
	p, api := startKept(t, dir)
	redistest.Do(t, srv, "SET", "a:1", "a-private-value")
	redistest.Do(t, srv, "SET", "b:1", "a-private-value")
	t.Setenv("TRIGGERD_TOKEN", "reads-everything")
	awaitAnswer(t, api, `(?s)dead: permanent .*b:1.*delivered .*a:1`, "deliveries", "list", "--key", "?:1")
	var list web.Deliveries
	decode(t, mustAsk(t, api, "", "deliveries", "list", "--delivered", "--json"), &list)
	number := fmt.Sprint(list.Deliveries[0].Number)
	for _, args := range [][]string{{"deliveries", "show", number}, {"dlq", "show", "1"}, {"dlq", "causes"}, {"deliveries", "list", "--key", "*"}} {
		if text := mustAsk(t, api, "", append(args, "--json")...); strings.Contains(text, "private") || strings.Contains(text, "answer ") || strings.Contains(text, `"request"`) {
			t.Errorf("%v shows\n%s", args, text)
		}
	}
	mustAsk(t, api, "400 Bad Request", "dlq", "causes")
	mustAsk(t, api, "400 Bad Request", "dlq", "show", "1")
	wantFailure(t, api, "this token only reads", "deliveries", "redeliver", number)
	wantFailure(t, api, "this token only reads", "deliveries", "cancel", "--all")
	t.Setenv("TRIGGERD_TOKEN", "changes-everything")
	mustAsk(t, api, "1 firing pending once more", "deliveries", "redeliver", number)
	p.logs.await(t, `msg="delivered once more" by="127.0.0.1, with token" count=1`, 1)
	mustAsk(t, api, "0 dead letters", "dlq", "retry", "--all", "--error", "500 Internal Server Error")
	mustAsk(t, api, "1 dead letter pending again", "dlq", "retry", "--all", "--error", "400 Bad Request")
	p.stop()
}

// Nothing is kept where keep_delivered is 0, and what was kept goes.
func TestDeliveriesNotKept(t *testing.T) {
	t.Parallel()
	srv, dir := redistest.Start(t, "redis-7.0"), t.TempDir()
	rec := newReceiver(t, func(*http.Request, int) int { return 200 })
	for i, store := range []string{"", "keep_delivered = \"0\""} {
		write(t, dir, "rules.toml", deliveryRules(srv.Addr, rec.URL, "", store))
		p, api := startKept(t, dir)
		redistest.Do(t, srv, "SET", "a:1", "v")
		awaitAnswer(t, api, `200`, "deliveries", "list", "--delivered", "--rule", "a")
		if i == 1 {
			wantFailure(t, api, "deliveries are not kept: [store] keep_delivered is 0", "deliveries", "redeliver", "1")
			mustAsk(t, api, "nothing was delivered that is still kept", "deliveries", "list", "--delivered", "--key", "a:*")
		}
		p.stop()
	}
}

// What waits is cancelled, by key and by number, in flight too, and the lane goes
// on in order. It can be undone.
func TestCancel(t *testing.T) {
	t.Parallel()
	srv, dir := redistest.Start(t, "redis-7.0"), t.TempDir()
	hold := make(chan int)
	rec := newReceiver(t, func(r *http.Request, n int) int {
		if r.URL.Path == "/b" {
			return http.StatusServiceUnavailable
		}
		select {
		case status := <-hold:
			return status
		case <-time.After(patience):
			return http.StatusTeapot
		}
	})
	write(t, dir, "rules.toml", deliveryRules(srv.Addr, rec.URL, rec.URL, ""))
	p, api := startKept(t, dir)
	numbers := func(key string) (list []string) {
		var ds web.Deliveries
		decode(t, mustAsk(t, api, "", "deliveries", "list", "--key", key, "--failing", "--json"), &ds)
		decode(t, mustAsk(t, api, "", "deliveries", "list", "--action", "a", "--json"), &ds)
		for _, d := range ds.Deliveries {
			if d.Key == key {
				list = append(list, strconv.FormatUint(d.Number, 10))
			}
		}
		return list
	}
	set := func(key string, n int) {
		for i := range n {
			redistest.Do(t, srv, "SET", key, strconv.Itoa(i))
		}
	}
	set("a:1", 4)
	awaitAnswer(t, api, `(?m)^target/a .* 4 .* 1 `, "status")                        // 4 wait, 1 is in flight
	awaitAnswer(t, api, `(?s)(\ba:1\b.*){4}`, "deliveries", "list", "--action", "a") // all are on disk, too
	of := numbers("a:1")
	if len(of) != 4 {
		t.Fatalf("waiting: %v", of)
	}
	wantFailure(t, api, "delivery 999 does not wait", "deliveries", "cancel", of[1], "999")
	wantFailure(t, api, "nothing that waits is selected", "deliveries", "cancel", "--all", "--key", "none*")
	mustAsk(t, api, "1 firing cancelled\n", "deliveries", "cancel", of[1]) // in the middle

	// The first is in flight, and is delivered; the others are not.
	answered := make(chan string, 1)
	go func() {
		out, err := ask(t, api, "deliveries", "cancel", "--all", "--key", "a:1")
		answered <- fmt.Sprint(out, err)
	}()
	awaitDead(t, api, 3)
	hold <- http.StatusOK
	if got := <-answered; !strings.Contains(got, "2 firings cancelled\n"+of[0]+": an attempt was in flight, and succeeded: delivered") {
		t.Errorf("got %s", got)
	}
	// One in flight fails, and is cancelled. The lane goes on with the next write.
	set("a:1", 2)
	awaitAnswer(t, api, `(?m)^target/a .* 2 .* 1 `, "status")
	awaitAnswer(t, api, `(?s)(\ba:1\b.*){2}`, "deliveries", "list", "--action", "a")
	of = numbers("a:1")
	go func() {
		out, err := ask(t, api, "deliveries", "cancel", "--all", "--action", "a", "--since", "1h")
		answered <- fmt.Sprint(out, err)
	}()
	awaitDead(t, api, 4)
	hold <- http.StatusServiceUnavailable
	if got := <-answered; !strings.Contains(got, "2 firings cancelled\n"+of[0]+": an attempt was in flight, and failed: cancelled") {
		t.Errorf("got %s", got)
	}
	set("a:1", 1)
	hold <- http.StatusOK
	awaitAnswer(t, api, `nothing waits`, "deliveries", "list", "--action", "a")

	// A lane that sleeps goes on at once with what came after.
	set("b:1", 2)
	awaitAnswer(t, api, `(?s)(\bb:1\b.*){2}`, "deliveries", "list", "--action", "b")
	awaitAnswer(t, api, `b:1 +[1-9]`, "deliveries", "list", "--failing", "--action", "b")
	mustAsk(t, api, "2 firings cancelled", "deliveries", "cancel", "--all", "--rule", "b")
	mustAsk(t, api, "nothing waits", "deliveries", "list")

	var causes web.Causes
	decode(t, mustAsk(t, api, "", "dlq", "causes", "--json"), &causes)
	if len(causes.Causes) < 3 || causes.Causes[0].Count != 4 || causes.Causes[0].Reason != "cancelled" || causes.Causes[0].Action != "target/a" {
		t.Errorf("causes %+v", causes)
	}
	wantFailure(t, api, "there are 4 by now, and 2 were expected", "dlq", "retry", "--all", "--action", "a", "--error", causes.Causes[0].Error, "--expect", "2")
	mustAsk(t, api, "4 dead letters pending again", "dlq", "retry", "--all", "--action", "a", "--error", causes.Causes[0].Error, "--expect", "4")
	for range 4 {
		hold <- http.StatusOK
	}
	wantFailure(t, api, "triggerd: no dead letter has the number 4711", "dlq", "retry", "4711")
	wantFailure(t, api, "triggerd: no dead letter has the number 4711", "dlq", "drop", "4711")
	mustAsk(t, api, "2 dead letters dropped", "dlq", "drop", "--all", "--reason", "cancelled", "--key", "b:?")
	awaitAnswer(t, api, `nothing waits`, "deliveries", "list")
	p.logs.await(t, `msg="firings cancelled" by="127.0.0.1, without a token"`, 4)
	p.stop()
	wantWhole(t, dir)
}

// awaitDead waits until there are so many dead letters.
func awaitDead(t *testing.T, api string, n int) {
	t.Helper()
	awaitAnswer(t, api, fmt.Sprintf(`; %d dead letter`, n), "status")
}

// The process is killed during a cancel and during a redelivery: each firing
// waits, or is a dead letter, or was delivered, and what comes twice has its ID.
func TestKilledDuringChange(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"cancelling", "cancelled", "redelivering", "redelivered"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			srv, dir := redistest.Start(t, "redis-7.0"), t.TempDir()
			const n = 450 // more than one batch
			rec := newReceiver(t, func(r *http.Request, _ int) int {
				if r.URL.Path == "/b" {
					return http.StatusServiceUnavailable
				}
				return http.StatusOK
			})
			write(t, dir, "rules.toml", deliveryRules(srv.Addr, rec.URL, rec.URL, ""))
			p, api := startKept(t, dir, "TRIGGERD_FAILPOINT="+point+":2")
			key, state := "b:", "waits"
			if strings.HasPrefix(point, "redeliver") {
				key, state = "a:", "delivered"
			}
			c := redistest.Dial(t, srv)
			for i := range n {
				if _, err := c.Do("SET", key+strconv.Itoa(i), "v"); err != nil {
					t.Fatal(err)
				}
			}
			count := func() (all int, found everything) {
				decode(t, mustAsk(t, api, "", "deliveries", "list", "--key", key+"*", "--limit", "1000", "--json"), &found)
				return len(found.Pending) + len(found.DeadLetters) + len(found.Delivered), found
			}
			for limit := time.After(patience); ; {
				_, found := count()
				if state == "waits" && len(found.Pending) == n || state == "delivered" && len(found.Delivered) == n {
					break
				}
				select {
				case <-time.After(20 * time.Millisecond):
				case <-limit:
					t.Fatalf("%d wait, %d are dead, %d delivered, of %d", len(found.Pending), len(found.DeadLetters), len(found.Delivered), n)
				}
			}
			action := "cancel"
			if state == "delivered" {
				action = "redeliver"
			}
			if out, err := ask(t, api, "deliveries", action, "--all", "--key", key+"*"); err == nil {
				t.Errorf("it was answered: %s", out)
			}
			<-p.ended
			if code := p.cmd.ProcessState.ExitCode(); code != 86 {
				t.Fatalf("exit code %d, want that of the failpoint; log:\n%s", code, p.logs)
			}
			p, api = startKept(t, dir)
			if action == "cancel" {
				all, found := count()
				if all != n || len(found.DeadLetters) < 200 || len(found.DeadLetters) == n {
					t.Errorf("%d wait, %d are dead, %d delivered, of %d", len(found.Pending), len(found.DeadLetters), len(found.Delivered), n)
				}
				mustAsk(t, api, fmt.Sprintf("%d firings cancelled", len(found.Pending)), "deliveries", "cancel", "--all", "--rule", "b")
			} else {
				awaitAnswer(t, api, `nothing waits`, "deliveries", "list")
				once := map[string]int{}
				for _, r := range rec.list() {
					if r.redelivered {
						once[r.id]++
					}
				}
				if len(once) < 200 || len(once) == n {
					t.Errorf("%d of %d were delivered once more", len(once), n)
				}
				_, found := count()
				for _, d := range found.Delivered {
					if d.ID == "" || !strings.HasSuffix(d.ID, ":a/a") {
						t.Errorf("delivered under %q", d.ID)
					}
				}
			}
			p.stop()
			wantWhole(t, dir)
		})
	}
}

// A cancel is on disk though the attempt in flight has not ended: the process is
// killed meanwhile, and the firing does not come back by itself.
func TestKilledWhileCancelling(t *testing.T) {
	srv, dir := redistest.Start(t, "redis-7.0"), t.TempDir()
	hold, arrived := make(chan int), make(chan struct{}, 10)
	rec := newReceiver(t, func(r *http.Request, _ int) int {
		_, _ = io.Copy(io.Discard, r.Body) // from here on the server sees when the sender is gone
		arrived <- struct{}{}
		select {
		case status := <-hold:
			return status
		case <-r.Context().Done():
			return http.StatusTeapot
		case <-time.After(patience):
			return http.StatusTeapot
		}
	})
	defer close(hold)
	write(t, dir, "rules.toml", deliveryRules(srv.Addr, rec.URL, "", ""))
	p, api := startKept(t, dir)
	redistest.Do(t, srv, "SET", "a:1", "in flight")
	redistest.Do(t, srv, "SET", "a:1", "waits")
	<-arrived
	awaitAnswer(t, api, `(?s)(\ba:1\b.*){2}`, "deliveries", "list", "--action", "a")
	answered := make(chan error, 1)
	go func() {
		_, err := ask(t, api, "deliveries", "cancel", "--all", "--key", "a:1")
		answered <- err
	}()
	awaitDead(t, api, 1) // what waits; in the same commit is what is in flight
	p.kill()
	if err := <-answered; err == nil {
		t.Error("the cancel was answered before its attempt had ended")
	}
	for limit := time.After(patience); len(rec.list()) == 0; { // else it may be told what the next attempts are held for
		select {
		case <-time.After(10 * time.Millisecond):
		case <-limit:
			t.Fatal("the receiver does not see that the sender is gone")
		}
	}
	p, api = startKept(t, dir)
	awaitDead(t, api, 2)
	mustAsk(t, api, "nothing waits", "deliveries", "list")
	p.logs.await(t, `msg="firing is cancelled: triggerd had ended during an attempt, so it may have been delivered" action=target/a`, 1)
	mustAsk(t, api, "cancelled by 127.0.0.1, without a token during an attempt, which may have succeeded", "dlq", "list")
	if n := len(arrived); n > 0 {
		t.Errorf("%d attempts more were made", n)
	}
	mustAsk(t, api, "2 dead letters pending again", "dlq", "retry", "--all")
	<-arrived
	hold <- http.StatusOK
	<-arrived
	hold <- http.StatusOK
	awaitAnswer(t, api, "nothing waits", "deliveries", "list")
	p.stop()
	wantWhole(t, dir)
}
