package sdk_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
)

// Two people meet: what each says of itself and to the other arrives, in
// LiveKit's events and shapes.
func TestTwoPeople(t *testing.T) {
	s := serve(t)
	ada := s.join(s.Token("lobby", "ada", host, func(c *livekit.Claims) { c.Name = "Ada" }))
	ada.is(`[room.state, room.name, me.identity, me.name, room.numParticipants, me.permissions.canPublish, me.permissions.admin.length > 0]`,
		`["connected","lobby","ada","Ada",1,true,true]`)
	ada.is(`seen.map((e) => e.event).slice(0, 4)`, `["connectionStateChanged","signalConnected","connectionStateChanged","connected"]`)
	bob := s.join(s.Token("lobby", "bob", named))
	bob.is(`[...room.remoteParticipants.keys()]`, `["ada"]`)
	bob.is(`events("participantConnected").length`, `0`) // who is there already is no news
	ada.heard("participantConnected", 1)
	ada.is(`[room.numParticipants, who("bob").isActive, who("bob") === room.getParticipantBySid(who("bob").sid)]`, `[2,true,true]`)

	// Data: bytes, text and JSON; to all and to some.
	bob.js(`me.publishData(Uint8Array.of(1, 2, 255), { reliable: true, topic: "bytes", destinationIdentities: ["ada"] })`)
	bob.js(`me.publishData({ reaction: "👏" }, { reliable: true })`)
	bob.js(`me.publishData(new TextEncoder().encode("hé"), { reliable: true })`)
	ada.heard("dataReceived", 3)
	ada.is(`events("dataReceived").map(([p, from, kind, topic, , identity, json]) => [[...p].length, from?.identity, kind, topic ?? "", identity, json ?? null])`,
		`[[3,"bob",0,"bytes","bob",null],[19,"bob",0,"","bob",{"reaction":"👏"}],[3,"bob",0,"","bob",null]]`)
	ada.js(`me.publishData("hello, bob", { reliable: true })`)
	bob.until(`events("dataReceived").some(([p]) => new TextDecoder().decode(p) === "hello, bob")`)

	// Name, metadata, attributes: the promise resolves when it is so.
	bob.js(`me.setName("Bob").then(() => me.setMetadata("m1")).then(() => me.setAttributes({ hand: "up", mood: "fine" })).then(() => me.setAttributes({ mood: "" }))`)
	bob.is(`[me.name, me.metadata, me.attributes]`, `["Bob","m1",{"hand":"up"}]`)
	ada.heard("participantAttributesChanged", 2)
	ada.is(`[events("participantNameChanged")[0][0], events("participantMetadataChanged")[0][0], events("participantAttributesChanged").map((a) => a[0])]`,
		`["Bob","",[{"hand":"up","mood":"fine"},{"mood":""}]]`)
	ada.is(`[who("bob").name, who("bob").metadata, who("bob").attributes]`, `["Bob","m1",{"hand":"up"}]`)
	if e := ada.refused(`me.setName("Eve")`); e.Name != "PermissionError" || e.Permission != "canUpdateOwnMetadata" || e.Layer != "token" || e.Code != "not_allowed" {
		t.Errorf("got %+v", e)
	}
	if e := bob.refused(`who("ada").remove()`); e.Permission != "roomAdmin" {
		t.Errorf("got %+v", e)
	}
	if e := bob.refused(`me.publishData(new Uint8Array(200000), { reliable: true })`); e.Name != "LimitError" {
		t.Errorf("got %+v", e)
	}

	// Presence.
	bob.js(`me.setPresence({ cursor: { x: 1 }, tool: "pen" }).then(() => me.setPresence({ cursor: null }))`)
	ada.until(`who("bob").presence.cursor === null`)
	const present = `((p) => [Object.keys(p).length, p.cursor, p.tool])(who("bob").presence)`
	ada.is(present, `[2,null,"pen"]`)
	ada.is(`events("presenceChanged").at(-1)[1].identity`, `"bob"`)
	eve := s.join(s.Token("lobby", "eve"))
	eve.is(present, `[2,null,"pen"]`)

	// Permissions: with what they were before, for oneself and the others.
	ada.js(`who("bob").setPermissions({ canPublishData: false })`)
	for _, p := range []*tab{ada, bob, eve} {
		p.heard("participantPermissionsChanged", 1)
		p.is(`(([before, p]) => [p.identity, before.canPublishData, p.permissions.canPublishData, p.permissions.canPublish])(events("participantPermissionsChanged")[0])`,
			`["bob",true,false,true]`)
	}
	for range 2 { // the server explains once, the SDK each time
		if e := bob.refused(`me.publishData("x", { reliable: true })`); e.Permission != "canPublishData" || e.Layer != "live" || !strings.Contains(e.Message, "administrator") {
			t.Errorf("got %+v", e)
		}
	}

	// Rooms and people, page by page.
	ada.is(`room.listParticipants({ limit: 2 }).then(async (one) => {
		const two = await room.listParticipants({ limit: 2, after: one.next });
		return [[...one.participants, ...two.participants].map((p) => p.identity).sort(), two.next ?? null, one.numParticipants];
	})`, `[["ada","bob","eve"],null,3]`)

	// A remote call of the backend's.
	bob.js(`room.registerRpcMethod("roll", async ({ payload }) => { if (!payload) throw new sdk.RpcError(7, "how many?"); return "4 of " + payload; })`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	lobby := s.room("lobby")
	if got, err := lobby.Perform(ctx, room.Target{Identity: "bob"}, "roll", "6"); err != nil || got != "4 of 6" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := lobby.Perform(ctx, room.Target{Identity: "bob"}, "roll", ""); err == nil || err.Error() != "RpcError 7: how many?" {
		t.Errorf("got %v", err)
	}
	if _, err := lobby.Perform(ctx, room.Target{Identity: "bob"}, "other", ""); err == nil || !strings.Contains(err.Error(), "1400") {
		t.Errorf("got %v", err)
	}

	// Leaving, and being removed.
	eve.js(`room.disconnect()`)
	eve.is(`[room.state, events("disconnected")[0][0] === sdk.DisconnectReason.CLIENT_INITIATED]`, `["disconnected",true]`)
	ada.heard("participantDisconnected", 1)
	ada.is(`(([p, why]) => [p.identity, sdk.DisconnectReason[why]])(events("participantDisconnected")[0])`, `["eve","CLIENT_INITIATED"]`)
	ada.js(`who("bob").remove()`)
	bob.heard("disconnected", 1)
	bob.is(`(([why, { code, message }]) => [sdk.DisconnectReason[why], code, message, room.remoteParticipants.size])(events("disconnected")[0])`,
		`["PARTICIPANT_REMOVED",4508,"An administrator removed this participant.",0]`)
	if e := bob.refused(`room.connect(location.origin, room.token)`); e.ReasonName != "NotAllowed" || e.CloseReason != "token_revoked" {
		t.Errorf("got %+v", e)
	}
	eve.js(`room.connect(location.origin, ` + quote(s.Token("lobby", "eve")) + `)`) // the same room object, again
	eve.is(`[room.state, [...room.remoteParticipants.keys()]]`, `["connected",["ada"]]`)
}

// A page sees the token that the server refreshed, and can join with it.
func TestTokenRefreshed(t *testing.T) {
	s := serve(t)
	token := s.Token("lobby", "ada", named)
	ada := s.join(token)
	ada.heard("tokenRefreshed", 1)
	ada.is(`[room.token === events("tokenRefreshed")[0][0], room.token !== `+quote(token)+`, room.tokenExpiresAt.getTime() === events("tokenRefreshed")[0][1].getTime()]`,
		`[true,true,true]`)
	ada.js(`me.setName("Ada L.")`)
	ada.heard("tokenRefreshed", 2)
	ada.is(`sdk.decodeToken(room.token).name`, `"Ada L."`)
	ada.js(`(async () => { const token = room.token; await room.disconnect(); make(); await room.connect(location.origin, token) })()`)
	ada.is(`me.name`, `"Ada L."`)
}

// A session that is moved sees the end of the old room, and the new one.
func TestMoved(t *testing.T) {
	s := serve(t)
	bob := s.join(s.Token("lobby", "bob"))
	ada := s.join(s.Token("lobby", "ada"))
	eve := s.join(s.Token("stage", "eve"))
	ada.js(`me.setPresence({ x: 1 })`)
	b := s.Rooms.Batch()
	if err := s.Rooms.Move(b, "test", "lobby", "stage", "ada"); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	ada.heard("moved", 1)
	ada.until(`who("eve") !== undefined`)
	ada.is(`[room.name, room.state, [...room.remoteParticipants.keys()], me.presence, events("moved")[0]]`, `["stage","connected",["eve"],{},["stage"]]`)
	ada.is(`seen.map((e) => e.event).filter((e) => /^(moved|participant(Dis)?[cC]onnected)$/.test(e))`, `["participantDisconnected","moved","participantConnected"]`)
	bob.heard("participantDisconnected", 1)
	bob.is(`sdk.DisconnectReason[events("participantDisconnected")[0][1]]`, `"MIGRATION"`)
	eve.heard("participantConnected", 1)
	ada.js(`me.publishData("here", { reliable: true })`)
	eve.heard("dataReceived", 1)
	ada.until(`sdk.decodeToken(room.token).video.room === "stage"`)
}

// A connection that is cut is resumed: nothing is missed, nothing arrives twice,
// and what is asked meanwhile is done once.
func TestResume(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	ada := s.join(s.Token("lobby", "ada"))
	bob.Expect("participantJoined")
	sid := ada.js(`me.sid`)
	for round := range 3 {
		said := "said while cut, " + string(rune('a'+round))
		s.door.Shut()
		ada.heard("signalReconnecting", round+1)
		ada.is(`room.state`, `"signalReconnecting"`)
		ada.js(`void (window.said = me.publishData(` + quote(said) + `, { reliable: true }))`)
		bob.OK(message(`{"type":"publishData","payload":"missed"}`))
		s.door.Lead(s.Server.HTTP.Listener.Addr().String())
		ada.js(`said`)
		bob.ExpectWhere(said, func(e sessiontest.Event) bool { return e.Str("payload") == said })
		ada.heard("dataReceived", round+1)
		ada.is(`[room.state, events("reconnected").length, events("dataReceived").length, me.sid === `+sid+`]`, `["connected",`+string(rune('1'+round))+`,`+string(rune('1'+round))+`,true]`)
	}
	ada.is(`[events("participantDisconnected").length, events("reconnecting").length]`, `[0,0]`)
	bob.Sync()
	heard := 0
	for _, e := range bob.Seen() {
		if strings.HasPrefix(e.Str("payload"), "said while cut") {
			heard++
		}
	}
	if heard != 3 {
		t.Errorf("bob heard %d messages, want each of 3 once", heard)
	}
}

// A server that starts anew knows no sessions: the pages join again by
// themselves, with the refreshed token, and find each other.
func TestRestart(t *testing.T) {
	s := serve(t)
	ada := s.join(s.Token("lobby", "ada", named))
	bob := s.join(s.Token("lobby", "bob"))
	ada.js(`me.setName("Ada L.").then(() => me.setPresence({ x: 1 }))`)
	ada.heard("tokenRefreshed", 2)
	bob.until(`who("ada").name === "Ada L."`)
	sids := ada.js(`[me.sid, who("bob").sid]`)

	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_ = s.Sessions.Drain(ctx)
	ada.heard("signalReconnecting", 1)
	s.door.Shut()
	s.start()
	for _, p := range []*tab{ada, bob} {
		p.heard("reconnected", 1)
		p.until(`room.state === "connected" && room.numParticipants === 2 && room.remoteParticipants.size === 1`)
		p.is(`seen.map((e) => e.event).filter((e) => /[rR]econnect/.test(e))`, `["signalReconnecting","reconnecting","reconnected"]`)
	}
	bob.until(`who("ada").presence.x === 1`)
	bob.is(`who("ada").name`, `"Ada L."`) // the refreshed token carries it
	if again := ada.js(`[me.sid, who("bob").sid]`); again == sids {
		t.Error("the sids are those of before")
	}
	bob.is(`events("participantDisconnected").length`, `1`)
	ada.js(`me.publishData("here again", { reliable: true })`)
	bob.heard("dataReceived", 1)
}

// When the token has run out, the page's tokenProvider is asked; without one the
// error says what to do.
func TestTokenProvider(t *testing.T) {
	s := serve(t)
	ada := s.open()
	if e := ada.refused(`make().connect(location.origin, ` + quote(s.expired()) + `)`); e.Code != float64(4501) || !strings.Contains(e.Message, "tokenProvider") {
		t.Errorf("got %+v", e)
	}
	ada.is(`[room.state, events("disconnected").length]`, `["disconnected",1]`)
	ada.js(`(window.asked = 0, make({ tokenProvider: async () => (asked++, (await fetch("/token")).text()) })).connect(location.origin, ` + quote(s.expired()) + `)`)
	ada.is(`[room.state, me.identity, asked]`, `["connected","ada",1]`)
	if e := ada.refused(`make({ tokenProvider: () => { throw new Error("no backend") } }).connect(location.origin, ` + quote(s.expired()) + `)`); e.Name != "ConnectionError" {
		t.Errorf("got %+v", e)
	}
}

// A page that is offline says so, and is back soon after it is online.
func TestOffline(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	ada := s.join(s.Token("lobby", "ada"))
	network := func(offline bool) {
		t.Helper()
		if _, err := chromedp.Call(ada.Context(), network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: offline, DownloadThroughput: -1, UploadThroughput: -1}); err != nil {
			t.Fatal(err)
		}
	}
	network(true)
	s.door.Shut()
	ada.heard("signalReconnecting", 1)
	ada.is(`[navigator.onLine, room.state]`, `[false,"signalReconnecting"]`)
	bob.OK(message(`{"type":"publishData","payload":"missed"}`))
	s.door.Lead(s.Server.HTTP.Listener.Addr().String())
	network(false)
	ada.heard("reconnected", 1)
	ada.heard("dataReceived", 1)
	ada.is(`events("reconnecting").length`, `0`)
}

