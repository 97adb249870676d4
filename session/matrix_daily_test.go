package session_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// This file tries every operation as every kind of person that Daily's tokens and
// rooms make. What must happen is said by hand, from docs/protocol.md.

// A dailyPerson is one kind of them.
type dailyPerson struct {
	properties sessiontest.Properties // nil: without a token
	sources    []string               // that may be published
	deaf       bool                   // receives nothing
	admin      bool                   // may moderate people
	owner      bool
	hidden     bool
	waits      bool
}

func permissions(p map[string]any) sessiontest.Properties {
	return sessiontest.Properties{"permissions": p}
}

var dailyPeople = map[string]dailyPerson{
	"an owner": {properties: owner, sources: everySource, admin: true, owner: true},
	"an owner, whom nothing narrows": {properties: sessiontest.Properties{"is_owner": true, "permissions": map[string]any{
		"canSend": false, "canAdmin": false, "hasPresence": false, "canReceive": map[string]any{"base": false}}}, sources: everySource, admin: true, owner: true},
	"an admin":                 {properties: permissions(map[string]any{"canAdmin": []string{"participants"}}), sources: everySource, admin: true},
	"an admin of all":          {properties: permissions(map[string]any{"canAdmin": true}), sources: everySource, admin: true},
	"one who may stream":       {properties: permissions(map[string]any{"canAdmin": []string{"streaming", "transcription"}}), sources: everySource},
	"somebody":                 {properties: sessiontest.Properties{}, sources: everySource},
	"one who sends sound":      {properties: permissions(map[string]any{"canSend": []string{"audio", "screenAudio"}}), sources: []string{"microphone", "screen_share_audio"}},
	"one who sends custom":     {properties: permissions(map[string]any{"canSend": []string{"customVideo", "customAudio"}}), sources: []string{"custom_video", "custom_audio"}},
	"one who sends nothing":    {properties: permissions(map[string]any{"canSend": false})},
	"one who receives nothing": {properties: permissions(map[string]any{"canReceive": map[string]any{"base": false}}), sources: everySource, deaf: true},
	"somebody hidden":          {properties: permissions(map[string]any{"hasPresence": false}), sources: everySource, hidden: true},
	"one without a token":      {sources: everySource},
	"one who waits":            {waits: true},
}

// denial is the permission that an operation lacks, in general.
func (p dailyPerson) denial(needed string, has bool) string {
	switch {
	case p.waits:
		return "lobby"
	case has:
		return ""
	}
	return needed
}

func (p dailyPerson) missing(source string) string {
	switch {
	case p.waits:
		return "lobby"
	case p.hidden:
		return "hidden"
	case source == "" || slices.Contains(p.sources, source):
		return ""
	case len(p.sources) == 0:
		return "canPublish"
	}
	return "canPublishSources"
}

