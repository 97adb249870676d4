package usher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// knocks has somebody wait for a room, and returns their sid.
func (s *site) knocks(roomName, name string) (*sessiontest.Client, string) {
	s.T.Helper()
	c := s.Dial(nil)
	told := c.Begin(wire.Message{Type: "join", Room: roomName, Name: &name})
	if told.Str("type") != "waiting" {
		s.T.Fatalf("got %s, want waiting", told.Text)
	}
	return c, told.Str("session")
}

// Who waits is shown in the order in which they came, and answered: some, or all.
// §4.
func TestWaiting(t *testing.T) {
	s := serve(t)
	s.DailyRoom("call", room.DailySettings{Private: true, Knocking: true})
	waiting := func(want ...string) {
		t.Helper()
		a := s.call("GET", "/rooms/call/waiting", s.project(), "")
		list, ok := a.Get("waiting").([]any)
		if a.status != 200 || !ok || len(list) != len(want) {
			t.Fatalf("got %d %s, want %d who wait", a.status, a.Text, len(want))
		}
		for i, sid := range want {
			if got := list[i].(map[string]any)["sid"]; got != sid {
				t.Errorf("%d: got %q, want %q", i, got, sid)
			}
		}
	}
	waiting()
	var people []*sessiontest.Client
	var sids []string
	for _, name := range []string{"A", "B", "C", "D"} {
		c, sid := s.knocks("call", name)
		people, sids = append(people, c), append(sids, sid)
	}
	waiting(sids...)
	a := s.call("GET", "/rooms/call/waiting", s.admin("call"), "")
	if first := a.Get("waiting").([]any)[0].(map[string]any); first["name"] != "A" || first["joinedAt"].(float64) < 1e12 {
		t.Errorf("got %s", a.Text)
	}

	answered := func(body string, want int) {
		t.Helper()
		a := s.call("POST", "/rooms/call/waiting", s.admin("call"), body)
		if list, ok := a.Get("answered").([]any); a.status != 200 || !ok || len(list) != want {
			t.Errorf("%s: got %d %s, want %d", body, a.status, a.Text, want)
		}
	}
	answered(`{"admit":["`+sids[1]+`"]}`, 1)
	people[1].Expect("joined")
	answered(`{"deny":["`+sids[0]+`"]}`, 1)
	people[0].ExpectClose(wire.NotAdmitted)
	answered(`{"admit":["`+sids[2]+`","PA_nobody"]}`, 1)
	people[2].Expect("joined")
	waiting(sids[3])
	answered(`{"deny":"all"}`, 1)
	people[3].ExpectClose(wire.NotAdmitted)
	answered(`{"admit":"all"}`, 0)
	waiting()
}

// Only who may administer the room sees and answers who waits; an answer that could
// be meant otherwise is none.
func TestWaitingRefused(t *testing.T) {
	s := serve(t)
	s.DailyRoom("call", room.DailySettings{Private: true, Knocking: true})
	c, sid := s.knocks("call", "A")
	for name, token := range map[string]string{
		"participant":           s.Token("call", "eve"),
		"admin of another room": s.admin("other"),
		"an owner's":            s.DailyToken("call", "ada", sessiontest.Properties{"is_owner": true}),
	} {
		if a := s.call("GET", "/rooms/call/waiting", token, ""); a.status != 403 {
			t.Errorf("%s: got %d %s", name, a.status, a.Text)
		}
		if a := s.call("POST", "/rooms/call/waiting", token, `{"admit":"all"}`); a.status != 403 {
			t.Errorf("%s: got %d %s", name, a.status, a.Text)
		}
	}
	for _, body := range []string{`{}`, `{"admit":[]}`, `{"admit":"some"}`, `{"admit":7}`, `{"admit":"all","deny":"all"}`, `{"admit":null}`, `{"let":"in"}`, `[]`, ``} {
		s.call("POST", "/rooms/call/waiting", s.admin("call"), body).want(t, 400, "invalid_request")
	}
	s.call("GET", "/rooms/none/waiting", s.project(), "").want(t, 404, "not_found")
	s.call("POST", "/rooms/none/waiting", s.project(), `{"admit":"all"}`).want(t, 404, "not_found")
	if a := s.call("POST", "/rooms/call/waiting", s.project(), `{"admit":["`+sid+`"]}`); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.Text)
	}
	c.Expect("joined")
}

