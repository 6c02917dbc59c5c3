package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
)

// The page is the folder ui: a shell, a stylesheet and ES modules, which a
// browser takes as they are.
//
//go:embed ui
var uiFiles embed.FS

// page is the page, ready to be served. It does not change.
type page struct {
	shell  []byte
	prefix string            // of the paths of assets: it names what they are, so that a browser may keep them
	assets map[string][]byte // by name
}

// thePage is read once; that it can be is tested.
var thePage = readPage(uiFiles)

func readPage(files fs.FS) *page {
	p := &page{assets: map[string][]byte{}}
	sum := sha256.New()
	names, err := fs.Glob(files, "ui/*")
	if err != nil {
		panic(err)
	}
	slices.Sort(names)
	for _, name := range names {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			panic(err)
		}
		p.assets[path.Base(name)] = b
		fmt.Fprintf(sum, "%s %d\n", name, len(b))
		sum.Write(b)
	}
	p.prefix = "/assets/" + hex.EncodeToString(sum.Sum(nil)[:8]) + "/"
	// The shell has one thing that is not fixed, of digits and letters only.
	p.shell = []byte(strings.ReplaceAll(string(p.assets["index.html"]), "/assets/HASH/", p.prefix))
	delete(p.assets, "index.html")
	return p
}

// policy is what a browser lets the page do: nothing but its own scripts and
// styles, and requests to this server. Text never becomes markup or a script.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// views are the paths of the page. Each is the shell, which looks at its path.
var views = []string{"/{$}", "/live", "/rules", "/rules/{name...}", "/play", "/deliveries", "/deliveries/{ref...}", "/dead", "/dead/{number}", "/streams"}

func (s *Server) addPage(mux *http.ServeMux) {
	for _, view := range views {
		mux.HandleFunc("GET "+view, s.shell)
	}
	mux.HandleFunc("GET /assets/{hash}/{name}", s.asset)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thePage.prefix+"icon.svg", http.StatusFound)
	})
}

// isPage reports whether a path is the shell's, or an asset's. They tell nothing of
// the daemon, so they need no token: the page asks for it.
func isPage(p string) bool {
	if p == "/" || p == "/favicon.ico" || strings.HasPrefix(p, "/assets/") {
		return true
	}
	first, _, _ := strings.Cut(p[1:], "/")
	return slices.ContainsFunc(views, func(v string) bool { return v != "/{$}" && v[1:] == first })
}

func (s *Server) shell(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Cache-Control", "no-cache")
	w.Write(thePage.shell)
}

func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	b, ok := thePage.assets[r.PathValue("name")]
	if !ok || !strings.HasPrefix(r.URL.Path, thePage.prefix) {
		s.writeError(w, http.StatusNotFound, errors.New("there is no such part of the page; it may be of another version: load the page anew"))
		return
	}
	kind := mime.TypeByExtension(path.Ext(r.URL.Path))
	switch path.Ext(r.URL.Path) { // whatever the machine's own table says
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".css":
		kind = "text/css; charset=utf-8"
	case ".svg":
		kind = "image/svg+xml"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(b)
}
