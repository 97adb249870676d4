package livekit

import (
	"net/http"
	"testing"
)

// LimitReading changes what all requests together may hold of bodies, until the
// test ends. No handler may be in use when it is called.
func LimitReading(t testing.TB, bytes int64) {
	was := readingBytes
	readingBytes = bytes
	t.Cleanup(func() { readingBytes = was })
}

// Reading is how many bytes the requests of a handler hold of bodies.
func Reading(h http.Handler) int64 { return h.(*handler).reading.Load() }
