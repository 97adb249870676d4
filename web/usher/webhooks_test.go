package usher_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"usher/session/sessiontest"
	"usher/web/usher"
	"usher/web/webhook"
)

// The outbox, of the caller's project.
func TestWebhooks(t *testing.T) {
	var asked string
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	s := &site{sessiontest.Serve(t, sessiontest.Options{
		Handler: func(s *sessiontest.Server, sessions http.Handler) http.Handler {
			return usher.New(usher.Config{Rooms: s.Rooms, Verifier: s.Verifier, Outbox: func(project string) ([]webhook.Status, int) {
				asked = project
				return []webhook.Status{
					{URL: "https://a/", Pending: 2, Oldest: time.Now().Add(-time.Minute), Next: at, Outcomes: map[string]int{"delivered": 3},
						Last: webhook.Round{At: at, Event: "room_started", Room: "lobby", Problem: "status 503"}},
					{URL: "https://b/", Outcomes: map[string]int{}},
					{ID: "1-2", URL: "https://c", Health: webhook.Health{Failed: true, Failures: 3, Pushed: at}, Outcomes: map[string]int{"tripped": 7}},
					{ID: "3-4", URL: "https://d", Outcomes: map[string]int{}},
				}, 4
			}})
		},
	})}
	a := s.call("GET", "/webhooks", s.project(), "")
	a.want(t, 200, "")
	for _, want := range []string{`"unwritten":4`, `"nextAttempt":"2026-01-02T12:00:00Z"`, `"outcome":"retry","problem":"status 503"`, `"delivered":3`,
		`{"url":"https://b/","pending":0,"outcomes":{}}`,
		`{"id":"1-2","url":"https://c","state":"FAILED","failures":3,"lastDelivered":"2026-01-02T12:00:00Z","pending":0,"outcomes":{"tripped":7}}`,
		`{"id":"3-4","url":"https://d","state":"ACTIVE","failures":0,"pending":0,"outcomes":{}}`} {
		if !strings.Contains(a.Text, want) {
			t.Errorf("got %s, without %s", a.Text, want)
		}
	}
	if asked != "test" {
		t.Errorf("the outbox of the project %q was asked for", asked)
	}
	if a := serve(t).call("GET", "/webhooks", s.project(), ""); a.Text != `{"unwritten":0,"targets":[]}`+"\n" {
		t.Errorf("without webhooks: got %s", a.Text)
	}
}
