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
//
// Whoever has to wait to be let in has joined as far as the connection goes: it
// stays, and is pinged. Package room refuses what such a participant asks for.
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
	g, ignored, err := s.granted(token, m)
	if err != nil {
		s.cfg.Rooms.Refuse(err)
		return nil, err
	}
	name := g.Room
	if name == "" && (g.Format == nil || g.Format.Name() != "livekit") {
		name = m.Room
	}
	if err := s.refreshable(g, name, len(token)); err != nil {
		s.cfg.Rooms.Refuse(err)
		return nil, err
	}
	p, err := s.cfg.Rooms.Join(c.batch, room.Join{
		Grant: g, Room: name, Conn: c.conn, Encoder: native{tokenIgnored: ignored}, Replay: true,
		AutoSubscribe: m.AutoSubscribe == nil || *m.AutoSubscribe,
		Admit:         func() error { return s.admitToken(g) },
	})
	if err == nil && s.cfg.Joined != nil {
		s.cfg.Joined(g)
	}
	return p, err
}

// granted returns what the token of a join allows, or the public key that came in
// place of one, or what people without either are granted. Ignored says that there
// was a token, which did not hold.
func (s *Server) granted(token string, m *wire.Message) (g *auth.Grant, ignored bool, err error) {
	switch {
	case token != "" && m.PublicKey != "":
		return nil, false, fmt.Errorf("%w: there is a public key besides", auth.ErrMalformed)
	case token != "":
		g, err := s.cfg.Verifier.Verify(token)
		if err == nil || !unverifiable(err) {
			return g, false, err
		}
		if g := s.instead(token, m); g != nil {
			return g, true, nil
		}
		return nil, false, err
	case m.PublicKey == "":
		if g := s.anyone(m.Project, m); g != nil {
			return g, false, nil
		}
		return nil, false, fmt.Errorf("%w: no token came with the handshake or in the join", auth.ErrMalformed)
	case s.cfg.PublicKey != nil:
		if g := s.cfg.PublicKey(m.PublicKey); g != nil {
			if m.Name != nil {
				g.Name = *m.Name // its holder is nobody else's word
			}
			return g, false, nil
		}
	}
	return nil, false, fmt.Errorf("%w: not a public key of a project", auth.ErrUnknownKey)
}

// anyone returns what people without a token are granted in the room that the join
// names; nil when nobody comes without.
func (s *Server) anyone(project string, m *wire.Message) *auth.Grant {
	if s.cfg.Anyone == nil || m.Room == "" {
		return nil
	}
	name := ""
	if m.Name != nil {
		name = *m.Name
	}
	return s.cfg.Anyone(project, m.Room, name)
}

// unverifiable reports whether err says that a token may be anybody's work. One that
// was good once, or is going to be, and one that was revoked, is always refused.
func unverifiable(err error) bool {
	for _, kind := range []error{auth.ErrMalformed, auth.ErrAlgorithm, auth.ErrUnknownKey, auth.ErrSignature, auth.ErrNoIdentity} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// instead returns what the holder of a token that does not hold is granted, in a
// project that lets such people into its public rooms as if they had none.
func (s *Server) instead(token string, m *wire.Message) *auth.Grant {
	if s.cfg.Ignores == nil || m.Room == "" {
		return nil
	}
	project, ok := s.cfg.Ignores(token, m.Project)
	if !ok {
		return nil
	}
	if daily, err := s.cfg.Rooms.Daily(project, m.Room); err != nil || daily.Settings.Private {
		return nil // what is wrong with the token is the better answer
	}
	return s.anyone(project, m)
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

// admit checks that the keys a grant descends from are still good.
func (s *Server) admit(g *auth.Grant) error {
	if s.cfg.Verifier.Keys().Refuses(g) {
		return auth.ErrRevokedKey
	}
	return nil
}

// admitToken is admit for somebody who comes in by a token, which may have been
// verified a while ago: whoever had to wait is asked for it as the door opens. A
// Daily token is good for as long as its key is listed, sessions may be for longer.
func (s *Server) admitToken(g *auth.Grant) error {
	if err := s.admit(g); err != nil || g.Claims == nil || g.Format.Name() != "daily" {
		return err
	}
	if _, listed := s.cfg.Verifier.Keys().Lookup(g.KeyID); !listed {
		return fmt.Errorf("%w: it is not listed any more", auth.ErrUnknownKey)
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
