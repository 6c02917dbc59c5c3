package browser

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options are of a page. The zero value is a wide window in light colours.
type Options struct {
	Width, Height int    // in CSS pixels; 0: 1440, 900
	Scheme        string // "light" or "dark"; "": light
}

// Page is a tab of a browser in a context of its own. It is closed when its test
// ends.
type Page struct {
	t       testing.TB
	c       *conn
	session string

	mu       sync.Mutex // guards what follows
	problems []string
}

// shared is the browser of a test binary. It ends with the binary's process.
var shared struct {
	sync.Mutex
	c     *conn
	pages int
}

// acquire returns the shared browser, which release gives back. The last one to
// do so ends it.
func acquire(t testing.TB) (*conn, func()) {
	t.Helper()
	p := need(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.c == nil {
		c, err := start(p)
		if err != nil {
			t.Fatal(err)
		}
		shared.c = c
	}
	shared.pages++
	return shared.c, func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.pages--; shared.pages == 0 {
			shared.c.close()
			shared.c = nil
		}
	}
}

// Keep keeps the browser running until the test ends, so that the pages of its
// subtests share one. It skips the test where there is no browser.
func Keep(t testing.TB) {
	t.Helper()
	_, release := acquire(t)
	t.Cleanup(release)
}

// Open opens a page. It begins empty.
func Open(t testing.TB, o Options) *Page {
	t.Helper()
	c, release := acquire(t)
	t.Cleanup(release)
	p := &Page{t: t, c: c}
	var made struct {
		BrowserContextID string `json:"browserContextId"`
		TargetID         string `json:"targetId"`
		SessionID        string `json:"sessionId"`
	}
	p.must(c.call("", "Target.createBrowserContext", nil, &made))
	t.Cleanup(func() {
		_ = c.call("", "Target.disposeBrowserContext", map[string]any{"browserContextId": made.BrowserContextID}, nil)
	})
	p.must(c.call("", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": made.BrowserContextID}, &made))
	p.must(c.call("", "Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &made))
	p.session = made.SessionID
	c.mu.Lock()
	c.events[p.session] = p.note
	c.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.Call(domain+".enable", nil, nil)
	}
	p.Resize(o)
	return p
}

// Resize changes the window, and whether the page prefers dark colours.
func (p *Page) Resize(o Options) {
	p.t.Helper()
	if o.Width == 0 {
		o.Width, o.Height = 1440, 900
	}
	if o.Scheme == "" {
		o.Scheme = "light"
	}
	p.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": o.Width, "height": o.Height, "deviceScaleFactor": 1, "mobile": o.Width < 500}, nil)
	p.Call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": o.Scheme}}}, nil)
}

// note keeps what the page complains of: exceptions that nobody caught, and what
// the browser refused it.
func (p *Page) note(method string, params json.RawMessage) {
	var said struct {
		Exception struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
		Entry struct {
			Level, Text, URL, Source string
		} `json:"entry"`
	}
	if json.Unmarshal(params, &said) != nil {
		return
	}
	text := ""
	switch {
	case method == "Runtime.exceptionThrown":
		text = said.Exception.Text + " " + said.Exception.Exception.Description
	case method == "Log.entryAdded" && said.Entry.Level == "error" && said.Entry.Source != "network":
		text = said.Entry.Text + " " + said.Entry.URL
	default:
		return
	}
	p.mu.Lock()
	p.problems = append(p.problems, text)
	p.mu.Unlock()
}

// Problems returns what the page has complained of since it was opened: uncaught
// exceptions, and violations of its content security policy. Requests that were
// answered with an error are not among them.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.problems)
}

func (p *Page) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal("browser: ", err)
	}
}

// Call calls a method of the protocol, and decodes its result where one is
// wanted.
func (p *Page) Call(method string, params, result any) {
	p.t.Helper()
	p.must(p.c.call(p.session, method, params, result))
}

// Go loads a URL. It does not wait until the page is ready: Wait does.
func (p *Page) Go(url string) {
	p.t.Helper()
	var result struct {
		ErrorText string `json:"errorText"`
	}
	p.Call("Page.navigate", map[string]any{"url": url}, &result)
	if result.ErrorText != "" {
		p.t.Fatalf("browser: load %s: %s", url, result.ErrorText)
	}
}

// Try evaluates an expression, waiting for it where it is a promise, and decodes
// its value, if one is wanted. The error is what it threw.
func (p *Page) Try(expression string, value any) error {
	var result struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	err := p.c.call(p.session, "Runtime.evaluate", map[string]any{
		"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
	}, &result)
	switch {
	case err != nil:
		return err
	case result.Exception != nil:
		return fmt.Errorf("%s %s", result.Exception.Text, result.Exception.Exception.Description)
	case value == nil:
		return nil
	case len(result.Result.Value) == 0:
		return fmt.Errorf("%s has no value", expression)
	}
	return json.Unmarshal(result.Result.Value, value)
}

