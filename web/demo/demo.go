// Package demo serves a page that joins a room in a browser: a stage with camera,
// microphone and screen, an audience that may raise a hand, chat and reactions,
// what a host may do with each, one's own token and why one may do what, and in words
// why something was refused.
//
// It is made with the browser SDK, /sdk/usher.js, which has to be on the same
// origin. The token comes behind the "#" of the address, which browsers send to
// nobody, or as ?t=, where Daily's links have it; it is taken out of the address at
// once, or is pasted. Without one the page asks for a name, and joins with that where
// rooms take people without a token. The page is static; whatever it
// shows of other people it shows as text, and its Content-Security-Policy takes
// the means to do otherwise from it: no inline script or style, no markup made
// of strings. Camera and sound need nothing beyond it: they go to elements as
// objects, not as addresses.
//
// A person who raised a hand is live as soon as a host promotes them; one who did not is
// asked first.
package demo

import (
	"embed"
	"io/fs"
	"net/http"
	"path"

	assets "usher/web/static"
)

//go:embed static
var static embed.FS

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self' ws: wss:; " + // 'self' alone leaves WebSockets out in older browsers
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Prefix is where the page's files are.
const Prefix = "/demo/"

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
		h := assets.File(f.Name(), content, policy)
		if f.Name() == "index.html" {
			mux.Handle("/{$}", h)
			mux.Handle("/{room}", h)
			continue
		}
		mux.Handle(Prefix+f.Name(), h)
	}
	return mux
}
