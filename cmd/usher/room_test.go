package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"usher/auth/livekit"
)

func TestRoom(t *testing.T) {
	s := serve(t)
	expect := expecter(t)
	expect(0, "there are no rooms")(s.asks("room", "list"))
	expect(0, "name lab", "sid RM_", "people 0 of 2", "ends 10m0s after it was made if nobody comes, 5s after the last has left", "metadata hello")(
		s.asks("room", "create", "--room", "lab", "--empty-timeout", "10m", "--departure-timeout", "5s", "--max-participants", "2", "--metadata", "hello"))
	if _, _, said := s.asks("room", "create", "--room", "lab", "--max-participants", "2"); said != "" {
		t.Errorf("a room that is there as it was asked for: %s", said)
	}
	expect(0, "people 0 of 2", "usher: note: the room was there already, and its settings stay as they are")(
		s.asks("room", "create", "--room", "lab", "--max-participants", "3"))
	ada := join(t, s.addr, mint(t, "ada", func(c *livekit.Claims) { c.Video.Room = "lab" }))
	ada.says("* you are ada in room lab")
	expect(0)(s.asks("room", "create", "--room", "attic \x1b[2J"))
	expect(0, "NAME PEOPLE PUBLISHERS CREATED SID METADATA", "lab 1 of 2 0 2", "hello", "attic \ufffd[2J 0 0 2")(s.asks("room", "list"))
	if _, out, _ := s.asks("room", "list", "--room", "lab", "--room", "nowhere"); strings.Contains(out, "attic") || !strings.Contains(out, "lab") {
		t.Errorf("it does not list lab alone:\n%s", out)
	}
	expect(0, "metadata a=b")(s.asks("room", "metadata", "--room", "lab", "--set", "a=b"))
	ada.says("* the room's metadata: a=b")
	if _, out, _ := s.asks("room", "metadata", "--room", "lab", "--clear"); strings.Contains(out, "metadata") {
		t.Errorf("the metadata was not cleared:\n%s", out)
	}
	_, out, _ := s.asks("room", "list", "--json")
	var list struct {
		Rooms []roomInfo `json:"rooms"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Rooms) != 2 || list.Rooms[0].MaxParticipants != 2 || strings.Count(out, "\n") != 1 {
		t.Errorf("--json prints %q, error %v", out, err)
	}
	expect(0, "deleted room lab")(s.asks("room", "delete", "--room", "lab"))
	ada.says("* closed: the room was deleted (4509 room_deleted")
	expect(1, `usher: there is no room "lab"`)(s.asks("room", "delete", "--room", "lab"))
	expect(1, `usher: there is no room "lab"`)(s.asks("room", "metadata", "--room", "lab", "--clear"))
	expect(1, "usher: the server does not accept the key "+devKey)(s.asks("room", "list", "--api-secret", "wrong"))
}

func TestParticipantMute(t *testing.T) {
	s := serve(t)
	expect := expecter(t)
	ada := join(t, s.addr, mint(t, "ada", nil), "--json")
	ada.says(`"type":"joined"`)
	ada.types(`{"type":"publishTrack","id":1,"kind":"video","source":"screen_share","name":"slides"}`)
	sid := regexp.MustCompile(`TR_\w+`).FindString(ada.says(`{"type":"ok","id":1`))
	expect(0, "track screen_share "+sid+" slides")(s.api("get", "--identity", "ada"))
	expect(0, "muted screen_share "+sid+" slides of ada")(s.api("mute", sid, "--identity", "ada"))
	ada.says(`{"type":"trackMuted"`, sid, `"muted":true`)
	expect(0, "track screen_share "+sid+" slides (muted)")(s.api("get", "--identity", "ada"))
	expect(1, `usher: "ada" publishes no track TR_none in room "lobby"`)(s.api("mute", "TR_none", "--identity", "ada"))
	expect(1, `usher: "bob" is not in room "lobby"`)(s.api("mute", sid, "--identity", "bob"))
}

// Names are any text, those included that an address would take for its own.
func TestParticipantsWithOddNames(t *testing.T) {
	s := serve(t)
	expect := expecter(t)
	for _, name := range []string{"..", ".", "a/b", "a%2Fb?c#d", "ä ö", "\u202e"} {
		ada := join(t, s.addr, mint(t, name, func(c *livekit.Claims) { c.Video.Room = name }), "--json")
		ada.says(`"type":"joined"`)
		expect(0, "name X")(s.api("update", "--room", name, "--identity", name, "--name", "X"))
		ada.says(`"type":"participantUpdated"`, `"name":"X"`)
		expect(0, "is in room")(s.api("explain", "--room", name, "--identity", name))
		expect(0, "removed")(s.api("remove", "--room", name, "--identity", name))
		ada.says(`"code":4508`)
	}
}

func TestParticipantExplain(t *testing.T) {
	s := serve(t)
	expect := expecter(t)
	nothing := `usher: "ada" is not in room "lobby", and nothing was stated about them there`
	expect(1, nothing)(s.api("explain", "--identity", "ada"))
	ada := join(t, s.addr, mint(t, "ada", admin))
	ada.says("* you are ada")
	expect(0, "ada is in room lobby as PA_", "RIGHT HELD DECIDED BY WHAT EACH LAYER SAID",
		"publish from every source yes token token: yes (2", "receive from every source yes token",
		"change its own name, metadata and attributes no token token: no (2",
		"moderate participants, streaming, transcription yes token",
		"not held, as no layer says anything about it: read the room's document, public comments, private comments, feeds, write the room's document, public comments, private comments, feeds, be an owner",
	)(s.api("explain", "--identity", "ada"))

	expect(0)(s.api("update", "--identity", "ada", "--can-publish-source", "microphone", "--can-publish-source", "unknown", "--no-can-publish-data"))
	const explained = "publish camera, screen share, screen share audio no live token: yes (2"
	expect(0, explained, "publish microphone, custom video, custom audio yes live token: yes (2", "; live: no (2", " by usher-cli)", "send data no live")(
		s.api("explain", "--identity", "ada"))

	// Every right is told, whatever is put together.
	_, out, _ := s.api("explain", "--identity", "ada", "--json")
	var story permissionStory
	if err := json.Unmarshal([]byte(out), &story); err != nil || len(story.Permissions) < 25 {
		t.Fatalf("--json prints %s, error %v", out, err)
	}
	told := 0
	for _, g := range storyGroups(story.Permissions) {
		told += len(g.names)
	}
	if told != len(story.Permissions) {
		t.Errorf("%d of %d rights are told", told, len(story.Permissions))
	}
	for _, r := range story.Permissions {
		if words := rightWords([]string{r.Right}); words == r.Right {
			t.Errorf("there are no words for %s", r.Right)
		}
	}

	ada.types("/leave")
	ada.says("* you left")
	ada.wait()
	expect(0, "ada is not in room lobby; what was stated about them holds when they come with a token of before",
		"publish camera, screen share, screen share audio - the token to come live: no (2")(s.api("explain", "--identity", "ada"))
}

// What keeps somebody out is told, too, also of somebody of whom nothing else is.
func TestExplainBan(t *testing.T) {
	s := serve(t)
	expect := expecter(t)
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	at := until.UTC().Format(time.RFC3339)
	var ids []string
	for _, args := range [][]string{{"--identity", "bob", "--room", "lobby", "--reason", "spam"}, {"--identity", "bob"}, {"--room", "lobby"},
		{"--identity", "bob", "--room", "hall"}, {"--identity", "eve"}, {"--key-id", "bob"}} {
		until := at
		if args[0] == "--room" {
			until = "1700000000" // else the command's own tokens were refused
		}
		_, out, _ := s.asks(append([]string{"revoke", "--until", until}, args...)...)
		ids = append(ids, revocationID.FindString(out))
	}
	when := clock(until)
	want := "bob is not in room lobby, and nothing was stated about them there\n\n" +
		"may not enter with tokens issued until " + clock(time.Unix(1700000000, 0)) + ": revocation " + ids[2] + " of everybody in room lobby, by usher-cli\n" +
		"may not enter with tokens issued until " + when + ": revocation " + ids[1] + " of bob in every room, by usher-cli\n" +
		"may not enter with tokens issued until " + when + ": revocation " + ids[0] + " of bob in room lobby, by usher-cli: spam\n"
	if code, out, stderr := s.api("explain", "--identity", "bob"); code != 0 || out != want {
		t.Errorf("got %d\n%s%s\nwant\n%s", code, out, stderr, want)
	}
	for _, id := range ids[:3] {
		expect(0, "lifted")(s.asks("revocation", "lift", id))
	}
	expect(1, `usher: "bob" is not in room "lobby", and nothing was stated about them there`)(s.api("explain", "--identity", "bob"))

	dora := join(t, s.addr, mint(t, "dora", nil))
	dora.says("* you are dora")
	expect(0)(s.asks("revoke", "--identity", "dora", "--until", "1700000000"))
	expect(0, "dora is in room lobby as PA_", "may not enter with tokens issued until "+clock(time.Unix(1700000000, 0))+": revocation RV_")(s.api("explain", "--identity", "dora"))
}

var revocationID = regexp.MustCompile(`RV_\w+`)

func TestRevoke(t *testing.T) {
	s := serve(t)
	expect := expecter(t)
	expect(0, "nothing is revoked")(s.asks("revocation", "list"))
	refused := func(token string) {
		t.Helper()
		join(t, s.addr, token, "--json").says(`"code":4503`)
	}
	accepted := func(token string) {
		t.Helper()
		c := join(t, s.addr, token, "--json")
		c.says(`"type":"joined"`)
		c.stop()
		c.wait()
	}
	revoke := func(want string, args ...string) string {
		t.Helper()
		_, out, err := s.asks(append([]string{"revoke"}, args...)...)
		if !strings.Contains(out, want) {
			t.Errorf("%q does not say %q: %s", args, want, out+err)
		}
		return revocationID.FindString(out)
	}

	token := mint(t, "ada", nil)
	ada := join(t, s.addr, token)
	ada.says("* you are ada")
	id := revoke("revoked: ada in room lobby, tokens issued until 2", "--identity", "ada", "--room", "lobby", "--reason", "spam \x1b[2J")
	ada.says("* closed: the token was revoked; one that is issued from now on may do (4503 token_revoked")
	refused(token)
	expect(0, "ID REVOKED ISSUED UNTIL MADE BY FORGOTTEN REASON", id+" ada in room lobby 2", "usher-cli never spam \ufffd[2J")(s.asks("revocation", "list"))
	expect(0, id)(s.asks("revocation", "list", "--room", "lobby"))
	expect(0, "nothing is revoked")(s.asks("revocation", "list", "--room", "hall"))
	expect(0, "lifted: ada in room lobby")(s.asks("revocation", "lift", id))
	accepted(token)
	expect(1, "usher: there is no revocation "+id)(s.asks("revocation", "lift", id))

	revoke("revoked: bob in every room", "--identity", "bob")
	refused(mint(t, "bob", nil))
	yesterday := time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)
	revoke("revoked: everybody in room lobby, tokens issued until 2", "--room", "lobby", "--until", yesterday)
	accepted(token)
	revoke("revoked: key APIother", "--key-id", "APIother", "--until", "1700000000")

	withID := mint(t, "cleo", func(c *livekit.Claims) { c.TokenID = "42" })
	id = revoke("revoked: token 42\n", "--token-id", "42", "--expires", time.Now().Add(time.Hour).Format(time.RFC3339))
	refused(withID)
	expect(0, "lifted: token 42")(s.asks("revocation", "lift", id))
	accepted(withID)
	revoke("revoked: token 42\n", "--token", withID)
	refused(withID)
	revoke("revoked: dora in room lobby", "--token", mint(t, "dora", nil))
	refused(mint(t, "dora", nil))

	_, out, _ := s.asks("revocation", "list", "--json")
	var list struct {
		Revocations []revocation `json:"revocations"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Revocations) != 5 || strings.Count(out, "\n") != 1 {
		t.Errorf("--json prints %q, error %v; want 5", out, err)
	}
	expect(1, "usher: the server refused: until is a Unix time in seconds, at most ten years ahead (invalid_request)")(
		s.asks("revoke", "--identity", "x", "--until", "2999-01-01T00:00:00Z"))
	expect(1, "usher: the server does not accept the key "+devKey, "usher: hint: check --api-key")(s.asks("revoke", "--identity", "x", "--api-secret", "wrong"))

	in := start(t, "revoke", "--url", "http://"+s.addr, "--api-key", devKey, "--api-secret", devSecret, "--token", "-")
	in.types(mint(t, "eve", nil))
	_ = in.in.Close()
	in.says("revoked: eve in room lobby")
}

// RemoveParticipant with a time refuses what was issued until then.
func TestRemoveUntil(t *testing.T) {
	s := serve(t)
	expect := expecter(t)
	soon := time.Now().Add(time.Hour).Truncate(time.Second)
	bob := join(t, s.addr, mint(t, "bob", nil))
	bob.says("* you are bob")
	expect(0, "removed bob from room lobby")(s.api("remove", "--identity", "bob", "--revoke-until", soon.UTC().Format(time.RFC3339)))
	bob.says("* closed: an administrator removed you")
	_, out, _ := s.asks("revocation", "list", "--json")
	if want := soon.UTC().Format(time.RFC3339); !strings.Contains(out, `"until":"`+want) {
		t.Errorf("it does not hold until %s: %s", want, out)
	}
}
