package liveblocks

import (
	"net/http"

	"usher/room"
)

// Pick is what a query says of a room.
func Pick(query string, r *room.LiveblocksRoom) (bool, error) {
	terms, err := parseQuery(query)
	return err == nil && matches(terms, r), err
}

// Limits that are the door's own.
const (
	MaxToken      = maxToken
	BodyBytes     = bodyBytes
	MaxQueryBytes = maxQueryBytes
	MaxTerms      = maxTerms
)

// Hold takes all that large bodies may hold, until it is released.
func Hold(h http.Handler) (release func()) {
	reading := h.(*api).reading
	if !reading.TryAcquire(readingBytes) {
		panic("something is being read")
	}
	return func() { reading.Release(readingBytes) }
}

// Held reports whether any large body holds something.
func Held(h http.Handler) bool {
	reading := h.(*api).reading
	if !reading.TryAcquire(readingBytes) {
		return true
	}
	reading.Release(readingBytes)
	return false
}

// Joinable is the code of the problem with a token that was made for a project, ""
// for none.
func Joinable(h http.Handler, project, token string) string {
	a := h.(*api)
	if err := (&call{api: a, project: project}).joinable(token); err != nil {
		return a.problem(err).Code
	}
	return ""
}
