package usher_test

import (
	"fmt"
	"math/bits"
	"net/url"
	"strings"
	"testing"
	"time"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// Only what is named changes; null clears. The session feels it at once, in one
// event and one token.
func TestChange(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob", func(c *tokens.Claims) {
		c.Name, c.Metadata, c.Attributes = "Bob", "m", map[string]string{"a": "1", "b": "2"}
	}))
	bob.Expect("refreshToken")
	patch := func(body string) answer {
		t.Helper()
		a := s.call("PATCH", "/rooms/lobby/participants/bob", s.admin("lobby"), body)
		if a.status != 200 {
			t.Fatalf("%s: got %d %s", body, a.status, a.Text)
		}
		return a
	}
	told := func() (events, refreshed int) {
		bob.Sync()
		for _, e := range bob.Seen() {
			switch e.Type() {
			case "participantUpdated":
				events++
			case "refreshToken":
				refreshed++
			}
		}
		return events, refreshed
	}
	a := patch(`{"name":null,"metadata":"n","attributes":{"a":null,"c":"3"},"permission":{"canPublish":false,"canUpdateMetadata":true}}`)
	for path, want := range map[string]string{"name": "", "metadata": "n", "attributes.a": "", "attributes.b": "2", "attributes.c": "3",
		"permissions.canPublish": "false", "permissions.canPublishData": "true", "permissions.canSubscribe": "true", "permissions.canUpdateOwnMetadata": "true"} {
		if got := a.Str(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if events, refreshed := told(); events != 1 || refreshed != 2 {
		t.Errorf("%d events and %d tokens, want 1 and one more than the first", events, refreshed)
	}
	if e := bob.Ask(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"}); e.Str("code") != "not_allowed" || e.Str("layer") != "live" {
		t.Errorf("got %s", e.Text)
	}
	a = patch(`{"permission":{"canPublishSources":["microphone"]}}`)
	if got := fmt.Sprint(a.Get("permissions.canPublishSources")); got != "[microphone]" || a.Get("permissions.canUpdateOwnMetadata") != true {
		t.Errorf("got %s", a.Text)
	}
	bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	a = patch(`{}`)
	if events, refreshed := told(); events != 2 || refreshed != 3 || a.Str("metadata") != "n" {
		t.Errorf("nothing was named: %d events, %d tokens, %s", events, refreshed, a.Text)
	}
	patch(`{"metadata":null,"attributes":{}}`)

	for body, code := range map[string]string{
		`{"nane":"x"}`:                                    "invalid_request",
		`{"permission":{"canPublsh":true}}`:               "invalid_request",
		`{"permission":{"canPublishSources":["webcam"]}}`: "invalid_request",
		`{"permission":{"recorder":true}}`:                "invalid_request",
		`{"name":7}`:                                      "invalid_request",
		`[]`:                                              "invalid_request",
		``:                                                "invalid_request",
		`{} {}`:                                           "invalid_request",
		`{"name":"` + strings.Repeat("x", 257) + `"}`:                "limit_exceeded",
		`{"metadata":"` + strings.Repeat("x", 513<<10) + `"}`:        "limit_exceeded",
		`{"attributes":{"k":"` + strings.Repeat("x", 65<<10) + `"}}`: "limit_exceeded",
	} {
		s.call("PATCH", "/rooms/lobby/participants/bob", s.admin("lobby"), body).want(t, 400, code)
	}
	s.call("PATCH", "/rooms/lobby/participants/bob", s.admin("lobby"), `{"metadata":"`+strings.Repeat("x", 9<<20)+`"}`).want(t, 413, "limit_exceeded")
	s.call("PATCH", "/rooms/lobby/participants/nobody", s.admin("lobby"), `{}`).want(t, 404, "not_found")
	s.call("PATCH", "/rooms/empty/participants/bob", s.admin("empty"), `{}`).want(t, 404, "not_found")
	if events, _ := told(); events != 3 {
		t.Errorf("what was refused was told: %d events", events)
	}

	// Names in addresses may hold anything.
	odd := "a/b c?d#e%2Fñ"
	eve, _ := s.Join(s.Token(odd, odd))
	at := "/rooms/" + url.PathEscape(odd) + "/participants/" + url.PathEscape(odd)
	s.call("PATCH", at, s.admin(odd), `{"name":"found"}`).want(t, 200, "")
	if e := eve.Expect("participantUpdated"); e.Str("participant.name") != "found" {
		t.Errorf("got %s", e.Text)
	}
}

// Each right: yes or no, who decided, what every layer said, and when.
func TestExplain(t *testing.T) {
	s := serve(t)
	bob, joined := s.Join(s.Token("lobby", "bob"))
	path := "/rooms/lobby/participants/bob/permissions"
	explain := func() (answer, map[string]map[string]any) {
		t.Helper()
		a := s.call("GET", path, s.admin("lobby"), "")
		if a.status != 200 {
			t.Fatalf("got %d %s", a.status, a.Text)
		}
		rights := map[string]map[string]any{}
		for _, r := range a.Get("permissions").([]any) {
			r := r.(map[string]any)
			rights[r["right"].(string)] = r
		}
		return a, rights
	}
	a, rights := explain()
	if a.Str("sid") != joined.Str("session") || a.Get("connected") != true || len(rights) != bits.OnesCount64(uint64(auth.AllRights)) {
		t.Errorf("got %s", a.Text)
	}
	if r := rights["sendCamera"]; r["allowed"] != true || r["decidedBy"] != "token" || len(r["said"].([]any)) != 1 {
		t.Errorf("sendCamera: %v", r)
	}
	before := time.Now()
	s.call("PATCH", "/rooms/lobby/participants/bob", s.admin("lobby"), `{"permission":{"canPublish":false}}`).want(t, 200, "")
	s.call("PATCH", "/rooms/lobby/participants/bob", s.project(), `{"permission":{"canUpdateMetadata":true}}`).want(t, 200, "")
	_, rights = explain()
	said := rights["sendCamera"]["said"].([]any)
	if r := rights["sendCamera"]; r["allowed"] != false || r["decidedBy"] != "live" || len(said) != 2 {
		t.Fatalf("sendCamera: %v", r)
	}
	last := said[1].(map[string]any)
	at, err := time.Parse(time.RFC3339Nano, last["at"].(string))
	if err != nil || at.Before(before.Add(-time.Second)) || at.After(time.Now()) || last["says"] != "deny" || last["by"] != sessiontest.Key {
		t.Errorf("the live layer: %v", last)
	}
	if r := rights["updateOwnMetadata"]; r["allowed"] != true || r["decidedBy"] != "live" {
		t.Errorf("updateOwnMetadata: %v", r)
	}
	if r := rights["sendData"]; r["allowed"] != true || r["decidedBy"] != "token" {
		t.Errorf("sendData: %v", r)
	}

	// Of somebody who has left, what still stands.
	bob.Send(wire.Message{Type: "leave"})
	bob.ExpectClose(wire.Left)
	a, rights = explain()
	if r := rights["sendCamera"]; a.Get("connected") != false || a.Str("sid") != "" || r["allowed"] != nil || len(r["said"].([]any)) != 1 {
		t.Errorf("got %s", a.Text)
	}
	s.call("GET", "/rooms/lobby/participants/nobody/permissions", s.admin("lobby"), "").want(t, 404, "not_found")
}
