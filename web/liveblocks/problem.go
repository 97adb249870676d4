package liveblocks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"usher/auth/liveblocks"
	"usher/room"
)

// A problem is an error that the caller is told, in Liveblocks' shape. Its SDKs
// show message to people, and suggestion and docs below it.
type problem struct {
	status     int
	Code       string `json:"error"`
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitempty"`
	Docs       string `json:"docs,omitempty"`

	allow string // the Allow header of a 405
	warn  string // the X-LB-Warn header, which the SDKs print to the console
}

func (p *problem) Error() string { return p.Message }

// guide is where all of this is explained, in usher's sources.
const guide = "docs/liveblocks.md"

var (
	errNoKey = &problem{status: http.StatusUnauthorized, Code: "MISSING_SECRET_KEY",
		Message: "no secret key came with the request", Suggestion: "send the project's secret key as \"Authorization: Bearer sk_…\"", Docs: guide}
	errPublicKey = &problem{status: http.StatusUnauthorized, Code: "WRONG_KEY_USED",
		Message: "this needs the secret key; a public key came", Suggestion: "use the project's key that begins with sk_", Docs: guide}
	errToken = &problem{status: http.StatusUnauthorized, Code: "WRONG_KEY_USED",
		Message: "this needs the secret key; a token of somebody came", Suggestion: "use the project's key that begins with sk_", Docs: guide}
	errKey = &problem{status: http.StatusForbidden, Code: "INVALID_SECRET_KEY",
		Message: "the secret key is not one of this server's", Suggestion: "use the secret key that the project has in the server's configuration", Docs: guide}

	errNoRoom = &problem{status: http.StatusNotFound, Code: "ROOM_NOT_FOUND",
		Message: "the room does not exist", Suggestion: "create it, or check the room id", Docs: guide}
	errRoomExists = &problem{status: http.StatusConflict, Code: "ROOM_ALREADY_EXISTS",
		Message: "a room with that id exists", Suggestion: "update it, or create it with ?idempotent to get the one there is", Docs: guide}

	errNowhere = &problem{status: http.StatusNotFound, Code: "NOT_FOUND",
		Message: "there is nothing at this address", Docs: guide}
	errLarge = &problem{status: http.StatusRequestEntityTooLarge, Code: "BODY_TOO_LARGE",
		Message: fmt.Sprintf("request body too large: the limit is %d bytes", bodyBytes)}
	errBusy = &problem{status: http.StatusServiceUnavailable, Code: "UNAVAILABLE",
		Message: "too many large requests at once", Suggestion: "try again in a moment"}
)

// unprocessable is a request that is understood and asks for what cannot be.
func unprocessable(format string, args ...any) error {
	return &problem{status: http.StatusUnprocessableEntity, Code: "UNPROCESSABLE_ENTITY", Message: fmt.Sprintf(format, args...), Docs: guide}
}

// malformed is a request that is not understood.
func malformed(format string, args ...any) error {
	return &problem{status: http.StatusBadRequest, Code: "INVALID_JSON", Message: fmt.Sprintf(format, args...)}
}

// notOffered is a call to a part of Liveblocks that usher does not have. Its
// clients try again after a 5xx, so it is none. After a 404 @liveblocks/client
// takes the threads of a room for empty, and prints the warning.
func notOffered(what string) error {
	text := what + " not offered by this server"
	return &problem{status: http.StatusNotFound, Code: "NOT_OFFERED", Message: text, warn: text,
		Suggestion: "see the table of what works here", Docs: guide}
}

// problem is what a caller is told of an error.
func (a *api) problem(err error) *problem {
	var (
		known   *problem
		query   *queryError
		limit   *room.LimitError
		wrong   *liveblocks.InvalidError
		invalid *room.InvalidError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &query):
		return &problem{status: http.StatusUnprocessableEntity, Code: "INVALID_QUERY", Message: query.Error(),
			Suggestion: `a query is like: roomId^'acme:' AND metadata['type']:'whiteboard'`, Docs: guide}
	case errors.As(err, &limit):
		return unprocessable("%s", limit.Error()).(*problem)
	case errors.As(err, &wrong):
		return unprocessable("%s", wrong.Problem).(*problem)
	case errors.As(err, &invalid):
		return unprocessable("%s", invalid.Error()).(*problem)
	case errors.Is(err, room.ErrNotFound):
		return errNoRoom
	case errors.Is(err, room.ErrExists):
		return errRoomExists
	case errors.Is(err, room.ErrFull):
		return &problem{status: http.StatusConflict, Code: "ROOM_FULL", Message: "the room is full", Docs: guide}
	case errors.Is(err, room.ErrIdentityTaken):
		return &problem{status: http.StatusConflict, Code: "USER_IN_ROOM", Message: "the user is in the room already", Docs: guide}
	case errors.Is(err, room.ErrClosed):
		return &problem{status: http.StatusServiceUnavailable, Code: "UNAVAILABLE", Message: "the server is stopping"}
	case errors.Is(err, room.ErrUnavailable):
		a.Log.Error("durable state cannot be written", "error", err)
		return &problem{status: http.StatusServiceUnavailable, Code: "UNAVAILABLE",
			Message: "durable state cannot be written; what the call takes away is in force"}
	}
	a.Log.Error("a call of the Liveblocks API failed", "error", err)
	return &problem{status: http.StatusInternalServerError, Code: "INTERNAL", Message: "internal error"}
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, p *problem) {
	h := w.Header()
	switch {
	case p.status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case p.allow != "":
		h.Set("Allow", p.allow)
	case p == errBusy:
		h.Set("Retry-After", "1")
		h.Set("Connection", "close") // or the answer would wait for the rest of the body
	}
	if p.warn != "" {
		h.Set("X-LB-Warn", p.warn)
	}
	answer(w, p.status, p)
}

// answer writes JSON.
func answer(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(body)
}

// wrongMethod is a call of an address with a method that it does not have.
func wrongMethod(method string, allowed []string) *problem {
	allow := strings.Join(allowed, ", ")
	return &problem{status: http.StatusMethodNotAllowed, Code: "METHOD_NOT_ALLOWED",
		Message: fmt.Sprintf("%.20s is no method of this address, %s is", method, allow), allow: allow}
}
