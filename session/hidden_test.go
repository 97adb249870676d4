package session_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A hidden participant does everything that it can, and everything is done to
// it; nothing about it is in any byte that the others receive, nor do counts,
// sequence numbers, errors or limits tell of it.
func TestHiddenLeaksNothing(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) { c.MaxParticipants = 3 }})
	may := func(c *livekit.Claims) { c.Video.CanUpdateOwnMetadata = ptr(true) }
	ada, joined, adaTap := s.JoinTapped(s.Token("lobby", "ada", may))
	bob, _, bobTap := s.JoinTapped(s.Token("lobby", "bob", may, func(c *livekit.Claims) { c.Video.RoomAdmin = true }))
	seq := func() string { // the number of the next state event
		n := ptr(fmt.Sprint("n", len(ada.Seen())))
		ada.OK(wire.Message{Type: "updateMetadata", Name: n})
		return ada.ExpectWhere("own update", func(e sessiontest.Event) bool { return e.Str("participant.name") == *n }).Str("seq")
	}
	video := ada.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	before := seq()

	// Whatever is particular to the hidden one begins with this.
	const mark = "zq9hidden"
	token := s.Token("lobby", mark+"-identity", may, func(c *livekit.Claims) {
		c.Video.Hidden = true
		c.Name, c.Metadata = mark+"-name", mark+"-metadata"
		c.Attributes = map[string]string{mark + "-key": mark + "-value"}
	})
	spy, spied := s.Join(token)
	secret := []string{mark, spied.Str("session")}
	a := newAdmin(s, "lobby")

	do := func(m wire.Message) {
		t.Helper()
		spy.Ask(m)
	}
	do(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{mark: jsonOf(mark)}})
	do(wire.Message{Type: "updateMetadata", Name: ptr(mark + "-2"), Metadata: ptr(mark + "-3"), Attributes: map[string]string{mark: mark}})
	do(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera", Name: ptr(mark + "-track")})
	do(wire.Message{Type: "publishTrack", Kind: "data", Name: ptr(mark + "-track")})
	do(wire.Message{Type: "unsubscribe", TrackSID: video.Str("track.sid")})
	do(wire.Message{Type: "subscribe", TrackSID: video.Str("track.sid")})
	do(wire.Message{Type: "muteTrack", TrackSID: video.Str("track.sid"), Muted: ptr(true)})
	do(wire.Message{Type: "unpublishTrack", TrackSID: video.Str("track.sid")})
	do(wire.Message{Type: "listParticipants"})
	do(wire.Message{Type: "updateParticipant", Identity: "ada", Name: ptr(mark)})
	do(wire.Message{Type: "removeParticipant", Identity: "ada"})
	do(wire.Message{Type: "nonsense-" + mark})
	if err := a.update(mark+"-identity", room.Change{Metadata: ptr(mark + "-4")}); err != nil {
		t.Fatal(err)
	}
	a.permit(mark+"-identity", livekit.Permission{Hidden: true, CanSubscribe: true, CanPublishData: true, CanUpdateMetadata: true})
	// Its data arrives, from nobody.
	do(wire.Message{Type: "publishData", Payload: jsonOf("to all"), Topic: "spoken"})
	if e := ada.ExpectWhere("data", func(e sessiontest.Event) bool { return e.Str("topic") == "spoken" }); e.Get("from") != nil {
		t.Errorf("its data says where it comes from: %s", e.Text)
	}
	if b := before; seq() != fmt.Sprint(atoi(t, b)+1) {
		t.Errorf("numbers of state events are missing after %s", b)
	}

	// To others it is as absent as somebody who never was.
	same := func(c *sessiontest.Client, m func(identity, sid string) wire.Message) {
		t.Helper()
		text := func(e sessiontest.Event) string {
			delete(e.Fields, "id")
			b, _ := json.Marshal(e.Fields)
			return string(b)
		}
		nobody := text(c.Ask(m("zz-nobody-zz", "PA_nobody")))
		if got := text(c.Ask(m(mark+"-identity", spied.Str("session")))); got != nobody {
			t.Errorf("%s: got %s, for nobody it is %s", m("", "").Type, got, nobody)
		}
	}
	for _, c := range []*sessiontest.Client{ada} {
		c.Ask(wire.Message{Type: "updateParticipant", Identity: "x"}) // the explanation comes once
		c.Ask(wire.Message{Type: "removeParticipant", Identity: "x"})
		same(c, func(identity, sid string) wire.Message {
			return wire.Message{Type: "publishData", Payload: jsonOf("x"), DestinationIdentities: []string{identity}}
		})
		same(c, func(identity, sid string) wire.Message {
			return wire.Message{Type: "publishData", Payload: jsonOf("x"), DestinationSIDs: []string{sid}}
		})
		same(c, func(identity, sid string) wire.Message {
			return wire.Message{Type: "updateParticipant", Identity: identity, Name: ptr("x")}
		})
		same(c, func(identity, sid string) wire.Message {
			return wire.Message{Type: "updateParticipant", SID: sid, Permission: &wire.Permission{}}
		})
		same(c, func(identity, sid string) wire.Message {
			return wire.Message{Type: "removeParticipant", Identity: identity}
		})
		same(c, func(identity, sid string) wire.Message { return wire.Message{Type: "removeParticipant", SID: sid} })
		for _, typ := range []string{"subscribe", "unsubscribe", "requestKeyFrame", "unpublishTrack"} {
			same(c, func(identity, sid string) wire.Message { return wire.Message{Type: typ, TrackSID: sid} })
		}
	}
	spy.ExpectWhere("data", func(e sessiontest.Event) bool { return e.Str("from.identity") == "ada" })
	if e := ada.Ask(wire.Message{Type: "listParticipants"}); e.Str("numParticipants") != "2" || len(e.Get("participants").([]any)) != 2 {
		t.Errorf("the list is %s", e.Text)
	}

	// It takes no place: a third one gets in, and a fourth is told what it would
	// be told without the hidden one.
	eve, eves, eveTap := s.JoinTapped(s.Token("lobby", "eve"))
	if eves.Str("room.numParticipants") != "3" || len(eves.Get("participants").([]any)) != 2 {
		t.Errorf("a newcomer is told %s", eves.Text)
	}
	refused(s, s.Token("lobby", "one-too-many"), wire.RoomFull)

	// It comes back, is cut, is replaced, and goes.
	_ = spy.WS.CloseNow()
	spy, _ = s.Join(token)
	second, _ := s.Join(token)
	spy.ExpectClose(wire.DuplicateIdentity)
	if err := a.remove(mark + "-identity"); err != nil {
		t.Fatal(err)
	}
	second.ExpectClose(wire.Removed)
	if got, want := seq(), fmt.Sprint(atoi(t, before)+3); got != want { // eve's join, and our own two
		t.Errorf("the next state event has number %s, want %s", got, want)
	}
	leave(eve)
	bob.Sync()
	ada.Sync()
	leave(ada)
	leave(bob)

	for name, tap := range map[string]*sessiontest.Tap{"ada": adaTap, "bob": bobTap, "eve": eveTap} {
		b := tap.Bytes()
		for _, word := range secret {
			if i := bytes.Index(b, []byte(word)); i >= 0 {
				t.Errorf("%s received %q: …%s…", name, word, b[max(0, i-200):min(len(b), i+100)])
			}
		}
		if !bytes.Contains(b, []byte(joined.Str("session"))) {
			t.Errorf("the tap of %s heard nothing", name)
		}
	}
}

