package browser_test

import (
	"bytes"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"triggerd/internal/browser"
)

const page = `<!doctype html><title>x</title><input id=name><button id=b>press</button><p id=out></p>
<script>b.onclick=()=>{out.textContent='hello '+document.getElementById('name').value}
addEventListener('keydown',e=>{if(e.key==='?')out.textContent='help'})</script>`

func TestPage(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bad":
			w.Header().Set("Content-Security-Policy", "script-src 'none'")
			w.Write([]byte("<!doctype html><title>bad</title><script>document.title='ran'</script>"))
		case "/cookie":
			if r.URL.Query().Has("set") {
				http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", HttpOnly: true})
			}
			c, _ := r.Cookie("a")
			w.Write([]byte("<!doctype html><body>cookie " + c.String()))
		default:
			w.Write([]byte(page))
		}
	}))
	t.Cleanup(srv.Close)
	browser.Keep(t)

	p := browser.Open(t, browser.Options{Width: 360, Height: 640, Scheme: "dark"})
	p.Go(srv.URL)
	p.Wait("document.readyState === 'complete'") // the fields are there before the script that looks at them
	p.Fill("#name", "éa")
	p.Click("#b")
	p.WaitText("hello éa")
	// It is pressed where it is, though it has just moved away.
	p.Eval("out.textContent = ''; addEventListener('mousemove', () => { document.getElementById('b').style.marginTop = '200px' }, {once: true})", nil)
	p.Click("#b")
	p.WaitText("hello éa")
	p.Eval("document.activeElement.blur()", nil)
	p.Press("?")
	p.WaitText("help")
	var dark bool
	p.Eval("Promise.resolve(matchMedia('(prefers-color-scheme: dark)').matches)", &dark)
	img, err := png.Decode(bytes.NewReader(p.Screenshot()))
	if err != nil || img.Bounds().Dx() != 360 || !dark {
		t.Errorf("got %v, %v, dark %v", img.Bounds(), err, dark)
	}
	if err := p.Try("nothing.there", nil); err == nil || !strings.Contains(err.Error(), "nothing is not defined") {
		t.Errorf("an error of the page: got %v", err)
	}
	p.NoProblems()

	p.Go(srv.URL + "/bad")
	p.Wait("document.title === 'bad' && document.readyState === 'complete'")
	for limit := time.Now().Add(time.Minute); len(p.Problems()) == 0 && time.Now().Before(limit); { // told apart from the page itself
		time.Sleep(10 * time.Millisecond)
	}
	if list := p.Problems(); len(list) == 0 || !strings.Contains(list[0], "Content Security Policy") {
		t.Errorf("a violation of the policy: got %q", list)
	}

	p.Go(srv.URL + "/cookie?set")
	p.Go(srv.URL + "/cookie")
	p.WaitText("a=1")
	other := browser.Open(t, browser.Options{})
	other.Go(srv.URL + "/cookie")
	other.Wait("document.body.innerText === 'cookie'")
}
