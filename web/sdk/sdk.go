// Package sdk serves the browser SDK: plain ES modules that a page of any origin
// imports from /sdk/usher.js, with their types beside them. The folder is an npm
// package as well.
//
// docs/browser-sdk.md is how to use it. Inside, usher.js names what is public;
// connection.js is the session (joining, requests, coming back), engine.js what
// a room knows and how it changes, room.js, participant.js, local.js,
// publication.js and tracks.js what a page holds. media/ is camera, microphone
// and playback: it knows frames and nothing of rooms, and is loaded when it is
// needed.
package sdk

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"

	"usher/web/sdk/media"
	"usher/web/static"
)

//go:embed *.js *.d.ts
var files embed.FS

// Prefix is where the files are.
const Prefix = "/sdk/"

// Handler serves the files below [Prefix], to pages of every origin.
func Handler() http.Handler {
	handlers := make(map[string]http.Handler)
	for folder, files := range map[string]embed.FS{"": files, "media/": media.Files} {
		err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := files.ReadFile(name)
			handlers[Prefix+folder+name] = static.File(name, content, "")
			return err
		})
		if err != nil {
			panic(err) // the files are part of the program
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, ok := handlers[r.URL.Path]
		if !ok {
			h = http.HandlerFunc(missing)
		}
		// There is nothing in them that is not everybody's.
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.ServeHTTP(w, r)
	})
}

func missing(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(map[string]string{
		"code": "not_found", "message": "the SDK has no such file; its entry is " + Prefix + "usher.js",
	})
}
