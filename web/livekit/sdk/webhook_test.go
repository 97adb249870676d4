package sdk_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	lk "github.com/livekit/protocol/livekit"

	"usher/auth"
	"usher/room"
	"usher/room/store"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web/livekit"
	"usher/web/webhook"
)

// A posted is what a backend's web server was sent.
type posted struct{ body, authorization string }

// What is sent by webhook, the SDK's receiver accepts and reads.
func TestWebhookReceiver(t *testing.T) {
	n := startNode(t)
	n.new(t, "receiver", "WebhookReceiver", sessiontest.Key, sessiontest.Secret)
	n.new(t, "stranger", "WebhookReceiver", sessiontest.Key, "another-secret-of-32-bytes-and-more")

	arrived := make(chan posted, 100)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/webhook+json" {
			t.Errorf("got %s %s, %v", r.Method, r.Header, err)
		}
		arrived <- posted{string(body), r.Header.Get("Authorization")}
	}))
	t.Cleanup(backend.Close)
	sender, err := webhook.New(webhook.Config{
		Store:   store.NewMemory(),
		Targets: []webhook.Target{{Project: "test", URL: backend.URL, KeyID: sessiontest.Key, Secret: auth.Secret(sessiontest.Secret), ExtraEvents: true}},
		Encode:  livekit.EncodeWebhook,
	})
	if err == nil {
		err = sender.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := sender.Stop(ctx); err != nil {
			t.Error(err)
		}
	})

	s := serve(t, func(c *room.Config) { c.Observer, c.DepartureTimeout = sender, time.Millisecond })
	client := s.sdk(n).name
	bob := s.enter("lobby", "bob")
	track, _ := bob.microphone()
	n.must(t, client, "updateParticipant", "lobby", "bob", map[string]any{"metadata": "m", "permission": map[string]any{"canSubscribe": true}})
	n.must(t, client, "removeParticipant", "lobby", "bob")
	bob.ExpectClose(wire.Removed)

	var (
		names []string
		first posted
		has   = make(map[string]any)
		ids   = make(map[any]bool)
	)
	watchdog := time.After(patience)
	for !slices.Contains(names, "room_finished") || !slices.Contains(names, "tokens_revoked") {
		var p posted
		select {
		case p = <-arrived:
		case <-watchdog:
			t.Fatalf("got %q, and then nothing", names)
		}
		if first.body == "" {
			first = p
		}
		event := n.must(t, "receiver", "receive", p.body, p.authorization)
		name := fmt.Sprint(at(event, "event"))
		names, has[name] = append(names, name), event
		id, _ := at(event, "id").(string)
		if !strings.HasPrefix(id, "EV_") || ids[id] || at(event, "createdAt.$bigint") == nil {
			t.Errorf("%s: the id is %q, of the time %v", name, id, at(event, "createdAt"))
		}
		ids[id] = true
		if at(event, "room.name") != "lobby" {
			t.Errorf("%s is of %v", name, at(event, "room"))
		}
		if !strings.Contains(p.body, `"createdAt":"`) || strings.Contains(p.body, "turnPassword") || strings.Contains(p.body, `""`) {
			t.Errorf("%s is written as %s", name, p.body)
		}
	}
	_, extra := livekit.WebhookEvents()
	ours := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(extra, name) })
	theirs := slices.DeleteFunc(names, func(name string) bool { return slices.Contains(extra, name) })
	if want := []string{"room_started", "participant_joined", "track_published", "track_unpublished", "participant_left", "room_finished"}; !slices.Equal(theirs, want) {
		t.Errorf("got %q, want %q", theirs, want)
	}
	for _, name := range []string{"participant_permission_changed", "participant_updated", "tokens_revoked"} {
		if !slices.Contains(ours, name) {
			t.Errorf("%s did not come; got %q", name, ours)
		}
	}
	for _, want := range []struct {
		event, path string
		value       any
	}{
		{"room_started", "room.sid", bob.joined.Str("room.sid")},
		{"participant_joined", "participant.sid", bob.sid()},
		{"participant_joined", "participant.identity", "bob"},
		{"participant_joined", "room.sid", bob.joined.Str("room.sid")},
		{"track_published", "track.sid", track},
		{"track_published", "track.source", float64(lk.TrackSource_MICROPHONE)},
		{"track_published", "participant.identity", "bob"},
		{"track_unpublished", "track.sid", track},
		{"participant_left", "participant.state", float64(lk.ParticipantInfo_DISCONNECTED)},
		{"participant_left", "participant.disconnectReason", float64(lk.DisconnectReason_PARTICIPANT_REMOVED)},
		{"participant_left", "participant.metadata", "m"},
	} {
		if got := at(has[want.event], want.path); got != want.value {
			t.Errorf("%s: %s is %v, want %v", want.event, want.path, got, want.value)
		}
	}

	// It is the signature that counts.
	for what, wrong := range map[string]struct{ receiver, body, authorization string }{
		"another secret": {"stranger", first.body, first.authorization},
		"another body":   {"receiver", strings.Replace(first.body, "lobby", "hobby", 1), first.authorization},
		"no signature":   {"receiver", first.body, ""},
	} {
		if _, err := n.call(wrong.receiver, "receive", wrong.body, wrong.authorization); err == nil {
			t.Errorf("%s: it was accepted", what)
		}
	}
}
