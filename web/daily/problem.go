package daily

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"usher/auth/daily"
	"usher/room"
)

// A problem is an error that the caller is told, in Daily's shape.
type problem struct {
	status  int
	Code    string `json:"error"`
	Info    string `json:"info,omitempty"`
	Deleted bool   `json:"deleted,omitempty"` // of a room that had expired

	after time.Duration // when to try again
	end   bool          // of the connection: the rest of the body is not read
}

func (p *problem) Error() string { return p.Code + ": " + p.Info }

var (
	errNoKey = &problem{status: http.StatusBadRequest, Code: "authorization-header-error",
		Info: "missing or malformed authorization header: it has to be \"Authorization: Bearer <API key>\""}
	// Daily says no more than that.
	errKey = &problem{status: http.StatusUnauthorized, Code: "authentication-error"}

	errNowhere = &problem{status: http.StatusNotFound, Code: "not-found", Info: "there is nothing at this address"}
	errLarge   = &problem{status: http.StatusBadRequest, Code: "invalid-request-error",
		Info: fmt.Sprintf("the request body is too large: the limit is %d bytes", bodyBytes), end: true}
	errBusy   = &problem{status: http.StatusServiceUnavailable, Code: "server-error", after: time.Second, end: true}
	errServer = &problem{status: http.StatusInternalServerError, Code: "server-error"}
	// errDown is a server that stops, or that cannot write.
	errDown = &problem{status: http.StatusServiceUnavailable, Code: "server-error"}
)

// invalid is a request that asks for what cannot be.
func invalid(format string, args ...any) error {
	return &problem{status: http.StatusBadRequest, Code: "invalid-request-error", Info: fmt.Sprintf(format, args...)}
}

// malformed is a request that is not understood.
func malformed(format string, args ...any) error {
	return &problem{status: http.StatusBadRequest, Code: "json-parsing-error", Info: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &problem{status: http.StatusNotFound, Code: "not-found", Info: fmt.Sprintf(format, args...)}
}

// noRoom is the answer about a room that does not exist, or has expired.
func noRoom(name string) error { return notFound("room %s not found", clip(name)) }

// idle is what is said of a room with nobody in it, where somebody is needed.
func idle(name string) string {
	return fmt.Sprintf("room %s does not seem to be hosting a call currently", clip(name))
}

// notOffered is a call to a part of Daily that is not here.
func notOffered(what string) error { return notFound("%s is not offered by this server", what) }

// wrongMethod is a call of an address with a method that it does not have.
func wrongMethod(method string, allowed []string) error {
	return notFound("%s is no method of this address, %s is", clip(method), strings.Join(allowed, ", "))
}

// tooMany is a call that came too soon after others.
func tooMany(wait time.Duration) error {
	return &problem{status: http.StatusTooManyRequests, Code: "rate-limit-error", Info: "too many calls, try again later", after: wait}
}

// problem is what a caller is told of an error.
func (a *api) problem(err error) *problem {
	var (
		known   *problem
		limit   *room.LimitError
		wrong   *daily.InvalidError
		invalid *room.InvalidError
	)
	refused := func(info string) *problem {
		return &problem{status: http.StatusBadRequest, Code: "invalid-request-error", Info: info}
	}
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &limit):
		return refused(limit.Error())
	case errors.As(err, &wrong):
		return refused(wrong.Problem)
	case errors.As(err, &invalid):
		return refused(invalid.Error())
	case errors.Is(err, room.ErrClosed):
		return errDown
	case errors.Is(err, room.ErrUnavailable):
		a.Log.Error("durable state cannot be written", "error", err)
		return errDown
	}
	a.Log.Error("a call of the Daily API failed", "error", err)
	return errServer
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, p *problem) {
	h := w.Header()
	if p.after > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(p.after.Seconds())))))
	}
	if p.end {
		h.Set("Connection", "close") // or the answer would wait for the rest of the body
	}
	answer(w, p.status, p)
}

// answer writes JSON, and nothing behind it.
func answer(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(encode(body))
}
