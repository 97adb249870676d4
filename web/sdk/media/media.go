// Package media holds the browser SDK's media modules: plain ES modules that turn
// camera, microphone and screen into frames and back, through WebCodecs.
package media

import "embed"

// Files are the modules, index.js the one to import. They import each other by
// relative address, the AudioWorklet's module included.
//
//go:embed *.js
var Files embed.FS
