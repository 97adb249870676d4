package session_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// One thing has one limit, with one error, whichever way it comes.
func TestOneLimitOnEveryPath(t *testing.T) {
	limits := room.Limits{MetadataBytes: 100, AttributesBytes: 60, NameBytes: 30, DataBytes: 50, PresenceBytes: 40, Tracks: 3}
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) { c.Limits = limits }})
	admins := func(c *livekit.Claims) { c.Video.RoomAdmin, c.Video.CanUpdateOwnMetadata = true, ptr(true) }
	ada, _ := s.Join(s.Token("lobby", "ada", admins))
	a := newAdmin(s, "lobby")

	// Every participant comes with ten bytes of attributes, which count when
	// others are merged in. Two-byte letters show that bytes are counted.
	had := map[string]string{"had": "1234567"}
	text := func(n int) string { return strings.Repeat("é", n/2) + strings.Repeat("x", n%2) }
	things := map[string]struct {
		limit int
		in    func(n int) (name, metadata *string, attributes map[string]string)
	}{
		"name":     {30, func(n int) (*string, *string, map[string]string) { return ptr(text(n)), nil, nil }},
		"metadata": {100, func(n int) (*string, *string, map[string]string) { return nil, ptr(text(n)), nil }},
		"attributes": {60, func(n int) (*string, *string, map[string]string) {
			return nil, nil, map[string]string{text(20): text(n - 30)}
		}},
	}
	// Each path returns the message of its error, "" for none.
	refusal := func(e sessiontest.Event) string {
		if code := e.Str("code"); code != "" && code != "limit_exceeded" {
			t.Errorf("got %s, want limit_exceeded", e.Text)
		}
		return e.Str("message")
	}
	n := 0
	paths := map[string]func(t *testing.T, s *sessiontest.Server, name, metadata *string, attributes map[string]string) string{
		"updateMetadata": func(t *testing.T, s *sessiontest.Server, name, metadata *string, attributes map[string]string) string {
			c, _ := s.Join(s.Token("lobby", fmt.Sprint("p", n), admins, func(c *livekit.Claims) { c.Attributes = had }))
			defer leave(c)
			return refusal(c.Ask(wire.Message{Type: "updateMetadata", Name: name, Metadata: metadata, Attributes: attributes}))
		},
		"updateParticipant": func(t *testing.T, s *sessiontest.Server, name, metadata *string, attributes map[string]string) string {
			c, _ := s.Join(s.Token("lobby", fmt.Sprint("p", n), func(c *livekit.Claims) { c.Attributes = had }))
			defer leave(c)
			return refusal(ada.Ask(wire.Message{Type: "updateParticipant", Identity: fmt.Sprint("p", n), Name: name, Metadata: metadata, Attributes: attributes}))
		},
		"server API": func(t *testing.T, s *sessiontest.Server, name, metadata *string, attributes map[string]string) string {
			c, _ := s.Join(s.Token("lobby", fmt.Sprint("p", n), func(c *livekit.Claims) { c.Attributes = had }))
			defer leave(c)
			err := a.update(fmt.Sprint("p", n), room.Change{Name: name, Metadata: metadata, Attributes: attributes})
			var limit *room.LimitError
			if err != nil && !errors.As(err, &limit) {
				t.Errorf("got %v, want a limit", err)
			}
			if err == nil {
				return ""
			}
			return err.Error()
		},
		"token": func(t *testing.T, s *sessiontest.Server, name, metadata *string, attributes map[string]string) string {
			code := s.Dial(nil).Refused(wire.Message{Type: "join", Token: s.Token("lobby", fmt.Sprint("p", n), func(c *livekit.Claims) {
				if name != nil {
					c.Name = *name
				}
				if metadata != nil {
					c.Metadata = *metadata
				}
				if c.Attributes = had; attributes != nil {
					for k, v := range attributes {
						c.Attributes = map[string]string{"had": "1234567", k: v}
					}
				}
			})})
			switch code {
			case 0:
				return ""
			case wire.LimitExceeded:
				return "close"
			}
			t.Errorf("got close code %d", code)
			return ""
		},
	}
	for thing, test := range things {
		for path, try := range paths {
			t.Run(thing+" by "+path, func(t *testing.T) {
				for _, size := range []int{test.limit, test.limit + 1} {
					n++
					name, metadata, attributes := test.in(size)
					got := try(t, s.For(t), name, metadata, attributes)
					want := ""
					if size > test.limit {
						if want = fmt.Sprintf("%s exceeds the limit of %d bytes", thing, test.limit); path == "token" {
							want = "close"
						}
					}
					if got != want {
						t.Errorf("%d bytes: got %q, want %q", size, got, want)
					}
				}
			})
		}
	}

	t.Run("identity and room", func(t *testing.T) {
		for size, want := range map[int]wire.CloseCode{30: 0, 31: wire.LimitExceeded} {
			for _, token := range []string{s.Token("lobby", text(size)), s.Token(text(size), "ada")} {
				if got := s.For(t).Dial(nil).Refused(wire.Message{Type: "join", Token: token}); got != want {
					t.Errorf("%d bytes: got close code %d, want %d", size, got, want)
				}
			}
		}
	})
	t.Run("messages", func(t *testing.T) {
		presence := func(n int) map[string]json.RawMessage {
			return map[string]json.RawMessage{"0123456789": jsonOf(strings.Repeat("x", n-12))}
		}
		for what, test := range map[string]struct {
			limit int
			m     func(n int) wire.Message
		}{
			"payload": {50, func(n int) wire.Message {
				return wire.Message{Type: "publishData", Payload: jsonOf(strings.Repeat("x", n-2))}
			}},
			"topic": {30, func(n int) wire.Message {
				return wire.Message{Type: "publishData", Payload: jsonOf(""), Topic: text(n)}
			}},
			"presence": {40, func(n int) wire.Message { return wire.Message{Type: "updatePresence", Presence: presence(n)} }},
			"name": {30, func(n int) wire.Message {
				return wire.Message{Type: "publishTrack", Kind: "data", Name: ptr(text(n))}
			}},
			"codec": {8 << 10, func(n int) wire.Message {
				return wire.Message{Type: "publishTrack", Kind: "data", Codec: jsonOf(strings.Repeat("x", n-2))}
			}},
		} {
			if e := ada.Ask(test.m(test.limit)); e.Type() != "ok" {
				t.Errorf("%s of %d bytes: got %s", what, test.limit, e.Text)
			}
			if got, want := refusal(ada.Ask(test.m(test.limit+1))), fmt.Sprintf("%s exceeds the limit of %d bytes", what, test.limit); got != want {
				t.Errorf("%s: got %q, want %q", what, got, want)
			}
		}
		// What is there already counts.
		if got := refusal(ada.Ask(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{"k": json.RawMessage("1")}})); !strings.HasPrefix(got, "presence exceeds") {
			t.Errorf("merged presence: got %q", got)
		}
		ada.OK(wire.Message{Type: "publishTrack", Kind: "data"})
		if got := refusal(ada.Ask(wire.Message{Type: "publishTrack", Kind: "data"})); !strings.HasPrefix(got, "tracks exceeds the limit of 3") {
			t.Errorf("a fourth track: got %q", got)
		}
	})
}