func atoi(t testing.TB, s string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatalf("%q is no number", s)
	}
	return n
}

// Turning hidden on is told as a leave and its off as a join, in the same
// numbering; what happens in between is not told.
func TestHiddenIsToldAsALeave(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _, tap := s.JoinTapped(s.Token("lobby", "ada"))
	bob, _ := s.Join(s.Token("lobby", "bob", func(c *livekit.Claims) { c.Video.CanUpdateOwnMetadata = ptr(true) }))
	bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	a := newAdmin(s, "lobby")
	shown := livekit.Permission{CanSubscribe: true, CanPublish: true, CanPublishData: true, CanUpdateMetadata: true}
	concealed := shown
	concealed.Hidden = true
	for i := range 3 {
		a.permit("bob", concealed)
		if e := ada.Expect("trackUnpublished"); i == 0 && e.Str("reason") != "hidden" {
			t.Errorf("got %s", e.Text)
		}
		left := ada.Expect("participantLeft")
		quiet := len(tap.Bytes())
		bob.OK(wire.Message{Type: "updateMetadata", Name: ptr(fmt.Sprint("secretly ", i))})
		bob.OK(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{"at": json.RawMessage(fmt.Sprint(i))}})
		ada.Sync()
		if told := tap.Bytes()[quiet:]; strings.Contains(string(told), "secretly") || strings.Contains(string(told), "presence") {
			t.Errorf("ada was told %s", told)
		}
		a.permit("bob", shown)
		back := ada.Expect("participantJoined")
		if got, want := back.Str("seq"), fmt.Sprint(atoi(t, left.Str("seq"))+1); got != want || back.Str("participant.name") != fmt.Sprint("secretly ", i) {
			t.Errorf("got %s, want number %s", back.Text, want)
		}
		if e := ada.Expect("presence"); e.Str("presence.at") != fmt.Sprint(i) {
			t.Errorf("got %s", e.Text)
		}
		bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
		ada.Expect("trackPublished")
	}
	ada.Sync()
	for _, c := range []*sessiontest.Client{ada, bob} {
		for _, p := range sessiontest.Replay(c.Seen()).Problems {
			t.Error(p)
		}
	}
}
