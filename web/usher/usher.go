// Package usher serves usher's own server API, /usher/v1: what LiveKit's cannot
// say. Requests and answers are JSON.
//
//	GET    /usher/v1/rooms                                             rooms that live
//	GET    /usher/v1/rooms/{room}/participants                         a room, and who is in it
//	PATCH  /usher/v1/rooms/{room}/participants/{identity}              change somebody; null clears
//	GET    /usher/v1/rooms/{room}/waiting                              who waits to be let in
//	POST   /usher/v1/rooms/{room}/waiting                              let them in, or send them away
//	GET    /usher/v1/rooms/{room}/participants/{identity}/permissions  why somebody may do what they may
//	POST   /usher/v1/revocations                                       refuse tokens
//	GET    /usher/v1/revocations                                       what is refused
//	DELETE /usher/v1/revocations/{id}                                  lift one
//	GET    /usher/v1/webhooks                                          what waits for the project's webhooks
//	POST   /usher/v1/tokens/explain                                    what a token is good for, and what is wrong
//
// # Who may call
//
// Whoever holds a token with roomAdmin for the room, or the project's own, see
// [web.AdministersProject]. It comes in the Authorization header. What concerns
// no room, and lifting a revocation, is for the project's own token alone. The
// secret key of Liveblocks' API, sk_…, counts as the project's own token: whoever
// has it can make any Liveblocks token and room of the project. So do the API keys of
// Daily's.
package usher

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"golang.org/x/sync/semaphore"

	"usher/auth"
	"usher/room"
	"usher/web"
	"usher/web/webhook"
)

// A Config says what is served. Rooms and Verifier are required.
type Config struct {
	Rooms    *room.Rooms
	Verifier *auth.Verifier

	// SecretKey returns the project whose secret key this is, sk_… Nil: there
	// are no such keys.
	SecretKey func(key string) (project string, ok bool)
	// DailyKey returns the project that has this key of Daily's API. Nil: there are
	// no such keys.
	DailyKey func(key string) (project string, ok bool)
	// PublicKey returns the project whose public key this is, pk_…, for explanations.
	PublicKey func(key string) (project string, ok bool)

	// Outbox tells how a project's webhooks stand, and how many occurrences
	// are not even written. Nil: there are none.
	Outbox func(project string) (targets []webhook.Status, unwritten int)

	// Log gets a line for each change made through the API. Nil means no log.
	Log *slog.Logger
}

// New returns the handler for /usher/v1/.
func New(c Config) http.Handler {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &api{Config: c, reading: semaphore.NewWeighted(readingBytes)}
	mux := http.NewServeMux()
	mux.Handle("GET /usher/v1/rooms", a.with(a.rooms))
	mux.Handle("GET /usher/v1/rooms/{room}/participants", a.with(a.participants))
	mux.Handle("PATCH /usher/v1/rooms/{room}/participants/{identity}", a.with(a.change))
	mux.Handle("GET /usher/v1/rooms/{room}/participants/{identity}/permissions", a.with(a.explain))
	mux.Handle("GET /usher/v1/rooms/{room}/waiting", a.with(a.waiting))
	mux.Handle("POST /usher/v1/rooms/{room}/waiting", a.with(a.answerWaiting))
	mux.Handle("POST /usher/v1/revocations", a.with(a.revoke))
	mux.Handle("GET /usher/v1/revocations", a.with(a.list))
	mux.Handle("DELETE /usher/v1/revocations/{id}", a.with(a.lift))
	mux.Handle("GET /usher/v1/webhooks", a.with(a.webhooks))
	mux.Handle("POST /usher/v1/tokens/explain", a.with(a.explainToken))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, &problem{http.StatusNotFound, "not_found", "there is nothing at this address, or not for this method"})
	})
	return mux
}

type api struct {
	Config
	reading *semaphore.Weighted // bytes of bodies that are not small
}

// A problem is an error that the caller is told.
type problem struct {
	status        int
	code, message string
}

func (p *problem) Error() string { return p.message }

func invalid(format string, args ...any) error {
	return &problem{http.StatusBadRequest, "invalid_request", fmt.Sprintf(format, args...)}
}

var (
	errDenied = &problem{http.StatusForbidden, "permission_denied", "the token does not allow this"}
	errSender = &problem{http.StatusUnauthorized, "unauthenticated", "no token came in the Authorization header"}
)

// bodyBytes is more than any request needs: metadata, and attributes, escaped.
const bodyBytes = 8 << 20

// smallBytes is the size of bodies that anybody may send at any time.
const smallBytes = 64 << 10

// readingBytes bounds what large bodies may take together.
const readingBytes = 128 << 20

// strangerBytes is the largest body of those who may administer nothing.
const strangerBytes = 4 << 10

