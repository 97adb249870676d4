// Package livekit serves LiveKit's RoomService, so that an application's
// backend changes live sessions with the LiveKit SDK it already has.
//
// The protocol is Twirp: POST /twirp/livekit.RoomService/METHOD, as JSON or
// protobuf. The generated server reads and writes it; this package decides who
// may call, and carries the calls to the rooms.
//
// # Who may call
//
// Whoever holds a LiveKit token of the project with the grant that LiveKit asks
// for: roomAdmin for the very room, roomCreate or roomList. A token that cannot be believed, one that was revoked included, is refused
// before anything of the request is read. What a token does not grant is
// refused right after the request is decoded: neither limits nor look-ups tell
// a stranger anything.
//
// # Where it differs from LiveKit
//
//   - All methods are served but ForwardParticipant, which answers unimplemented.
//   - A participant or room that does not exist is 404, where LiveKit says 503; a
//     full room and what is too large are 4xx with the reason.
//   - A name in canPublishSources that is no source is an invalid_argument.
//     LiveKit's decoder drops it, and an empty list means every source.
//   - recorder and agent in a permission have no effect: only a signed token
//     makes somebody a recorder or an agent.
//   - Limits are the rooms' own, the same as for tokens and clients, and count
//     for the attributes as merged.
//   - RemoveParticipant revokes the tokens used so far, or those issued before
//     revoke_token_ts. Somebody who left up to a minute and a half ago is revoked,
//     too.
//   - A refreshed token, which a session has got, is good for its own room only.
//   - A room needs a name.
//   - A token comes in the Authorization header, never in the query string,
//     which ends up in logs.
//
// [usher/web] answers the preflight requests of browsers and refuses bodies that
// announce themselves as too large, as for every server API.
package livekit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

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

// strangerBytes is the largest body read from a caller who may change nothing.
const strangerBytes = 64 << 10

// readingBytes bounds what all requests together hold of bodies that have not
// been read to their end. It is changed only by tests.
var readingBytes int64 = 256 << 20

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
	twirp   http.Handler
	reading atomic.Int64 // bytes of bodies
}

var errBusy = errors.New("too many large requests")

// read reads a body. What it returns, even with an error, counts toward what is
// being read.
func (h *handler) read(r io.Reader) ([]byte, error) {
	var body []byte
	for {
		if len(body) == cap(body) {
			bigger := max(4<<10, 2*cap(body))
			if h.reading.Add(int64(bigger-cap(body))) > readingBytes && bigger > strangerBytes { // small ones get through
				h.reading.Add(-int64(bigger - cap(body)))
				return body, errBusy
			}
			body = append(make([]byte, 0, bigger), body...)
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return body, err
		}
	}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	grant, refusal := h.authenticate(r)
	if refusal != "" {
		http.Error(w, refusal, http.StatusUnauthorized)
		return
	}
	limit := int64(strangerBytes)
	if grant != nil && (grant.RoomAdmin || grant.CreateRoom) {
		limit = web.MaxAPIBytes
	}
	body, err := h.read(http.MaxBytesReader(w, r.Body, limit))
	defer h.reading.Add(-int64(cap(body)))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large) && limit == strangerBytes:
		_ = twirp.WriteError(w, errDenied)
		return
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Connection", "close") // or the answer would wait for the rest of the body
		_ = twirp.WriteError(w, twirp.NewError(twirp.Unavailable, "too many large requests at once"))
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
	case err == nil && web.Revoked(h.Rooms, h.Verifier, g):
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
	case errors.Is(err, auth.ErrTooLongLived):
		return nil, invalid + ": it is valid for longer than limits.token_life allows"
	}
	return nil, invalid
}

// A caller is who makes a request, and what about it only its text tells.
type caller struct {
	grant         *auth.Grant // nil: no token
	unknownSource string      // of canPublishSources; see [unknownSource]
}

type callerKey struct{}

// name is who asks, for explanations: the token's identity, or its key.
func (c caller) name() string { return cmp.Or(c.grant.Identity, c.grant.KeyID) }

// believe returns the caller, if its token is to be believed still: it may have
// been revoked while the request was on its way.
func (s *service) believe(ctx context.Context) (caller, error) {
	c, _ := ctx.Value(callerKey{}).(caller)
	if c.grant == nil || web.Revoked(s.Rooms, s.Verifier, c.grant) {
		return caller{}, errDenied
	}
	return c, nil
}

// admin returns the caller if it may administer the room.
func (s *service) admin(ctx context.Context, room string) (caller, error) {
	c, err := s.believe(ctx)
	if err != nil || !c.grant.RoomAdmin || room == "" || c.grant.Room != room {
		return caller{}, errDenied
	}
	return c, nil
}

// mover returns the caller if it may move people from the one room to the other.
func (s *service) mover(ctx context.Context, from, to string) (caller, error) {
	c, err := s.admin(ctx, from)
	if err != nil || to == "" || c.grant.DestinationRoom != to || c.grant.Origin != nil {
		return caller{}, errDenied
	}
	return c, nil
}

// creator returns the caller if it may make and delete the room. A session's own
// token is good for its room alone.
func (s *service) creator(ctx context.Context, room string) (caller, error) {
	c, err := s.believe(ctx)
	if err != nil || !c.grant.CreateRoom || c.grant.Origin != nil && c.grant.Room != room {
		return caller{}, errDenied
	}
	return c, nil
}

var errDenied = twirp.NewError(twirp.Unauthenticated, "permissions denied")

// problem is the Twirp error for an error of a room.
func (s *service) problem(err error) error {
	var limit *room.LimitError
	var invalid *room.InvalidError
	var remote *room.RPCError
	switch {
	case errors.As(err, &remote):
		return twirp.NewError(rpcCode(remote.Code), remote.Error()).
			WithMeta("rpc_code", strconv.FormatUint(uint64(remote.Code), 10)).WithMeta("rpc_data", remote.Data)
	case errors.Is(err, room.ErrFull):
		return twirp.NewError(twirp.ResourceExhausted, "the room is full")
	case errors.Is(err, room.ErrIdentityTaken):
		return twirp.NewError(twirp.AlreadyExists, "the identity is in the room already")
	case errors.Is(err, room.ErrRevoked):
		return twirp.NewError(twirp.FailedPrecondition, "the participant was removed from that room")
	case errors.Is(err, room.ErrRemoteUnmute):
		return twirp.NewError(twirp.FailedPrecondition, "only the publisher can unmute a track")
	case errors.Is(err, room.ErrNotAllowed):
		return twirp.NewError(twirp.FailedPrecondition, "the participant may not subscribe to that")
	case errors.Is(err, room.ErrNotFound):
		return twirp.NewError(twirp.NotFound, "requested room does not exist")
	case errors.Is(err, room.ErrClosed):
		return twirp.NewError(twirp.Unavailable, "the server is stopping")
	case errors.Is(err, room.ErrUnavailable):
		s.Log.Error("durable state cannot be written", "error", err)
		return twirp.NewError(twirp.Unavailable, "durable state cannot be written; what the call takes away is in force")
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

// rpcCode is the Twirp code for how a remote call failed.
func rpcCode(code uint32) twirp.ErrorCode {
	switch code {
	case room.RPCMethodMissing, room.RPCPayloadTooLarge:
		return twirp.InvalidArgument
	case room.RPCTimeout:
		return twirp.Canceled // 408, as with LiveKit
	case room.RPCDisconnected:
		return twirp.Aborted
	}
	return twirp.FailedPrecondition
}

func invalidArgument(argument, message string) error {
	return twirp.NewError(twirp.InvalidArgument, message).WithMeta("argument", argument)
}
