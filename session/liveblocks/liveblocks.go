// Package liveblocks speaks the WebSocket protocol of Liveblocks' clients.
//
// # The protocol
//
// A client connects to /v8, before 3.14 to /v7, with ?roomId=, &tok= or &pubkey=,
// and &version= of its npm package. It is always let in by HTTP, and told by a
// close code if it may not join: of everything else it would not tell its page.
// The server begins with ROOM_STATE, a bare object, and an array of the presences
// of those who are there. From then on a client sends arrays of messages, which are
// handled in their order, or the word ping, which is answered by the word pong.
//
// To the client: 104 ROOM_STATE, 101 USER_JOINED, 102 USER_LEFT, 100
// UPDATE_PRESENCE, 103 BROADCASTED_EVENT. From it: 100, 103, and what is answered
// with no more than that it is not kept here: 200 and 201 of Storage, 300 and 301 of
// Yjs, 510 to 517 of feeds.
//
// # What differs from Liveblocks
//
//   - The server keeps everybody's presence and gives it to a newcomer itself. What
//     the others send on account of a newcomer says nothing new and goes no further.
//     Presence is always told whole, with targetActor −1: one that has not been
//     written when the next is there is not told. Only the first always is, since it
//     makes its user show, and what that user says next comes after it.
//   - A message over a limit ends the connection with 4000 and the limit in the
//     reason: there is no word to refuse it by, and dropped it would be missed by
//     everybody and noticed by nobody. A broadcast that is not permitted is dropped,
//     and counted.
//   - Messages of one array reach the others in its order, as frames of their own
//     that are written together, rather than as one array.
//   - One's own permission changes while one is connected: another ROOM_STATE with
//     the same actor says so, and the others are told by another USER_JOINED.
//   - What cannot get better by coming back is closed with 4001, which does not: a
//     revoked token too, since after 4100 the client comes with the token that it
//     has. 4109 is for a token that has run out; for one that comes again although
//     it was refused a moment ago, 4001: its client holds it for fresh.
//   - Storage is empty and stays so: writes are rejected by 299. So is a Yjs
//     document; there is no word to reject its updates by, they are dropped.
//
// Everything is from Liveblocks' published clients (Apache-2.0), versions 3.24.2 and
// before, and its documentation.
package liveblocks

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"usher/auth"
	authlb "usher/auth/liveblocks"
	"usher/room"
	"usher/session"
	"usher/session/wire"
)

// Config is what the dialect needs.
type Config struct {
	Rooms    *room.Rooms    // required
	Verifier *auth.Verifier // required
	Door     *authlb.Door   // who a public key is; nil: none is known
}

// New returns the dialect.
func New(cfg Config) session.Dialect {
	return &dialect{Config: cfg, stale: newStale()}
}

type dialect struct {
	Config
	stale *stale
}

const (
	pathV7 = "/v7"
	pathV8 = "/v8"
	pathAI = "/ai/v7" // of AI copilots, which are not offered
)

// Paths implements [session.Dialect].
func (*dialect) Paths() []string { return []string{pathV7, pathV8, pathAI} }

// Kinds implements [session.Dialect].
func (*dialect) Kinds() []string {
	return []string{kindPing, kindPresence, kindBroadcast, kindFetchStorage, kindUpdateStorage, kindFetchYDoc, kindUpdateYDoc, kindFeeds, kindUnknown}
}

// Connect implements [session.Dialect].
func (d *dialect) Connect(r *http.Request) session.Peer {
	q := r.URL.Query()
	p := &peer{dialect: d, old: r.URL.Path == pathV7}
	p.opening = &opening{
		room: q.Get("roomId"), token: q.Get("tok"), publicKey: q.Get("pubkey"),
		legacy: speaksLegacy(q.Get("version"), p.old), ai: r.URL.Path == pathAI,
	}
	return p
}

// opening is what a request said. It is forgotten once it has served.
type opening struct {
	room, token, publicKey string
	legacy                 bool // knows no permissions like "*:write"
	ai                     bool
}

// A peer is one connection's side of the dialect.
type peer struct {
	dialect *dialect // static
	old     bool     // static; /v7: Storage has another shape
	opening *opening // owned by the read loop; nil once it has served
}

// Open implements [session.Peer].
func (p *peer) Open(c *session.Connection) (*room.Participant, error) {
	o := p.opening
	p.opening = nil
	switch {
	case o.ai:
		return nil, &session.Refusal{End: wire.NotAllowed, Detail: "AI copilots are not offered by this server"}
	case o.room == "":
		return nil, &session.Refusal{End: wire.ProtocolError, Detail: "roomId is missing"}
	}
	g, err := p.grant(o)
	if err != nil {
		p.dialect.Rooms.Refuse(err)
		return nil, err
	}
	if g.Room != "" && g.Room != o.room {
		return nil, &session.Refusal{End: wire.NotAllowed, Detail: "this token is for another room"}
	}
	participant, err := p.dialect.Rooms.Join(c.Batch(), room.Join{
		Grant: g, Room: o.room, Conn: c.Conn(), Encoder: encoder{legacy: o.legacy}, Restate: true,
		Admit: func() error {
			if p.dialect.Verifier.Keys().Refuses(g) {
				return auth.ErrRevokedKey
			}
			return nil
		},
	})
	if err != nil {
		return nil, inWords(err, g)
	}
	return participant, nil
}

// grant returns what the token or the public key allows.
func (p *peer) grant(o *opening) (*auth.Grant, error) {
	switch {
	case o.token != "" && o.publicKey != "":
		return nil, &session.Refusal{End: wire.InvalidToken, Detail: "both tok and pubkey are given"}
	case o.token == "" && o.publicKey == "":
		return nil, &session.Refusal{End: wire.InvalidToken, Detail: "neither tok nor pubkey is given"}
	case o.publicKey != "":
		if p.dialect.Door != nil {
			if g := PublicKey(p.dialect.Door)(o.publicKey); g != nil {
				return g, nil
			}
		}
		return nil, &session.Refusal{End: wire.InvalidToken, Detail: "unknown public key"}
	}
	g, err := p.dialect.Verifier.Verify(o.token)
	switch {
	case errors.Is(err, auth.ErrExpired) && p.dialect.stale.again(o.token, o.room, time.Now()):
		return nil, &session.Refusal{End: wire.InvalidToken, Detail: "the auth endpoint hands out expired tokens; it must not cache them"}
	case errors.Is(err, auth.ErrExpired), errors.Is(err, auth.ErrTooLarge), errors.Is(err, auth.ErrNotYetValid), errors.Is(err, auth.ErrRevokedKey):
		return nil, err
	case err != nil:
		return nil, &session.Refusal{End: wire.InvalidToken, Detail: "invalid token: " + strings.TrimPrefix(err.Error(), "auth: ")}
	case g.Format.Name() != formatName:
		return nil, &session.Refusal{End: wire.InvalidToken, Detail: "this is no token of Liveblocks'"}
	}
	return g, nil
}

// formatName is [auth.Format].Name of Liveblocks' tokens.
const formatName = "liveblocks"

// PublicKey returns what the holder of a project's public key is granted, a new
// person each time; see [session.Config]. The function returns nil for a key that
// is none.
func PublicKey(door *authlb.Door) func(key string) *auth.Grant {
	return func(key string) *auth.Grant {
		project, ok := door.Public(key)
		if !ok {
			return nil
		}
		format := door.Format(project)
		if format == nil { // the keys have just changed
			return nil
		}
		return authlb.PublicGrant(format, project, key)
	}
}
