// Package livekit serves LiveKit's RoomService, so that an application's
// backend changes live sessions with the LiveKit SDK it already has.
//
// The protocol is Twirp: POST /twirp/livekit.RoomService/METHOD, as JSON or
// protobuf. The generated server reads and writes it; this package decides who
// may call, and carries the calls to the rooms.
//
// # Who may call
//
// Whoever holds a LiveKit token of the project with roomAdmin for the very room.
// A token that cannot be believed, one that was revoked included, is refused
// before anything of the request is read. What a token does not grant is
// refused right after the request is decoded: neither limits nor look-ups tell
// a stranger anything.
//
// # Where it differs from LiveKit
//
//   - ListParticipants, GetParticipant, UpdateParticipant and RemoveParticipant
//     are served. The others answer unimplemented.
//   - A name in canPublishSources that is no source is an invalid_argument.
//     LiveKit's decoder drops it, and an empty list means every source.
//   - recorder and agent in a permission have no effect: only a signed token
//     makes somebody a recorder or an agent.
//   - Limits are the rooms' own, the same as for tokens and clients, and count
//     for the attributes as merged.
//   - RemoveParticipant revokes the tokens used so far. Its revoke_token_ts has
//     no effect yet.
//   - A token comes in the Authorization header, never in the query string,
//     which ends up in logs.
//
// [usher/web] answers the preflight requests of browsers and refuses bodies that
// announce themselves as too large, as for every server API.
package livekit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"

	"usher/auth"
	"usher/room"
	"usher/web"
)

// A Config says what is served. All but Log are required.
type Config struct {
	Rooms    *room.Rooms
	Verifier *auth.Verifier

	// Log gets a line for each change made through the API. Nil means no log.
	Log *slog.Logger
}

// strangerBytes is the largest body read from a caller without a token. There
// is nothing that such a caller may do.
const strangerBytes = 64 << 10

// New returns the handler for /twirp/.
func New(c Config) http.Handler {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &handler{Config: c, twirp: livekit.NewRoomServiceServer(&service{Config: c})}
}

// A handler decides whether a caller's token is to be believed, and leaves the
// rest to Twirp.
type handler struct {
	Config
	twirp http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	grant, refusal := h.authenticate(r)
	if refusal != "" {
		http.Error(w, refusal, http.StatusUnauthorized)
		return
	}
	limit := int64(web.MaxAPIBytes)
	if grant == nil {
		limit = strangerBytes
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large) && grant == nil:
		_ = twirp.WriteError(w, errDenied)
		return
	case errors.As(err, &large):
		http.Error(w, "request body too large", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		_ = twirp.WriteError(w, twirp.NewError(twirp.Malformed, "the request could not be read"))
		return
	}
	c := caller{grant: grant}
	if isJSON(r) {
		c.unknownSource = unknownSource(body)
	}
	r = r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
	r.Body = io.NopCloser(bytes.NewReader(body))
	h.twirp.ServeHTTP(w, r)
}

// authenticate returns what the caller's token grants, nil when there is none.
// Refusals are in LiveKit's words; its SDKs show them to people.
func (h *handler) authenticate(r *http.Request) (g *auth.Grant, refusal string) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, ""
	}
	scheme, token, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, "invalid authorization header. Must start with Bearer "
	}
	g, err := h.Verifier.Verify(strings.TrimSpace(token))
	const invalid = "invalid authorization token"
	switch {
	case err == nil && h.Rooms.Revoked(g):
		return nil, invalid + ": it was revoked"
	case err == nil:
		return g, ""
	case errors.Is(err, auth.ErrUnknownKey):
		return nil, "invalid API key"
	case errors.Is(err, auth.ErrRevokedKey):
		return nil, "invalid API key: it was revoked"
	case errors.Is(err, auth.ErrSignature):
		return nil, invalid + ": its signature does not match the key"
	case errors.Is(err, auth.ErrExpired):
		return nil, invalid + ": it has expired"
	case errors.Is(err, auth.ErrNotYetValid):
		return nil, invalid + ": it is not valid yet"
	case errors.Is(err, auth.ErrNoExpiry):
		return nil, invalid + ": it has no exp"
	case errors.Is(err, auth.ErrTooLarge):
		return nil, invalid + ": it is too large"
	}
	return nil, invalid
}

// A caller is who makes a request, and what about it only its text tells.
type caller struct {
	grant         *auth.Grant // nil: no token
	unknownSource string      // of canPublishSources; see [unknownSource]
}

type callerKey struct{}

// admin returns the caller if it may administer the room.
func admin(ctx context.Context, room string) (caller, error) {
	c, _ := ctx.Value(callerKey{}).(caller)
	if c.grant == nil || !c.grant.RoomAdmin || room == "" || c.grant.Room != room {
		return caller{}, errDenied
	}
	return c, nil
}

var errDenied = twirp.NewError(twirp.Unauthenticated, "permissions denied")

// problem is the Twirp error for an error of a room.
func (s *service) problem(err error) error {
	var limit *room.LimitError
	var invalid *room.InvalidError
	switch {
	case errors.As(err, &limit):
		argument := limit.What
		if limit.Limit == 0 {
			argument = limit.Unit // a setting: no one argument is to blame
		}
		return invalidArgument(argument, limit.Error())
	case errors.As(err, &invalid):
		return twirp.NewError(twirp.InvalidArgument, invalid.Error())
	case room.IsNotFound(err):
		return twirp.NewError(twirp.NotFound, "participant does not exist")
	}
	s.Log.Error("a call of the RoomService failed", "error", err)
	return twirp.NewError(twirp.Internal, "internal error")
}

func invalidArgument(argument, message string) error {
	return twirp.NewError(twirp.InvalidArgument, message).WithMeta("argument", argument)
}
