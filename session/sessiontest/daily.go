package sessiontest

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"usher/auth"
	"usher/auth/daily"
	"usher/room"
	"usher/session"
	"usher/session/wire"
)

// The server's Daily domain, of project "test".
const (
	DailyDomain      = "25df5057-0000-4000-8000-cdef0c1b2a39"
	DailyAPIKey      = "an-api-key-for-tests-of-32-bytes-and-more"
	dailyTokenSecret = "a-token-secret-for-tests-of-32-bytes-and-more"
)

// Domain is the project's.
func Domain() daily.Domain {
	return daily.Domain{Project: "test", Name: "test", ID: DailyDomain, Strict: true,
		APIKeys: []auth.Secret{auth.Secret(DailyAPIKey)}, TokenSecret: auth.Secret(dailyTokenSecret)}
}

// SetDomain puts another configuration of the domain in force, as a reload does.
func (s *Server) SetDomain(d daily.Domain) {
	s.T.Helper()
	s.Domains.Set([]daily.Domain{d})
	keys, err := auth.NewKeys(append(keysOf(s.Door.Key("test")), s.Domains.Keys()...), nil)
	if err != nil {
		s.T.Fatal(err)
	}
	s.Verifier.SetKeys(keys)
	s.Sessions.KeysChanged()
}

// serveDaily has a configuration let people in whom Daily's rooms let in.
func serveDaily(c *session.Config, d *daily.Domains) { c.Anyone, c.Ignores = d.Anyone, d.Ignores }

// DailyRoom makes a room with a Daily part.
func (s *Server) DailyRoom(name string, settings room.DailySettings) room.DailyRoom {
	s.T.Helper()
	b := s.Rooms.Batch()
	made, _, err := s.Rooms.CreateDaily(b, "test", []string{name}, []room.DailySettings{settings})
	if err != nil {
		s.T.Fatalf("making the room %s: %v", name, err)
	}
	b.Flush()
	return made[0]
}

// Properties are a meeting token's, by the names that POST /meeting-tokens knows.
type Properties map[string]any

// DailyToken returns a meeting token, as that call does.
func (s *Server) DailyToken(roomName, user string, more ...Properties) string {
	s.T.Helper()
	p := Properties{}
	if roomName != "" {
		p["room_name"] = roomName
	}
	if user != "" {
		p["user_id"], p["user_name"] = user, user
	}
	for _, m := range more {
		maps.Copy(p, m)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		s.T.Fatal(err)
	}
	d, _ := s.Domains.ByProject("test")
	token, err := daily.Mint(d, raw, time.Now())
	if err != nil {
		s.T.Fatalf("minting %s: %v", raw, err)
	}
	return token
}

// SelfSigned returns a token with these claims that the application has signed
// with an API key, by another library than ours.
func (s *Server) SelfSigned(key string, claims map[string]any) string {
	s.T.Helper()
	all := jwt.MapClaims{"d": DailyDomain, "iat": time.Now().Unix()}
	maps.Copy(all, claims)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(key))
	if err != nil {
		s.T.Fatal(err)
	}
	return token
}

// JoinAs connects and sends that first message. It returns the client and what it
// is told first, "joined" or "waiting".
func (s *Server) JoinAs(m wire.Message) (*Client, Event) {
	s.T.Helper()
	c := s.Dial(nil)
	return c, c.Begin(m)
}

// Begin sends a join and returns what comes first.
func (c *Client) Begin(m wire.Message) Event {
	c.T.Helper()
	m.Type = "join"
	c.Send(m)
	return c.ExpectWhere("joined or waiting", func(e Event) bool { return e.Type() == "joined" || e.Type() == "waiting" })
}
