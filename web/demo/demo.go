// Package demo serves a page that joins a room in a browser: a stage with camera,
// microphone and screen, an audience that may raise a hand, chat and reactions,
// what a host may do with each, one's own token and why one may do what, and in words
// why something was refused.
//
// It is made with the browser SDK, /sdk/usher.js, which has to be on the same
// origin. The token comes behind the "#" of the address, which browsers send to
// nobody, and is taken out of the address at once, or is pasted. The page is static; whatever it
// shows of other people it shows as text, and its Content-Security-Policy takes
// the means to do otherwise from it: no inline script or style, no markup made
// of strings. Camera and sound need nothing beyond it: they go to elements as
// objects, not as addresses.
//
// A person who raised a hand is live as soon as a host promotes them; one who did not is
// asked first.
package demo

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed static
var static embed.FS

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self' ws: wss:; " + // 'self' alone leaves WebSockets out in older browsers
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Prefix is where the page's files are.
const Prefix = "/demo/"

// kinds are not left to the system's table, which differs from one to the next.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// Handler serves the page at "/" and "/{room}", and its files below [Prefix].
func Handler() http.Handler {
	mux := http.NewServeMux()
	files, err := fs.ReadDir(static, "static")
	if err != nil {
		panic(err) // the files are part of the program
	}
	for _, f := range files {
		content, err := static.ReadFile(path.Join("static", f.Name()))
		if err != nil {
			panic(err)
		}
		h := file(f.Name(), content)
		if f.Name() == "index.html" {
			mux.Handle("/{$}", h)
			mux.Handle("/{room}", h)
			continue
		}
		mux.Handle(Prefix+f.Name(), h)
	}
	return mux
}

// file serves one file. Browsers ask each time whether it is still the same, so
// that page and scripts are of one version.
func file(name string, content []byte) http.Handler {
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	kind := kinds[path.Ext(name)]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}