// A page of another origin loads the SDK from here and joins if its origin is
// allowed; else it is told so, and how that is changed.
func TestOrigins(t *testing.T) {
	s := serve(t)
	friend, stranger := elsewhere(t, s), elsewhere(t, s)
	s.start(origins(friend))
	token := s.Token("lobby", "ada")
	connect := `make().connect(` + quote(s.URL) + `, ` + quote(token) + `)`
	one := s.openAt(pageOf(friend, s))
	one.js(`sdk.Room && make().prepareConnection(` + quote(s.URL) + `)`)
	one.js(connect)
	one.is(`[room.state, location.origin !== `+quote(s.URL)+`]`, `["connected",true]`)
	two := s.openAt(pageOf(stranger, s))
	e := two.refused(connect)
	if e.CloseReason != "origin_not_allowed" || e.ReasonName != "NotAllowed" || !strings.Contains(e.Message, stranger) || !strings.Contains(e.Message, "`origins`") {
		t.Errorf("got %+v", e)
	}
}

// Names that are hostile to pages and to programs are names.
func TestHostileNames(t *testing.T) {
	s := serve(t)
	ada := s.join(s.Token("lobby", "ada"))
	names := []string{`<img src=x onerror="window.hacked=1">`, "__proto__", "constructor", "toString", "</script><script>hacked=1</script>", "\u202eevil"}
	for i, name := range names {
		evil, _ := s.Join(s.Token("lobby", name, named, func(c *livekit.Claims) {
			c.Name, c.Metadata = name, name
			c.Attributes = map[string]string{name: name}
		}))
		evil.OK(message(`{"type":"updatePresence","presence":{"__proto__":{"polluted":1},"x":` + quote(name) + `}}`))
		evil.OK(message(`{"type":"publishData","topic":` + quote(name) + `,"payload":{"__proto__":{"polluted":1}}}`))
		evil.OK(message(`{"type":"updateMetadata","attributes":{"__proto__":"x"}}`))
		ada.heard("participantAttributesChanged", i+1)
		ada.until(`who(` + quote(name) + `).presence.x === ` + quote(name))
		ada.is(`((p) => [p.identity, p.name, p.metadata, p.attributes[`+quote(name)+`] === `+quote(map[bool]string{true: "x", false: name}[name == "__proto__"])+`])(who(`+quote(name)+`))`,
			quote([]any{name, name, name, true}))
	}
	ada.is(`[window.hacked ?? null, {}.polluted ?? null, room.remoteParticipants.size]`, quote([]any{nil, nil, len(names)}))
}