// with authenticates a request and writes what f returns.
func (a *api) with(f func(*request) (status int, answer any, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g, err := a.authenticate(r)
		if err != nil {
			answer(w, err)
			return
		}
		limit := int64(strangerBytes)
		if g.RoomAdmin {
			limit = bodyBytes
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		status, told, err := f(&request{Request: r, api: a, grant: g})
		if err != nil {
			answer(w, a.problem(err))
			return
		}
		if told == nil {
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(told)
	})
}

// A request is what a caller asks for whose token is to be believed.
type request struct {
	*http.Request
	api   *api
	grant *auth.Grant
}

// authenticate returns what a caller may do. By a secret key that is everything in
// its project.
func (a *api) authenticate(r *http.Request) (*auth.Grant, error) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, errSender
	}
	token = strings.TrimSpace(token)
	if strings.HasPrefix(token, "sk_") {
		if a.SecretKey != nil {
			if project, ok := a.SecretKey(token); ok {
				return &auth.Grant{Project: project, RoomAdmin: true, KeyID: secretKey}, nil
			}
		}
		return nil, &problem{http.StatusUnauthorized, "unauthenticated", "the secret key is of no project"}
	}
	if a.DailyKey != nil {
		if project, ok := a.DailyKey(token); ok {
			return &auth.Grant{Project: project, RoomAdmin: true, KeyID: dailyKey}, nil
		}
	}
	g, err := a.Verifier.Verify(token)
	if err == nil && web.Revoked(a.Rooms, a.Verifier, g) {
		err = room.ErrRevoked
	}
	if err != nil {
		return nil, &problem{http.StatusUnauthorized, "unauthenticated", "the token is not accepted" + reason(err)}
	}
	return g, nil
}

// secretKey and dailyKey are who asks, for explanations and logs, when it is somebody
// with the secret key of Liveblocks' API or a key of Daily's. They look like no key of
// LiveKit's.
const (
	secretKey = "the secret key"
	dailyKey  = "an API key of Daily's"
)

// revoked reports whether the caller's token was revoked since it was looked at. Keys
// are changed in the configuration instead.
func (r *request) revoked() bool {
	return r.grant.KeyID != secretKey && r.grant.KeyID != dailyKey && web.Revoked(r.api.Rooms, r.api.Verifier, r.grant)
}

// reason says what is wrong with a token, without a word of its content.
func reason(err error) string {
	for _, known := range []error{room.ErrRevoked, auth.ErrTooLarge, auth.ErrUnknownKey, auth.ErrRevokedKey, auth.ErrSignature,
		auth.ErrNoExpiry, auth.ErrExpired, auth.ErrNotYetValid, auth.ErrTooLongLived} {
		if errors.Is(err, known) {
			_, text, _ := strings.Cut(known.Error(), ": ")
			return ": " + text
		}
	}
	return ""
}

// by is who asks, for explanations.
func (r *request) by() string { return cmp.Or(r.grant.Identity, r.grant.KeyID) }

// may checks that the caller may administer the room; without one, the project.
// Its token may have been revoked while the request was on its way.
func (r *request) may(room string) error {
	g := r.grant
	switch {
	case r.revoked():
	case web.AdministersProject(g):
		return nil
	case room != "" && g.RoomAdmin && g.Room == room:
		return nil
	}
	return errDenied
}

// read decodes the body, which has no other fields than those of into.
func (r *request) read(into any) error {
	if r.ContentLength < 0 || r.ContentLength > smallBytes {
		if !r.api.reading.TryAcquire(bodyBytes) {
			return &problem{http.StatusServiceUnavailable, "busy", "too many large requests at once"}
		}
		defer r.api.reading.Release(bodyBytes)
	}
	body, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &problem{http.StatusRequestEntityTooLarge, "limit_exceeded", fmt.Sprintf("request body too large: the limit is %d bytes", large.Limit)}
	case err != nil:
		return invalid("the request could not be read")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		var wrong *json.UnmarshalTypeError
		switch {
		case errors.As(err, &wrong) && wrong.Field != "":
			return invalid("%s is of the wrong type", wrong.Field)
		case strings.HasPrefix(err.Error(), "json: unknown field "):
			return invalid("unknown field %.60s", strings.TrimPrefix(err.Error(), "json: unknown field "))
		}
		return invalid("the request is not a JSON object as it should be")
	}
	if string(bytes.TrimSpace(body)) == "null" {
		return invalid("the request is not a JSON object as it should be")
	}
	if d.More() {
		return invalid("there is something behind the JSON object")
	}
	return nil
}

// problem is what a caller is told of an error.
func (a *api) problem(err error) error {
	var (
		known   *problem
		limit   *room.LimitError
		invalid *room.InvalidError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &limit):
		return &problem{http.StatusBadRequest, "limit_exceeded", limit.Error()}
	case errors.As(err, &invalid):
		return &problem{http.StatusBadRequest, "invalid_request", invalid.Error()}
	case errors.Is(err, room.ErrNoRevocation):
		return &problem{http.StatusNotFound, "not_found", "revocation does not exist"}
	case errors.Is(err, room.ErrNotFound):
		return &problem{http.StatusNotFound, "not_found", "room does not exist"}
	case room.IsNotFound(err):
		return &problem{http.StatusNotFound, "not_found", "participant does not exist"}
	case errors.Is(err, room.ErrUnavailable):
		a.Log.Error("durable state cannot be written", "error", err)
		return &problem{http.StatusServiceUnavailable, "unavailable", "durable state cannot be written; what the call takes away is in force"}
	}
	a.Log.Error("a call of the server API failed", "error", err)
	return &problem{http.StatusInternalServerError, "internal", "internal error"}
}

func answer(w http.ResponseWriter, err error) {
	p := err.(*problem)
	w.Header().Set("Content-Type", "application/json")
	if p.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.status)
	_ = json.NewEncoder(w).Encode(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}{p.code, p.message})
}
