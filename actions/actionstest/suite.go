package actionstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// Secret is what the action under test must be given wherever its kind takes a
// credential. The suite fails if it finds it in the text of an error.
const Secret = "Kx7-suite-secret-Qz9"

// Unrenderable is a template that fails for the firing that Firing returns, and not
// for the one that templates are tried on when they are parsed.
const Unrenderable = `{{if eq .db 3}}{{date (printf "%0999d" 1) .time}}{{end}}`

// Firing returns a firing with every field set, binary arguments among them.
// The caller owns it.
func Firing() *actions.Firing {
	return &actions.Firing{
		ID:     "8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6:851576/0:stock-zero/crm",
		Rule:   "stock-zero",
		Action: "crm",
		Event: &event.Event{
			Name: "incrby", Origin: event.FromStream, Cause: event.CauseCommand,
			DB: 3, Key: []byte("stock:42"), Type: "string", Command: "DECRBY",
			Args: [][]byte{[]byte("stock:42"), []byte("3"), {0xff, 0x00, '\n'}},
			Time: time.Date(2026, 11, 23, 9, 12, 5, 123e6, time.UTC), Bytes: 41,
			ReplID: "8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6", Offset: 851576,
			Tx:     event.Tx{ID: "8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6:851600", Index: 1, Size: 3},
			Source: "redis://prod-a:6379",
		},
		Params:  map[string]string{"sku": "42"},
		Attempt: 1,
	}
}

// Run checks an action that delivers at once. newAction is called for each
// check; the suite closes what it returns.
func Run(t *testing.T, newAction func(t *testing.T) actions.Action) {
	start := func(t *testing.T) actions.Action {
		CheckLeaks(t)
		a := newAction(t)
		if c, ok := a.(io.Closer); ok {
			t.Cleanup(func() { c.Close() })
		}
		return a
	}
	t.Run("concurrent", func(t *testing.T) { concurrent(t, start(t)) })
	t.Run("firing borrowed", func(t *testing.T) { borrowed(t, start(t)) })
	t.Run("context done", func(t *testing.T) { contextDone(t, start(t)) })
	t.Run("any key", func(t *testing.T) { anyKey(t, start(t)) })
	t.Run("preview", func(t *testing.T) { preview(t, start(t)) })
	t.Run("sent", func(t *testing.T) { sent(t, start(t)) })
	if a := newAction(t); isBatcher(t, a) {
		t.Run("batch", func(t *testing.T) { batch(t, start(t), start(t).(actions.Batcher)) })
	}
}