// live is whether a picture moves in the element with the id.
const live = `window.live = (id) => new Promise((done) => {
	const pen = Object.assign(document.createElement("canvas"), { width: 16, height: 9 }).getContext("2d", { willReadFrequently: true });
	const seen = new Set();
	const look = () => {
		const video = document.getElementById(id);
		if (video?.videoWidth) {
			pen.drawImage(video, 0, 0, 16, 9);
			seen.add(pen.getImageData(8, 4, 1, 1).data.join());
		}
		if (seen.size > 4) done([video.videoWidth, video.videoHeight]);
		else setTimeout(look, 30);
	};
	look();
}), 0`

// A track goes from one page to the other, and is gone when the right to it is.
func TestTracks(t *testing.T) {
	s := serve(t)
	ada := s.join(s.Token("lobby", "ada", host))
	bob := s.join(s.Token("lobby", "bob"))
	if reason := ada.js(`sdk.capabilities().then((c) => c.video.send.includes("vp8") ? "" : c.reason)`); reason != `""` {
		t.Fatalf("this browser cannot: %s", reason)
	}
	bob.js(live)
	bob.js(`room.on(sdk.RoomEvent.TrackSubscribed, (track) => document.body.append(Object.assign(track.attach(), { id: "v" + events("trackSubscribed").length }))), 0`)
	if e := ada.refused(`me.publishTrack(picture(), { source: "nonsense" })`); e.Code != "invalid_request" {
		t.Errorf("got %+v", e)
	}
	ada.js(`me.publishTrack((window.mine = picture()), { source: sdk.Track.Source.Camera, name: "show" }).then(() => 0)`)
	ada.is(`[me.isCameraEnabled, events("localTrackPublished").length, me.getTrackPublication("camera").trackName]`, `[true,1,"show"]`)
	bob.heard("trackSubscribed", 1)
	bob.is(`live("v0")`, `[160,90]`)
	bob.is(`(([track, publication, p]) => [track.kind, publication.source, publication.trackName, publication.isSubscribed, p.identity])(events("trackSubscribed")[0])`,
		`["video","camera","show",true,"ada"]`)

	// Muted, unmuted, unsubscribed, subscribed again.
	ada.js(`me.getTrackPublication("camera").mute().then(() => 0)`)
	bob.heard("trackMuted", 1)
	bob.is(`who("ada").isCameraEnabled`, `false`)
	ada.js(`me.setCameraEnabled(true).then(() => 0)`)
	bob.heard("trackUnmuted", 1)
	bob.is(`live("v0")`, `[160,90]`)
	bob.js(`who("ada").getTrackPublication("camera").setSubscribed(false), 0`)
	bob.heard("trackUnsubscribed", 1)
	bob.js(`who("ada").getTrackPublication("camera").setSubscribed(true), 0`)
	bob.heard("trackSubscribed", 2)
	bob.is(`live("v1")`, `[160,90]`)

	// A cut is survived on the same track; a new server gets it published again.
	s.door.Cut()
	for _, p := range []*tab{ada, bob} {
		p.heard("reconnected", 1)
	}
	bob.is(`live("v1")`, `[160,90]`)
	s.door.Shut()
	s.start()
	bob.heard("trackSubscribed", 3)
	bob.is(`live("v2")`, `[160,90]`)
	ada.is(`[me.isCameraEnabled, mine.readyState]`, `[true,"live"]`)

	// Demoted: gone for everybody, the capture ended, and refused from now on.
	ada.js(`me.setPermissions({ canPublishSources: ["microphone"] })`)
	bob.until(`who("ada").getTrackPublications().length === 0`)
	ada.until(`me.getTrackPublications().length === 0`)
	ada.is(`mine.readyState`, `"ended"`)
	if e := ada.refused(`me.setCameraEnabled(true)`); e.Permission != "canPublishSources" || e.Layer != "live" {
		t.Errorf("got %+v", e)
	}
}