// Eval is Try; an error ends the test.
func (p *Page) Eval(expression string, value any) {
	p.t.Helper()
	p.must(p.Try(expression, value))
}

// waitLimit is after how long a wait counts as hung.
const waitLimit = time.Minute

// Wait waits until an expression is true. While it throws, it is not.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	limit := time.Now().Add(waitLimit)
	for {
		var done bool
		err := p.Try("Boolean("+expression+")", &done)
		if done && err == nil {
			return
		}
		if time.Now().After(limit) {
			p.t.Fatalf("browser: waited for %s, in vain (%v); the page complains of %q and shows:\n%s", expression, err, p.Problems(), p.Text())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Text returns what the page shows.
func (p *Page) Text() string {
	var text string
	if err := p.Try("document.body.innerText", &text); err != nil {
		return err.Error()
	}
	return text
}

// WaitText waits until the page shows each of some texts.
func (p *Page) WaitText(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.Wait("document.body.innerText.includes(" + Quote(text) + ")")
	}
}

// Quote returns a text as a JavaScript string.
func Quote(text string) string {
	b, _ := json.Marshal(text) // a string can always be
	return string(b)
}

// aimed brings an element into view, notes whether the next press of the mouse
// misses it, which then makes no click, and returns its middle.
const aimed = `(e => {
	removeEventListener("click", window.swallow, true);
	window.swallow = c => { c.stopImmediatePropagation(); c.preventDefault(); };
	window.missed = false;
	addEventListener("mousedown", m => {
		window.missed = !e.contains(m.target);
		if (window.missed) addEventListener("click", window.swallow, {capture: true, once: true});
	}, {capture: true, once: true});
	e.scrollIntoView({block: "center"});
	const r = e.getBoundingClientRect();
	return {X: r.x + r.width/2, Y: r.y + r.height/2};
})`

// Click waits for an element, brings it into view, and clicks its middle with
// the mouse: again if it has moved away before it was pressed.
func (p *Page) Click(selector string) {
	p.t.Helper()
	find := "document.querySelector(" + Quote(selector) + ")"
	limit := time.Now().Add(waitLimit)
	for missed := true; missed; {
		if time.Now().After(limit) {
			p.t.Fatalf("browser: %s moves away again and again", selector)
		}
		p.Wait(find + "?.getClientRects().length")
		var at struct{ X, Y float64 }
		p.Eval(aimed+"("+find+")", &at)
		mouse := func(kind, button string, count int) {
			p.Call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": button, "clickCount": count}, nil)
		}
		mouse("mouseMoved", "none", 0)
		mouse("mousePressed", "left", 1)
		p.Eval("Boolean(window.missed)", &missed)
		mouse("mouseReleased", "left", 1)
	}
}

// Fill replaces the text of a field, as typing does.
func (p *Page) Fill(selector, text string) {
	p.t.Helper()
	find := "document.querySelector(" + Quote(selector) + ")"
	p.Wait(find)
	p.Eval("(()=>{const e="+find+";e.focus();e.select&&e.select()})()", nil)
	if text == "" {
		p.Press("Backspace")
		return
	}
	p.Call("Input.insertText", map[string]any{"text": text}, nil)
}

// Choose sets a selection, as a user's choice does.
func (p *Page) Choose(selector, value string) {
	p.t.Helper()
	find := "document.querySelector(" + Quote(selector) + ")"
	p.Wait(find)
	p.Eval("(()=>{const e="+find+";e.value="+Quote(value)+";e.dispatchEvent(new Event('change',{bubbles:true}))})()", nil)
}

// keyCodes are the codes of keys that are not a letter.
var keyCodes = map[string]int{"Enter": 13, "Escape": 27, "Backspace": 8, "Tab": 9, "PageDown": 34, "Home": 36, "End": 35}

// Press presses a key: a letter, or the name of a key.
func (p *Page) Press(key string) {
	p.t.Helper()
	down := map[string]any{"type": "rawKeyDown", "key": key}
	if len(key) == 1 {
		down["type"], down["text"] = "keyDown", key
	} else {
		down["windowsVirtualKeyCode"] = keyCodes[key]
	}
	if key == "Enter" {
		down["type"], down["text"] = "keyDown", "\r"
	}
	p.Call("Input.dispatchKeyEvent", down, nil)
	p.Call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "windowsVirtualKeyCode": keyCodes[key]}, nil)
}

// Screenshot returns the window as a PNG.
func (p *Page) Screenshot() []byte {
	p.t.Helper()
	var shot struct {
		Data string `json:"data"`
	}
	p.Call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	b, err := base64.StdEncoding.DecodeString(shot.Data)
	p.must(err)
	return b
}

// NoProblems fails the test if the page has complained of something.
func (p *Page) NoProblems() {
	p.t.Helper()
	if list := p.Problems(); len(list) > 0 {
		p.t.Errorf("the page complains of:\n%s", strings.Join(list, "\n"))
	}
}
