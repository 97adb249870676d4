package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/coder/websocket"

	"usher/auth"
	"usher/room"
	"usher/session/wire"
)

// A nativePeer is a connection's side of the native protocol. It is the session
// itself, so that a connection of most clients needs nothing more.
type nativePeer session

// Closing implements [Peer]: the native protocol has a code for every end.
func (*nativePeer) Closing(end wire.CloseCode, _ string) (code uint16, reason string) {
	return uint16(end), end.Reason()
}

// Open implements [Peer]: it reads the first message and joins or resumes.
func (n *nativePeer) Open(*Connection) (*room.Participant, error) {
	c := (*session)(n)
	typ, text, err := c.next(c.server.cfg.Verifier.MaxTokenBytes() + 64<<10)
	if err != nil {
		return nil, err
	}
	if typ != websocket.MessageText {
		return nil, errNotAJoin
	}
	var m wire.Message
	if err := wire.Decode(text, &m); err != nil {
		return nil, errNotAJoin
	}
	switch m.Type {
	case "join":
		return c.join(&m)
	case "resume":
		return c.resume(&m)
	}
	return nil, errNotAJoin
}

func (c *session) join(m *wire.Message) (*room.Participant, error) {
	s := c.server
	token := m.Token
	if token == "" {
		token = c.token
	}
	g, err := s.granted(token, m)
	if err != nil {
		s.cfg.Rooms.Refuse(err)
		return nil, err
	}
	name := g.Room
	if name == "" && g.Format.Name() != "livekit" {
		name = m.Room
	}
	if err := s.refreshable(g, name, len(token)); err != nil {
		s.cfg.Rooms.Refuse(err)
		return nil, err
	}
	return s.cfg.Rooms.Join(c.batch, room.Join{
		Grant: g, Room: name, Conn: c.conn, Encoder: native{}, Replay: true,
		AutoSubscribe: m.AutoSubscribe == nil || *m.AutoSubscribe,
		Admit:         func() error { return s.admit(g) },
	})
}

// granted returns what the token of a join allows, or the public key that came in
// place of one.
func (s *Server) granted(token string, m *wire.Message) (*auth.Grant, error) {
	switch {
	case token != "" && m.PublicKey != "":
		return nil, fmt.Errorf("%w: there is a public key besides", auth.ErrMalformed)
	case token != "":
		return s.cfg.Verifier.Verify(token)
	case m.PublicKey == "":
		return nil, fmt.Errorf("%w: no token came with the handshake or in the join", auth.ErrMalformed)
	case s.cfg.PublicKey != nil:
		if g := s.cfg.PublicKey(m.PublicKey); g != nil {
			if m.Name != nil {
				g.Name = *m.Name // its holder is nobody else's word
			}
			return g, nil
		}
	}
	return nil, fmt.Errorf("%w: not a public key of a project", auth.ErrUnknownKey)
}

// refreshable refuses a token so close to the limit that no refreshed one would
// fit: its holder could join, and not join again. Only signing tells for sure;
// with all that is added and escaped a refreshed token is less than eight times
// as long, and a few hundred bytes, so that few have to be tried.
func (s *Server) refreshable(g *auth.Grant, room string, size int) error {
	if g.Claims == nil || 8*size+4<<10 <= s.cfg.Verifier.MaxTokenBytes() && len(g.KeyIDs()) < auth.MaxKeyIDs {
		return nil
	}
	_, err := s.cfg.Verifier.Refresh(g, auth.Current{
		Session: "PA_123412345678901234", Room: room, Identity: g.Identity, Name: g.Name,
		Metadata: g.Metadata, Attributes: g.Attributes, Permission: auth.Resolve(g.Base...),
	}, time.Minute)
	if errors.Is(err, auth.ErrTooLarge) {
		return err
	}
	return nil // whatever else is wrong is not the token's fault
}

// admit checks that the keys a grant descends from are not revoked.
func (s *Server) admit(g *auth.Grant) error {
	if s.cfg.Verifier.Keys().Revoked(g.KeyIDs()...) {
		return auth.ErrRevokedKey
	}
	return nil
}

func (c *session) resume(m *wire.Message) (*room.Participant, error) {
	secret, ok := room.ParseSecret(m.Secret)
	if !ok {
		return nil, room.ErrNoSession
	}
	p, generation, final, err := c.server.cfg.Rooms.Resume(c.batch, room.Resumption{
		Session: m.Session, Secret: secret, Received: m.Received, Attempt: m.Attempt, Conn: c.conn, Admit: c.server.admit,
	})
	if err != nil {
		return nil, err
	}
	if final != nil {
		return nil, &finalError{*final}
	}
	c.generation = generation
	return p, nil
}
