package webhook

import (
	"net/url"
	"strings"
	"testing"

	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/tmpl"
)

// FuzzURL: whatever a key is, the URL has the path segments and the
// query parameters that the user wrote, and the key comes back out of both.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"", "a", "a/b", "..", "?x=1&y=2", "#f", "%2e%2e", "a b+c", "\x00\xff\r\n", "{{.key}}", "héé", ";"} {
		f.Add(s)
	}
	x, err := tmpl.NewURL("/a/{{.key}}/b?k={{.key}}&l={{printf `%s` .key}}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key string) {
		fi := &firing.Firing{Event: &event.Event{Key: []byte(key)}}
		target, err := x.Render(t.Context(), tmpl.NewView(fi), 10*(len(key)+10))
		if err != nil {
			t.Fatal(err)
		}
		if err := checkTarget(target); err != nil {
			if key != "." && key != ".." {
				t.Fatalf("%q: %v", target, err)
			}
			return
		}
		u, err := url.Parse("http://h" + target)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if strings.Count(u.EscapedPath(), "/") != 3 || u.Path != "/a/"+key+"/b" || len(q) != 2 || q.Get("k") != key || q.Get("l") != key || u.Fragment != "" {
			t.Fatalf("%q became %q", key, target)
		}
	})
}
