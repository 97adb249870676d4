package sdk_test

import (
	"testing"
	"time"

	"usher/room"
	"usher/session/sessiontest"
)

var owner = sessiontest.Properties{"is_owner": true}

// knock connects a page without a token, and waits until somebody has to let it in.
func (s *site) knock(roomName, name string) *tab {
	s.t.Helper()
	p := s.open()
	p.js(`(make(), window.entering = outcome(room.connect(location.origin, undefined, { room: "` + roomName + `", name: "` + name + `" })), look(), "")`)
	p.until(`room.state === "waiting"`)
	return p
}

// A host's page admits, denies, and admits all; whoever waits knows nothing but that.
func TestLobby(t *testing.T) {
	s := serve(t)
	s.DailyRoom("call", room.DailySettings{Private: true, Knocking: true})
	ada := s.join(s.DailyToken("call", "ada", owner))
	ada.is(`[me.isOwner, me.permissions.owner, room.waitingParticipants.size]`, `[true,true,0]`)

	bob := s.knock("call", "Guest")
	bob.is(`[room.name, room.numParticipants, room.remoteParticipants.size, events("waiting").length]`, `["",0,0,1]`)
	ada.heard("waitingParticipantJoined", 1)
	ada.is(`[...room.waitingParticipants.values()].map((w) => [w.name, w.identity.startsWith("anon:"), w.joinedAt instanceof Date])`, `[["Guest",true,true]]`)
	bob.js(`me.setName("Bob")`)
	ada.heard("waitingParticipantJoined", 2)
	if e := bob.refused(`room.listParticipants()`); e.Name != "PermissionError" || e.Permission != "lobby" {
		t.Errorf("got %+v", e)
	}
	ada.js(`room.admit([...room.waitingParticipants.keys()][0])`)
	bob.is(`entering`, `"{\"ok\":null}"`)
	bob.is(`[room.state, room.name, me.name, room.remoteParticipants.size, room.token]`, `["connected","call","Bob",1,null]`)
	ada.until(`room.waitingParticipants.size === 0 && room.remoteParticipants.size === 1`)
	ada.is(`(([who, admitted]) => [who.name, admitted])(events("waitingParticipantLeft")[0])`, `["Bob",true]`)

	// What they share while they meet; and what owners may do.
	bob.js(`room.updateSessionData({ slide: 1 })`)
	ada.heard("sessionDataChanged", 1)
	ada.js(`room.updateSessionData({ poll: [1] }, { merge: true, keysToDelete: ["slide"] })`)
	bob.until(`JSON.stringify(room.sessionData) === '{"poll":[1]}'`)
	ada.js(`room.updatePermissions({ "*": { canSend: ["audio"] } })`)
	bob.heard("participantPermissionsChanged", 1)
	bob.is(`[me.permissions.canPublishSources, who("ada").permissions.canPublishSources]`, `[["microphone"],[]]`)
	if e := bob.refused(`room.ejectParticipant({ identity: "ada" })`); e.Permission != "roomAdmin" {
		t.Errorf("got %+v", e)
	}

	eve := s.knock("call", "Eve")
	ada.until(`room.waitingParticipants.size === 1`)
	ada.js(`room.deny([...room.waitingParticipants.keys()][0])`)
	eve.until(`room.state === "disconnected"`)
	if e := eve.refused(`entering.then((e) => Promise.reject(JSON.parse(e)))`); e.ReasonName != "NotAdmitted" || e.CloseReason != "not_admitted" {
		t.Errorf("got %+v", e)
	}
	joe, sue := s.knock("call", "Joe"), s.knock("call", "Sue")
	ada.until(`room.waitingParticipants.size === 2`)
	ada.js(`room.admit()`)
	for _, p := range []*tab{joe, sue} {
		p.until(`room.state === "connected"`)
	}
	ada.js(`room.ejectParticipant({ sid: [...room.remoteParticipants.values()].find((p) => p.name === "Joe").sid })`)
	joe.heard("disconnected", 1)
	joe.is(`(([why, { code }]) => [sdk.DisconnectReason[why], code])(events("disconnected")[0])`, `["PARTICIPANT_REMOVED",4518]`)
}

// A page knows when its time is over, hears of another limit, and of the end.
func TestStayLimit(t *testing.T) {
	s := serve(t)
	s.DailyRoom("call", room.DailySettings{})
	ada := s.join(s.DailyToken("call", "ada", sessiontest.Properties{"eject_after_elapsed": 60}))
	bob := s.join(s.DailyToken("call", "bob"))
	bob.is(`[me.willEjectAt ?? null, who("ada").willEjectAt instanceof Date]`, `[null,true]`)
	limit := func(at time.Time) {
		t.Helper()
		b := s.Rooms.Batch()
		if err := s.room("call").LimitStay(b, room.Target{Identity: "ada"}, at); err != nil {
			t.Fatal(err)
		}
		b.Flush()
	}
	limit(time.Time{})
	for _, p := range []*tab{ada, bob} {
		p.heard("stayLimitChanged", 1)
		p.is(`(([at, who]) => [at ?? null, who.identity])(events("stayLimitChanged")[0])`, `[null,"ada"]`)
	}
	limit(time.Now().Add(time.Second))
	ada.heard("disconnected", 1)
	ada.is(`events("disconnected")[0][1].code`, `4517`)
	bob.heard("participantDisconnected", 1)
}