func TestEveryOperationAsEveryDailyPerson(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	n := 0
	for name, person := range dailyPeople {
		n++
		roomName := fmt.Sprint("stage-", n)
		t.Run(name, func(t *testing.T) {
			s := s.For(t)
			s.DailyRoom(roomName, room.DailySettings{Private: person.waits, Knocking: person.waits})
			watcher, _ := s.Join(s.DailyToken(roomName, "watcher", owner))
			audio := watcher.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
			m := wire.Message{Room: roomName}
			if person.properties != nil {
				m.Token = s.DailyToken(roomName, "actor", person.properties)
			}
			actor, first := s.JoinAs(m)
			if (first.Type() == "waiting") != person.waits {
				t.Fatalf("got %s", first.Text)
			}
			told := map[string]string{}
			// try sends a request, and checks that it is done, or that this permission is
			// said to be missing: once for each kind.
			try := func(m wire.Message, missing string) sessiontest.Event {
				t.Helper()
				e := actor.Ask(m)
				switch {
				case missing == "" && e.Type() != "ok":
					t.Errorf("%s: got %s, want ok", m.Type, e.Text)
				case missing != "" && e.Str("code") != "not_allowed", missing != "" && e.Get("permission") != nil && e.Str("permission") != missing,
					missing != "" && e.Get("permission") == nil && told[m.Type] == "":
					t.Errorf("%s: got %s, want not_allowed %s", m.Type, e.Text, missing)
				}
				if missing != "" {
					told[m.Type] = missing
				}
				return e
			}

			if !person.waits {
				for path, want := range map[string]any{"self.permissions.hidden": person.hidden, "self.permissions.canSubscribe": !person.deaf,
					"self.permissions.canPublish": len(person.sources) > 0, "self.permissions.canPublishData": true, "self.permissions.canUpdateOwnMetadata": true} {
					if got := first.Get(path); got != want {
						t.Errorf("%s is %v, want %v", path, got, want)
					}
				}
				if got := first.Get("self.permissions.owner") == true; got != person.owner {
					t.Errorf("it is told %s", first.Text)
				}
				if got := slices.Contains(first.Get("self.permissions.admin").([]any), "participants"); got != person.admin || (first.Get("waiting") != nil) != person.admin {
					t.Errorf("it is told %s", first.Text)
				}
			}
			// What everybody may do who is in.
			all := person.denial("", true)
			try(wire.Message{Type: "publishData", Payload: jsonOf("x")}, all)
			try(wire.Message{Type: "publishData", Payload: jsonOf("x"), DestinationIdentities: []string{"watcher"}, Reliable: ptr(false)}, all)
			try(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{"a": []byte("1")}}, all)
			try(wire.Message{Type: "updateMetadata", Name: ptr("actor")}, "") // also while it waits
			try(wire.Message{Type: "updateMetadata", Metadata: ptr("m")}, all)
			try(wire.Message{Type: "updateMetadata", Attributes: map[string]string{"a": "1"}}, all)
			try(wire.Message{Type: "updateSessionData", Data: map[string]json.RawMessage{"a": []byte("1")}}, all)
			try(wire.Message{Type: "listParticipants"}, all)
			for _, source := range append([]string{""}, everySource...) {
				e := try(wire.Message{Type: "publishTrack", Kind: kindOf[source], Source: source}, person.missing(source))
				if person.missing(source) == "" {
					try(wire.Message{Type: "unpublishTrack", TrackSID: e.Str("track.sid")}, "")
				}
			}
			sid := audio.Str("track.sid")
			if !person.waits {
				actor.Sync()
				if got := slices.ContainsFunc(actor.Seen(), func(e sessiontest.Event) bool { return e.Type() == "trackSubscribed" }); got == person.deaf {
					t.Errorf("it receives the watcher's track: %t", got)
				}
				try(wire.Message{Type: "unsubscribe", TrackSID: sid}, "")
			}
			try(wire.Message{Type: "subscribe", TrackSID: sid}, person.denial("canSubscribe", !person.deaf))

			// What moderators may do, and to whom.
			admin := person.denial("roomAdmin", person.admin)
			overOwners := admin
			if admin == "" && !person.owner {
				overOwners = "owner"
			}
			for _, target := range []struct {
				properties sessiontest.Properties
				denied     string
			}{{sessiontest.Properties{}, admin}, {owner, overOwners}} {
				victims := 0
				victim := func() (c *sessiontest.Client, identity, sid, track string) {
					t.Helper()
					victims++
					identity = fmt.Sprintf("victim-%s-%d-%d", target.denied, len(target.properties), victims)
					c, e := s.Join(s.DailyToken(roomName, identity, target.properties))
					return c, identity, e.Str("session"), c.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"}).Str("track.sid")
				}
				c, identity, sid, track := victim()
				try(wire.Message{Type: "updateParticipant", Identity: identity, Name: ptr("x")}, target.denied)
				try(wire.Message{Type: "updateParticipant", SID: sid, Permission: &wire.Permission{CanPublish: true, CanPublishData: true, CanSubscribe: true}}, target.denied)
				try(wire.Message{Type: "muteTrack", TrackSID: track, Muted: ptr(true)}, target.denied)
				try(wire.Message{Type: "updatePermissions", Data: map[string]json.RawMessage{sid: []byte(`{"canSend":["audio"]}`)}}, target.denied)
				e := actor.Ask(wire.Message{Type: "listParticipants"})
				if !person.waits && strings.Contains(e.Text, `"name":"x"`) != (target.denied == "") {
					t.Errorf("%s was changed, or not: %s", identity, e.Text)
				}
				for _, how := range []struct {
					typ        string
					bySID, ban bool
				}{{"ejectParticipant", false, false}, {"ejectParticipant", true, false}, {"ejectParticipant", true, true}, {"ejectParticipant", false, true},
					{"removeParticipant", false, false}, {"removeParticipant", true, false}} {
					m := wire.Message{Type: how.typ, Identity: identity, Ban: how.ban}
					if how.bySID {
						m.Identity, m.SID = "", sid
					}
					try(m, target.denied)
					if target.denied != "" {
						continue
					}
					if code, _ := c.Closed(); code != wire.Ejected && code != wire.Removed {
						t.Errorf("%+v: the victim was closed with %d", m, code)
					}
					c, identity, sid, _ = victim()
				}
				c.Sync()
				leave(c)
			}
			rest := map[string]json.RawMessage{"*": []byte(`{"canReceive":{"byUserId":{"nobody":false}}}`)}
			try(wire.Message{Type: "updatePermissions", Data: rest}, admin) // never concerns owners
			for _, typ := range []string{"admitParticipant", "denyParticipant"} {
				try(wire.Message{Type: typ, All: true}, unless(!person.waits, "lobby")+unless(person.waits, admin))
			}
			if e := actor.Ask(wire.Message{Type: "ping"}); e.Type() != "pong" {
				t.Errorf("got %s", e.Text)
			}
			watcher.Sync()
			for _, p := range sessiontest.Replay(watcher.Seen()).Problems {
				t.Error(p)
			}
			leave(actor)
		})
	}
}