// isBatcher reports whether an action is a Batcher, and closes it.
func isBatcher(t *testing.T, a actions.Action) bool {
	if c, ok := a.(io.Closer); ok {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	_, ok := a.(actions.Batcher)
	return ok
}

// RunWaiting checks an action that is made to wait: newAction returns one whose
// Do, once it has sent on started, ends for no other reason than its context.
func RunWaiting(t *testing.T, newAction func(t *testing.T) (a actions.Action, started <-chan struct{})) {
	t.Run("canceled while waiting", func(t *testing.T) {
		CheckLeaks(t)
		a, started := newAction(t)
		if c, ok := a.(io.Closer); ok {
			t.Cleanup(func() { c.Close() })
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		f := Firing()
		go func() {
			_, err := a.Do(ctx, f)
			done <- err
		}()
		select {
		case <-started:
		case err := <-done:
			t.Fatalf("Do returned %v before its context ended", err)
		}
		cancel()
		err := <-done
		if !errors.Is(err, context.Canceled) || actions.IsPermanent(err) {
			t.Errorf("Do returned %v, permanent %v; want context.Canceled, to be tried again", err, actions.IsPermanent(err))
		}
		checkText(t, err)
		scribble(f)
	})
}

func concurrent(t *testing.T, a actions.Action) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 4 {
				f := Firing()
				f.ID += firing.ID(fmt.Sprintf("-%d-%d", g, i))
				if _, err := a.Do(t.Context(), f); err != nil {
					t.Errorf("Do: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// borrowed finds an action that changes a firing by comparing, and one that
// keeps it by overwriting it under the eyes of the race detector.
func borrowed(t *testing.T, a actions.Action) {
	f, want := Firing(), Firing()
	if _, err := a.Do(t.Context(), f); err != nil {
		t.Errorf("Do: %v", err)
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("Do changed the firing to\n%+v\nfrom\n%+v", f, want)
	}
	scribble(f)
	if _, err := a.Do(t.Context(), want); err != nil {
		t.Errorf("Do after the first firing was overwritten: %v", err)
	}
}

func scribble(f *actions.Firing) {
	for i := range f.Event.Key {
		f.Event.Key[i] = 'X'
	}
	for _, arg := range f.Event.Args {
		for i := range arg {
			arg[i] = 'X'
		}
	}
	clear(f.Params)
	*f.Event = event.Event{}
	*f = actions.Firing{}
}

func contextDone(t *testing.T, a actions.Action) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := a.Do(ctx, Firing())
	if !errors.Is(err, context.Canceled) || actions.IsPermanent(err) {
		t.Errorf("Do with a context that is done returned %v, permanent %v; want context.Canceled, to be tried again", err, actions.IsPermanent(err))
	}
	checkText(t, err)
}

// anyKey delivers events with any key, and none. An action may be unable to
// deliver one; it must then say that no retry helps.
func anyKey(t *testing.T, a actions.Action) {
	for _, key := range hostileKeys() {
		f := Firing()
		f.Event.Key = key
		if _, err := a.Do(t.Context(), f); err != nil {
			if !actions.IsPermanent(err) {
				t.Errorf("key %.40q: %v; want delivered, or a permanent error", key, err)
			}
			checkText(t, err)
		}
	}
}

// hostileKeys are keys that no user thought of.
func hostileKeys() [][]byte {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	return [][]byte{nil, {}, []byte("ключ 🔑"), []byte("a\r\nwebhook-id: forged\r\n\r\n"), []byte("../../admin?x=1#y"), []byte("{{.key}}"), []byte("\x1b[31m\u202e"), every, make([]byte, 200<<10)}
}

// preview shows firings with any key. An action need not have a preview; what it
// cannot render it must say no retry helps for.
func preview(t *testing.T, a actions.Action) {
	for _, key := range hostileKeys() {
		f, want := Firing(), Firing()
		f.Event.Key, want.Event.Key = key, key
		p, err := actions.Render(t.Context(), a, f)
		switch {
		case errors.Is(err, actions.ErrNoPreview):
			return
		case err != nil && !actions.IsUnsent(err):
			t.Errorf("key %.40q: %v; want a preview, or an error that is Unsent", key, err)
		}
		checkText(t, err)
		if !reflect.DeepEqual(f, want) {
			t.Errorf("Render changed the firing to\n%+v\nfrom\n%+v", f, want)
		}
		for _, word := range p.Call {
			checkShown(t, word)
		}
		for _, n := range p.Named {
			checkShown(t, n.Name)
			checkShown(t, n.Value)
		}
		for line := range strings.SplitSeq(p.Body, "\n") {
			checkShown(t, strings.ReplaceAll(line, "\t", " "))
		}
		b, err := json.Marshal(p)
		var back actions.Preview
		if err == nil {
			err = json.Unmarshal(b, &back)
		}
		if err != nil || !reflect.DeepEqual(back, p) {
			t.Errorf("key %.40q: %+v became %+v in JSON: %v", key, p, back, err)
		}
		if len(b) > 1<<20 {
			t.Errorf("key %.40q: the preview has %d bytes", key, len(b))
		}
	}
}

// sent checks that what an action tells of what it has sent is what it shows
// beforehand. Values of what is sent by name may differ: one is the time.
func sent(t *testing.T, a actions.Action) {
	for _, key := range hostileKeys() {
		f := Firing()
		f.Event.Key = key
		want, err := actions.Render(t.Context(), a, f)
		res, failed := a.Do(t.Context(), f)
		if err != nil || failed != nil || res.Sent == nil {
			continue
		}
		told := res.Sent()
		got := actions.Sent{Preview: told.Shown(), EventBody: told.EventBody}
		if got.EventBody {
			got.Body += strings.ReplaceAll(string(f.AppendJSON(nil)), "\u202e", `\u202e`) // as a preview escapes it
			want.Body = strings.TrimSuffix(want.Body, "\n")
		}
		names := func(p actions.Preview) (list []string) {
			for _, n := range p.Named {
				list = append(list, n.Name)
			}
			return list
		}
		cut := len(want.Body) > 60<<10 // a preview is cut, and the firing is not
		if !reflect.DeepEqual(got.Call, want.Call) || !slices.Equal(names(got.Preview), names(want)) || got.Body != want.Body && !cut {
			t.Errorf("key %.40q: sent\n%.2000q, want\n%.2000q", key, got, want)
		}
	}
}

// batch checks that Batch comes to what Do comes to, one by one.
func batch(t *testing.T, single actions.Action, b actions.Batcher) {
	var fs, want []*actions.Firing
	for i := range actions.BatchLimit {
		for _, list := range []*[]*actions.Firing{&fs, &want} {
			f := Firing()
			f.ID += firing.ID(fmt.Sprintf("-%d", i))
			switch i % 8 {
			case 3:
				f.Event.Key = nil
			case 5:
				f.Event.Key = bytes.Repeat([]byte{0xff, 0}, 1000)
			}
			*list = append(*list, f)
		}
	}
	if errs := b.Batch(t.Context(), nil); len(errs) != 0 {
		t.Errorf("Batch of no firings returned %d errors", len(errs))
	}
	errs := b.Batch(t.Context(), fs)
	if len(errs) != len(fs) {
		t.Fatalf("Batch of %d firings returned %d errors", len(fs), len(errs))
	}
	for i, err := range errs {
		checkText(t, err)
		_, alone := single.Do(t.Context(), want[i])
		if (err == nil) != (alone == nil) || actions.IsPermanent(err) != actions.IsPermanent(alone) {
			t.Errorf("firing %d: Batch says %v, Do says %v", i, err, alone)
		}
	}
	if !reflect.DeepEqual(fs, want) {
		t.Error("Batch changed a firing, or their order")
	}
	for _, f := range fs {
		scribble(f)
	}
	clear(fs)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	errs = b.Batch(ctx, want[:3])
	if len(errs) != 3 {
		t.Fatalf("Batch of 3 firings with a context that is done returned %d errors", len(errs))
	}
	for _, err := range errs {
		if !errors.Is(err, context.Canceled) || actions.IsPermanent(err) {
			t.Errorf("Batch with a context that is done returned %v, permanent %v; want context.Canceled, to be tried again", err, actions.IsPermanent(err))
		}
		checkText(t, err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i, err := range b.Batch(t.Context(), []*actions.Firing{Firing(), Firing()}) {
				if err != nil {
					t.Errorf("firing %d of Batch: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

// checkText checks that an error can be shown: no secret, nothing unprintable.
func checkText(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	checkShown(t, err.Error())
}

// checkShown checks that a text is fit to be shown: no secret, nothing
// unprintable.
func checkShown(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, Secret) {
		t.Errorf("a text tells the secret: %s", text)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("a text has unprintable characters in it: %q", text)
	}
}

// CheckLeaks fails the test if, after all cleanups registered later than this
// call, more goroutines run than now. Not for parallel tests.
func CheckLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		// Nothing tells that a goroutine has ended, so look until all have.
		for deadline := time.Now().Add(hung); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<20)
				t.Errorf("%d goroutines, %d at the start:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
				return
			}
		}
	})
}

// WantRetry checks that err is one to try again after.
func WantRetry(t testing.TB, err error) {
	t.Helper()
	if err == nil || actions.IsPermanent(err) {
		t.Errorf("got %v, permanent %v; want an error to try again after", err, actions.IsPermanent(err))
	}
}

// hung is far longer than any attempt of these tests may take, and tells one
// that ends from one that does not.
const hung = 30 * time.Second

// EndsWithin makes an attempt, which must end with an error that may be tried
// again after, and returns that.
func EndsWithin(t testing.TB, ctx context.Context, a actions.Action) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := a.Do(ctx, Firing())
		done <- err
	}()
	select {
	case err := <-done:
		WantRetry(t, err)
		return err
	case <-time.After(hung):
		t.Fatal("the attempt does not end")
		return nil
	}
}

// Expiring returns a context whose deadline passes when expire is called: where a
// test gives an attempt the time until something has happened, and no longer.
func Expiring(parent context.Context) (ctx context.Context, expire func()) {
	e := expiring{parent, make(chan struct{})}
	return e, sync.OnceFunc(func() { close(e.done) })
}

type expiring struct {
	context.Context
	done chan struct{}
}

func (e expiring) Done() <-chan struct{} { return e.done }

func (e expiring) Err() error {
	select {
	case <-e.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