// §1.7, §7.3: how long somebody may stay is changed while they are there, of all of a
// person's sessions, and everybody is told.
func TestLimitStay(t *testing.T) {
	s := serve(t)
	s.DailyRoom("call", room.DailySettings{Private: true})
	ada, joined := s.Join(s.DailyToken("call", "ada", sessiontest.Properties{"eject_after_elapsed": 600}))
	if joined.Get("self.willEjectAt") == nil {
		t.Fatalf("no limit: %s", joined.Text)
	}
	again, _ := s.Join(s.DailyToken("call", "ada"))
	bob, _ := s.Join(s.Token("call", "bob"))
	later := float64(time.Now().Add(time.Hour).UnixMilli())
	a := s.call("PATCH", "/rooms/call/participants/ada", s.admin("call"), fmt.Sprintf(`{"willEjectAt":%.0f}`, later))
	if a.status != 200 || a.Get("willEjectAt") != later {
		t.Errorf("got %d %s", a.status, a.Text)
	}
	for _, c := range []*sessiontest.Client{ada, again, bob} {
		c.ExpectWhere("the new limit", func(e sessiontest.Event) bool {
			return e.Str("type") == "participantUpdated" && e.Get("participant.willEjectAt") == later
		})
	}
	if a := s.call("PATCH", "/rooms/call/participants/ada", s.project(), `{"willEjectAt":null}`); a.status != 200 || a.Get("willEjectAt") != nil {
		t.Errorf("got %d %s", a.status, a.Text)
	}
	for _, body := range []string{`{"willEjectAt":0}`, `{"willEjectAt":-1}`, `{"willEjectAt":1.5}`, `{"willEjectAt":"soon"}`, `{"willEjectAt":9e15}`, `{"willEjectAt":true}`} {
		s.call("PATCH", "/rooms/call/participants/ada", s.project(), body).want(t, 400, "invalid_request")
	}
	// It is changed by itself: of two changes one might be made.
	for _, more := range []string{`"name":"Eve"`, `"metadata":null`, `"attributes":{}`, `"permission":{}`} {
		a := s.call("PATCH", "/rooms/call/participants/ada", s.project(), `{"willEjectAt":null,`+more+`}`)
		a.want(t, 400, "invalid_request")
		if !strings.Contains(a.Text, "willEjectAt is changed by itself") {
			t.Errorf("%s: got %s", more, a.Text)
		}
	}
	s.call("PATCH", "/rooms/call/participants/nobody", s.project(), `{"willEjectAt":null}`).want(t, 404, "not_found")
	s.call("PATCH", "/rooms/call/participants/ada", s.Token("call", "eve"), `{"willEjectAt":null}`).want(t, 403, "permission_denied")
	// One that has passed ends it now, LiveKit's people, too.
	for identity, clients := range map[string][]*sessiontest.Client{"ada": {ada, again}, "bob": {bob}} {
		if a := s.call("PATCH", "/rooms/call/participants/"+identity, s.admin("call"), `{"willEjectAt":1}`); a.status != 200 {
			t.Errorf("got %d %s", a.status, a.Text)
		}
		for _, c := range clients {
			c.ExpectClose(wire.TimeLimit)
		}
	}
}

// Why somebody with a Daily token may do what they may names its layers. §4.
func TestExplainDailyLayers(t *testing.T) {
	s := serve(t)
	s.DailyRoom("call", room.DailySettings{Private: true})
	_, _ = s.Join(s.DailyToken("call", "ada", sessiontest.Properties{"permissions": map[string]any{"canSend": false}}))
	_, _ = s.Join(s.DailyToken("call", "own", sessiontest.Properties{"is_owner": true}))
	decides := func(identity, right string) string {
		t.Helper()
		a := s.call("GET", "/rooms/call/participants/"+identity+"/permissions", s.project(), "")
		for _, p := range a.Get("permissions").([]any) {
			if p := p.(map[string]any); p["right"] == right {
				by, _ := p["decidedBy"].(string)
				return fmt.Sprint(p["allowed"], " ", by)
			}
		}
		t.Fatalf("no word of %s: %s", right, a.Text)
		return ""
	}
	for _, test := range []struct{ identity, right, want string }{
		{"ada", "sendCamera", "false token"},
		{"ada", "receiveCamera", "true domain"},
		{"ada", "sendData", "true domain"},
		{"own", "sendCamera", "true owner"},
		{"own", "moderateParticipants", "true owner"},
	} {
		if got := decides(test.identity, test.right); got != test.want {
			t.Errorf("%s, %s: got %q, want %q", test.identity, test.right, got, test.want)
		}
	}
}