// A change after which no refreshed token could tell the state is refused on
// every path, also when it is small itself.
func TestRefreshedTokenLimit(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{TokenBytes: 4096})
	ada, _ := s.Join(s.Token("lobby", "ada", func(c *livekit.Claims) { c.Video.RoomAdmin, c.Video.CanUpdateOwnMetadata = true, ptr(true) }))
	ada.Expect("refreshToken")
	a := newAdmin(s, "lobby")
	fits, exceeds := strings.Repeat("x", 2000), strings.Repeat("x", 3000)
	const want = "the refreshed token exceeds limits.token_bytes"
	for _, m := range []wire.Message{
		{Type: "updateMetadata", Metadata: &exceeds},
		{Type: "updateParticipant", Identity: "ada", Metadata: &exceeds},
		{Type: "updateMetadata", Metadata: ptr(strings.Repeat("\x01", 500))}, // six bytes each
	} {
		if e := ada.Ask(m); e.Str("code") != "limit_exceeded" || e.Str("message") != want {
			t.Errorf("%s: got %s", m.Type, e.Text)
		}
	}
	var limit *room.LimitError
	if err := a.update("ada", room.Change{Metadata: &exceeds}); !errors.As(err, &limit) || limit.Error() != want {
		t.Errorf("server API: got %v", err)
	}
	ada.OK(wire.Message{Type: "updateMetadata", Metadata: &fits})
	if e := ada.Expect("refreshToken"); len(e.Str("token")) > 4096 {
		t.Errorf("the token has %d bytes", len(e.Str("token")))
	}
	for i := range 100 { // in small steps
		e := ada.Ask(wire.Message{Type: "updateMetadata", Attributes: map[string]string{strconv.Itoa(i): strings.Repeat("y", 50)}})
		if e.Str("code") == "limit_exceeded" {
			return
		}
		ada.Expect("refreshToken")
	}
	t.Error("no step was refused")
}
