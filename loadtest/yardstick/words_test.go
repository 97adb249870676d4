package yardstick_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/loadtest/yardstick"
	"usher/room"
	"usher/session"
	"usher/session/wire"
)

// serveUsher is the real thing.
func serveUsher(t *testing.T) (addr string) {
	t.Helper()
	keys, err := auth.NewKeys([]auth.Key{{ID: "devkey", Secret: auth.Secret("secret"), Project: "dev", Format: livekit.Format{}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := room.New(room.Config{AutoCreate: true})
	if err != nil {
		t.Fatal(err)
	}
	sessions := session.New(session.Config{Rooms: rooms, Verifier: auth.NewVerifier(keys, 0)})
	mux := http.NewServeMux()
	mux.Handle("/session", sessions)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		sessions.Close()
		rooms.Close()
		server.Close()
	})
	return strings.TrimPrefix(server.URL, "http://")
}

// What differs between two runs. The lengths of the identifiers stay.
var varies = []struct {
	what *regexp.Regexp
	with func(string) string
}{
	{regexp.MustCompile(`"(PA|TR|RM)_[A-Z0-9]+"`), func(s string) string { return fmt.Sprint(s[:4], len(s)) }},
	{regexp.MustCompile(`"(secret|epoch)":"[^"]+"`), func(s string) string { return fmt.Sprint(s[:9], len(s)) }},
	{regexp.MustCompile(`"handle":[0-9]+`), func(string) string { return `"handle":1` }},
	{regexp.MustCompile(`:17[0-9]{11}`), func(string) string { return ":1764000000000" }},
}

// conversation is what ada and bob are told in a scene with everything that the
// yardsticks know.
func conversation(t *testing.T, addr string) (told []string) {
	t.Helper()
	note := func(c *client, who, until string) {
		t.Helper()
		for {
			_, b := c.read()
			text := string(b)
			for _, v := range varies {
				text = v.what.ReplaceAllStringFunc(text, v.with)
			}
			if strings.HasPrefix(text, `{"type":"refreshToken"`) || strings.HasPrefix(text, `{"type":"keyFrameRequested"`) {
				continue // left out
			}
			told = append(told, who+": "+text)
			if strings.HasPrefix(text, `{"type":"`+until+`"`) {
				return
			}
		}
	}
	dialled := func(identity, joining string) *client {
		c := dial(t, addr, how{header: http.Header{"Authorization": {"Bearer " + mintFull(t, identity)}}})
		c.send(joining)
		return c
	}
	ada := dialled("ada", `{"type":"join"}`)
	note(ada, "ada", "joined")
	bob := dialled(`bob "é" <b>`, `{"type":"join","id":1}`)
	note(bob, "bob", "joined")
	note(ada, "ada", "participantJoined")
	for _, text := range []string{
		`{"type":"publishData","id":2,"topic":"chat","payload":{"text":"hello","n":[1,-2.5e3,null,true]}}`,
		`{"type":"publishData","id":3,"payload":"aGk=","encoding":"base64","reliable":false}`,
	} {
		bob.send(text)
		note(bob, "bob", "ok")
		note(ada, "ada", "data")
	}
	for _, text := range []string{
		`{"type":"publishTrack","id":4,"kind":"video","source":"camera","name":"front","codec":{"codec":"vp8","w":640}}`,
		`{"type":"publishTrack","id":5,"kind":"data","muted":true}`,
	} {
		bob.send(text)
		note(bob, "bob", "ok")
		note(ada, "ada", "trackSubscribed")
	}
	for _, text := range []string{`{`, `{"id":6}`, `{"type":"publishTrack","kind":"smell"}`} {
		bob.send(text)
		note(bob, "bob", "error")
	}
	bob.send(`{"type":"ping","id":7}`)
	note(bob, "bob", "pong")
	ada.send(`{"type":"leave"}`)
	ada.expectClose(wire.Left)
	note(bob, "bob", "participantLeft")

	cleo := dialled("cleo", `{"type":"join"}`)
	note(cleo, "cleo", "joined")
	note(cleo, "cleo", "trackSubscribed")
	note(cleo, "cleo", "trackSubscribed")
	slices.Sort(told[len(told)-2:]) // usher tells them in any order
	cleo.send(`{"type":"leave"}`)
	cleo.expectClose(wire.Left)
	note(bob, "bob", "participantLeft")
	return told
}

func mintFull(t *testing.T, identity string) string {
	t.Helper()
	yes := true
	c := livekit.Claims{Identity: identity, Name: "Person", Video: &livekit.VideoGrant{RoomJoin: true, Room: "lobby"}}
	if identity == "cleo" {
		c.Metadata, c.Attributes, c.Kind = `{"a":1}`, map[string]string{"b": "2", "a": "1"}, auth.Agent
		c.Video.RoomAdmin, c.Video.CanUpdateOwnMetadata, c.Video.CanPublishSources = true, &yes, []string{"camera", "microphone"}
	}
	return mint(t, "secret", time.Now(), c)
}

// lobby is what the yardsticks leave out: they have none, and usher tells admins of it.
const lobby = `"waiting":[],`

// The yardsticks say what usher says, in as many bytes.
func TestSameWordsAsUsher(t *testing.T) {
	want := conversation(t, serveUsher(t))
	onEach(t, func(t *testing.T, kind string) {
		addr, _ := serve(t, kind)
		got := conversation(t, addr)
		if kind == yardstick.Naive {
			for i := range got { // package json escapes what HTML minds
				got[i] = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(got[i])
			}
			for i := range want {
				want[i] = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(want[i])
			}
		}
		for i := range want {
			want[i] = strings.Replace(want[i], lobby, "", 1)
		}
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("message %d differs:\ngot  %s\nwant %s", i, slices.Concat(got, []string{"nothing"})[min(i, len(got))], slices.Concat(want, []string{"nothing"})[min(i, len(want))])
			}
		}
	})
}
