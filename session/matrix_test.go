package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// This file tries every operation under every combination of grant flags. What
// must happen is said by [allowance], written from docs/protocol.md and the
// document of LiveKit's grants, without the server's own functions.

// flags is one combination of grant flags. A nil flag is not in the token.
type flags struct {
	publish, data, subscribe, metadata *bool
	sources                            []string
	hidden, admin                      bool
}

func (f flags) String() string {
	flag := func(b *bool) string {
		if b == nil {
			return "unset"
		}
		return strconv.FormatBool(*b)
	}
	return fmt.Sprintf("publish=%s,sources=%s,data=%s,subscribe=%s,metadata=%s,hidden=%t,admin=%t",
		flag(f.publish), strings.Join(f.sources, "+"), flag(f.data), flag(f.subscribe), flag(f.metadata), f.hidden, f.admin)
}

func (f flags) grant(c *livekit.Claims) {
	c.Video.CanPublish, c.Video.CanPublishData = f.publish, f.data
	c.Video.CanSubscribe, c.Video.CanUpdateOwnMetadata = f.subscribe, f.metadata
	c.Video.CanPublishSources, c.Video.Hidden, c.Video.RoomAdmin = f.sources, f.hidden, f.admin
}

func allFlags() []flags {
	three := []*bool{nil, ptr(true), ptr(false)}
	var all []flags
	for _, publish := range three {
		for _, sources := range [][]string{nil, {"camera"}, {"microphone", "screen_share_audio"}, {"bogus"}} {
			for _, data := range three {
				for _, subscribe := range three {
					for _, metadata := range three {
						for _, hidden := range []bool{false, true} {
							for _, admin := range []bool{false, true} {
								all = append(all, flags{publish, data, subscribe, metadata, sources, hidden, admin})
							}
						}
					}
				}
			}
		}
	}
	return all
}

// allowance is what a combination allows.
type allowance struct {
	sources                                  []string // that may be published
	data, subscribe, metadata, hidden, admin bool
}

var everySource = []string{"camera", "microphone", "screen_share", "screen_share_audio", "custom_video", "custom_audio"}

// allow says what LiveKit's document says: an unset canPublish and an unset
// canSubscribe allow, an unset canPublishData goes by canPublish, an unset
// canUpdateOwnMetadata denies; canPublishSources narrows canPublish unless it
// is empty, and a name that nobody knows opens nothing.
func allow(f flags) allowance {
	publish := f.publish == nil || *f.publish
	a := allowance{
		data:      f.data == nil && publish || f.data != nil && *f.data,
		subscribe: f.subscribe == nil || *f.subscribe,
		metadata:  f.metadata != nil && *f.metadata,
		hidden:    f.hidden, admin: f.admin,
	}
	for _, s := range everySource {
		if publish && (len(f.sources) == 0 || slices.Contains(f.sources, s)) {
			a.sources = append(a.sources, s)
		}
	}
	return a
}

// missing is the permission that publishing from a source lacks, or "".
func (a allowance) missing(source string) string {
	switch {
	case a.hidden:
		return "hidden"
	case source == "" && !a.data:
		return "canPublishData"
	case source == "" || slices.Contains(a.sources, source):
		return ""
	case len(a.sources) == 0:
		return "canPublish"
	}
	return "canPublishSources"
}

func unless(allowed bool, permission string) string {
	if allowed {
		return ""
	}
	return permission
}

// stage is a room with people who are there for all combinations: one who
// watches what the others do, and one to whom moderators do things.
type stage struct {
	s             *sessiontest.Server
	room          string
	watcher       *sessiontest.Client
	audio, video  string // the watcher's tracks
	audioHandle   uint32
	at            int // what of the watcher's messages has been looked at
	victim        *sessiontest.Client
	victimName    string
	victimSID     string
	victims       int
	victimMayData bool
}

func newStage(s *sessiontest.Server, room string) *stage {
	st := &stage{s: s, room: room}
	st.watcher, _ = s.Join(s.Token(room, "watcher", func(c *livekit.Claims) { c.Video.RoomAdmin = true }))
	track := st.watcher.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	st.audio, st.audioHandle = track.Str("track.sid"), handleOf(track)
	st.video = st.watcher.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"}).Str("track.sid")
	st.newVictim()
	_ = st.seen()
	return st
}

func (st *stage) newVictim() {
	st.victims++
	st.victimName = fmt.Sprint("victim-", st.victims)
	var joined sessiontest.Event
	st.victim, joined = st.s.Join(st.s.Token(st.room, st.victimName))
	st.victimSID = joined.Str("session")
	st.victimMayData = true
}

func handleOf(e sessiontest.Event) uint32 {
	h, _ := strconv.ParseUint(e.Str("track.handle"), 10, 32)
	return uint32(h)
}

// seen returns what the watcher was told since the last time, in short. Its own
// replies do not count, and neither do requests for key frames: they come at
// most twice a second, and name nobody.
func (st *stage) seen() []string {
	st.watcher.Sync()
	var events []sessiontest.Event
	events, st.at = st.watcher.Since(st.at)
	var all []string
	for _, e := range events {
		if line := summary(e); line != "" {
			all = append(all, line)
		}
	}
	return all
}

func summary(e sessiontest.Event) string {
	if e.Binary != nil {
		return "frame " + string(e.Binary[wire.FrameHeaderBytes:])
	}
	switch e.Type() {
	case "joined", "refreshToken", "ok", "error", "pong", "keyFrameRequested":
		return ""
	case "participantJoined":
		return "joined " + e.Str("participant.identity")
	case "participantLeft":
		return "left " + e.Str("identity") + " " + e.Str("reason")
	case "participantUpdated":
		return fmt.Sprintf("updated %s %v %s|%s|%v", e.Str("participant.identity"), e.Get("changed"),
			e.Str("participant.name"), e.Str("participant.metadata"), e.Get("participant.attributes"))
	case "sessionData":
		return fmt.Sprintf("session %v", e.Get("data"))
	case "data":
		return fmt.Sprintf("data %s %s %s", e.Str("from.identity"), e.Str("topic"), e.Str("payload"))
	case "presence":
		return fmt.Sprintf("presence %v", e.Get("presence"))
	case "trackPublished":
		return "published " + e.Str("identity") + " " + e.Str("track.name")
	case "trackSubscribed":
		return "subscribed " + e.Str("track.name")
	case "trackUnpublished":
		return "unpublished " + e.Str("identity") + " " + e.Str("reason")
	case "trackMuted":
		return "muted " + e.Str("muted")
	}
	return e.Text
}

// actor plays all operations under one combination and notes what the watcher
// must see of them.
type actor struct {
	t        *testing.T
	st       *stage
	c        *sessiontest.Client
	identity string
	allow    allowance
	told     map[string]bool // kinds of message whose denial was explained
	want     []string        // what the watcher sees
	marker   int
}

// mark returns a text that occurs once in the room's life.
func (a *actor) mark() string {
	a.marker++
	return fmt.Sprintf("%s/%d", a.identity, a.marker)
}

// try sends a request and checks the answer: ok when missing is "", else the
// denial that names the permission and the layer, the first time.
func (a *actor) try(m wire.Message, missing string) sessiontest.Event {
	a.t.Helper()
	e := a.c.Ask(m)
	if missing == "" {
		if e.Type() != "ok" {
			a.t.Errorf("%s: got %s, want ok", m.Type, e.Text)
		}
		return e
	}
	want := fmt.Sprintf("not_allowed %s token", missing)
	if a.told[m.Type] {
		want = "not_allowed  "
	}
	a.told[m.Type] = true
	if got := fmt.Sprintf("%s %s %s", e.Str("code"), e.Str("permission"), e.Str("layer")); got != want {
		a.t.Errorf("%s: got %s, want %s", m.Type, e.Text, want)
	}
	return e
}

// fails sends a request that is refused for another reason than a permission.
func (a *actor) fails(m wire.Message, code string) {
	a.t.Helper()
	if e := a.c.Ask(m); e.Str("code") != code {
		a.t.Errorf("%s: got %s, want %s", m.Type, e.Text, code)
	}
}

func (a *actor) see(format string, args ...any) {
	a.want = append(a.want, fmt.Sprintf(format, args...))
}

// received reports whether a track frame with that payload has come.
func received(c *sessiontest.Client, text string) bool {
	return slices.ContainsFunc(c.Seen(), func(e sessiontest.Event) bool { return e.Binary != nil && strings.HasSuffix(string(e.Binary), text) })
}

// frame sends a track frame whose payload is the text.
func frame(c *sessiontest.Client, handle uint32, text string) {
	c.T.Helper()
	b := wire.FrameHeader{Handle: handle, Key: true, Last: true}.Append(nil)
	if err := c.WS.Write(context.Background(), websocket.MessageBinary, append(b, text...)); err != nil {
		c.T.Fatal(err)
	}
}

func jsonOf(s string) json.RawMessage { return json.RawMessage(strconv.Quote(s)) }

func TestEveryOperationUnderEveryGrant(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("USHER_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	all := allFlags()
	rng := rand.New(rand.NewPCG(seed, 0))
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if testing.Short() {
		all = all[:len(all)/10]
		t.Logf("a tenth of the combinations; USHER_SEED=%d repeats them", seed)
	}
	s := sessiontest.Serve(t, sessiontest.Options{})
	const stages = 4
	var wg sync.WaitGroup
	for n := range stages {
		st := newStage(s, fmt.Sprint("stage-", n))
		wg.Go(func() {
			for i := n; i < len(all); i += stages {
				t.Run(all[i].String(), func(t *testing.T) { st.play(t, all[i], fmt.Sprint("actor-", i)) })
			}
		})
	}
	wg.Wait()
}

func (st *stage) play(t *testing.T, f flags, identity string) {
	a := &actor{t: t, st: st, identity: identity, allow: allow(f), told: map[string]bool{}}
	_ = st.seen()
	var joined sessiontest.Event
	a.c, joined = st.s.For(t).Join(st.s.Token(st.room, identity, f.grant))
	shown := 2
	if !a.allow.hidden {
		a.see("joined %s", identity)
		shown++
	}
	a.checkJoined(joined, shown)
	a.roster(shown)
	a.receiving()
	a.sending()
	a.presence()
	a.sessionData()
	a.ownMetadata()
	for _, source := range append([]string{""}, everySource...) {
		a.track(source)
	}
	a.othersTracks()
	a.moderation()
	a.rest()
	a.leave()
	if got := st.seen(); !slices.Equal(got, a.want) {
		t.Errorf("the watcher saw\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(a.want, "\n  "))
	}
	for _, e := range a.c.Seen() {
		if s := summary(e); strings.HasPrefix(s, "left watcher") || strings.HasPrefix(s, "unpublished watcher") {
			t.Errorf("the watcher was touched: %s", e.Text)
		}
	}
	if t.Failed() { // a stage in an unknown state would fail all that follow
		t.Logf("%+v", f)
	}
}

func (a *actor) checkJoined(joined sessiontest.Event, shown int) {
	a.t.Helper()
	p := "self.permissions."
	got := fmt.Sprintf("publish=%v data=%v subscribe=%v metadata=%v presence=%v hidden=%v admin=%v",
		joined.Get(p+"canPublish"), joined.Get(p+"canPublishData"), joined.Get(p+"canSubscribe"), joined.Get(p+"canUpdateOwnMetadata"),
		joined.Get(p+"canUpdatePresence"), joined.Get(p+"hidden"), len(joined.Get(p+"admin").([]any)) > 0)
	want := fmt.Sprintf("publish=%v data=%v subscribe=%v metadata=%v presence=%v hidden=%v admin=%v",
		len(a.allow.sources) > 0, a.allow.data, a.allow.subscribe, a.allow.metadata, a.allow.data, a.allow.hidden, a.allow.admin)
	if got != want {
		a.t.Errorf("joined says %s, want %s", got, want)
	}
	if n := joined.Str("room.numParticipants"); n != fmt.Sprint(shown) {
		a.t.Errorf("joined counts %s, want %d", n, shown)
	}
}

func (a *actor) roster(shown int) {
	e := a.try(wire.Message{Type: "listParticipants"}, "")
	var names []string
	for _, p := range e.Get("participants").([]any) {
		names = append(names, p.(map[string]any)["identity"].(string))
	}
	slices.Sort(names)
	want := []string{a.identity, "watcher", a.st.victimName}
	slices.Sort(want)
	if !slices.Equal(names, want) || e.Str("numParticipants") != fmt.Sprint(shown) {
		a.t.Errorf("listParticipants: got %v of %s, want %v of %d", names, e.Str("numParticipants"), want, shown)
	}
}

// receiving: the watcher's tracks, which come by themselves where they may.
func (a *actor) receiving() {
	w := a.st.watcher
	deny := unless(a.allow.subscribe, "canSubscribe")
	heard := func(when string, want bool) {
		a.t.Helper()
		m := a.mark()
		frame(w, a.st.audioHandle, m)
		w.Sync()
		a.c.Sync()
		if got := received(a.c, m); got != want {
			a.t.Errorf("%s the watcher's frame was received: %t, want %t", when, got, want)
		}
	}
	heard("after the join", a.allow.subscribe)
	a.try(wire.Message{Type: "unsubscribe", TrackSID: a.st.audio}, "")
	heard("after unsubscribe", false)
	a.try(wire.Message{Type: "subscribe", TrackSID: a.st.audio}, deny)
	heard("after subscribe", a.allow.subscribe)
	if a.allow.subscribe {
		a.try(wire.Message{Type: "requestKeyFrame", TrackSID: a.st.video}, "")
	} else {
		a.fails(wire.Message{Type: "requestKeyFrame", TrackSID: a.st.video}, "not_found")
		if slices.ContainsFunc(a.c.Seen(), func(e sessiontest.Event) bool { return e.Type() == "trackSubscribed" }) {
			a.t.Error("trackSubscribed without canSubscribe")
		}
	}
	a.fails(wire.Message{Type: "subscribe", TrackSID: "TR_nothing"}, "not_found")
}

func (a *actor) sending() {
	deny := unless(a.allow.data, "canPublishData")
	from := a.identity
	if a.allow.hidden {
		from = ""
	}
	send := func(m wire.Message, seen bool) {
		a.t.Helper()
		mark := a.mark()
		m.Type, m.Payload, m.Topic = "publishData", jsonOf(mark), "topic"
		a.try(m, deny)
		if seen && deny == "" {
			a.see("data %s topic %s", from, mark)
		}
	}
	send(wire.Message{}, true)
	send(wire.Message{Reliable: ptr(false)}, true)
	send(wire.Message{DestinationIdentities: []string{"watcher", "nobody"}}, true)
	send(wire.Message{DestinationIdentities: []string{a.st.victimName, a.identity}}, false)
	send(wire.Message{DestinationSIDs: []string{"PA_nobody"}}, false)
	// Without an id nothing is answered but an error, which has been explained.
	if deny == "" {
		mark := a.mark()
		a.c.Send(wire.Message{Type: "publishData", Payload: jsonOf(mark)})
		a.see("data %s  %s", from, mark)
	}
}

func (a *actor) presence() {
	deny := unless(a.allow.data, "canUpdatePresence")
	one, two := a.mark(), a.mark()
	a.try(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{"one": jsonOf(one)}}, deny)
	if deny == "" && !a.allow.hidden {
		a.see("presence map[one:%s]", one)
		a.flush() // a newer value would overtake this one on its way
	}
	a.try(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{"two": jsonOf(two)}}, deny)
	if deny == "" && !a.allow.hidden {
		a.see("presence map[one:%s two:%s]", one, two)
		a.flush()
	}
	a.try(wire.Message{Type: "updatePresence", Full: true, Presence: map[string]json.RawMessage{"two": jsonOf(two)}}, deny)
	if deny == "" && !a.allow.hidden {
		a.see("presence map[two:%s]", two)
	}
}

// sessionData is everybody's who may send data, hidden or not: it is nobody's.
func (a *actor) sessionData() {
	deny := unless(a.allow.data, "canPublishData")
	mark := a.mark()
	a.try(wire.Message{Type: "updateSessionData", Data: map[string]json.RawMessage{"by": jsonOf(mark)}}, deny)
	if deny == "" {
		a.see("session map[by:%s]", mark)
		a.flush()
	}
}

// flush has the watcher receive what waits for it.
func (a *actor) flush() { a.st.watcher.Sync() }

func (a *actor) ownMetadata() {
	deny := unless(a.allow.metadata, "canUpdateOwnMetadata")
	name, metadata, value := a.mark(), a.mark(), a.mark()
	for _, step := range []struct {
		m    wire.Message
		seen string
	}{
		{wire.Message{Name: &name}, "[name] " + name + "||map[]"},
		{wire.Message{Metadata: &metadata, Attributes: map[string]string{"k": value}}, "[metadata attributes] " + name + "|" + metadata + "|map[k:" + value + "]"},
		{wire.Message{Metadata: ptr(""), Attributes: map[string]string{"k": ""}}, "[metadata attributes] " + name + "||map[]"},
		{wire.Message{Name: &name}, ""}, // no change
	} {
		step.m.Type = "updateMetadata"
		a.try(step.m, deny)
		if deny == "" && !a.allow.hidden && step.seen != "" {
			a.see("updated %s %s", a.identity, step.seen)
		}
	}
}

var kindOf = map[string]string{"camera": "video", "screen_share": "video", "custom_video": "video",
	"microphone": "audio", "screen_share_audio": "audio", "custom_audio": "audio", "": "data"}

func (a *actor) track(source string) {
	kind, deny, name := kindOf[source], a.allow.missing(source), a.mark()
	e := a.try(wire.Message{Type: "publishTrack", Kind: kind, Source: source, Name: &name}, deny)
	if deny != "" {
		frame(a.c, rand.Uint32(), a.mark()) // a handle that nobody gave
		return
	}
	sid, handle := e.Str("track.sid"), handleOf(e)
	a.see("published %s %s", a.identity, name)
	a.see("subscribed %s", name)
	pass := func(seen bool) {
		m := a.mark()
		frame(a.c, handle, m)
		if seen {
			a.see("frame %s", m)
			a.c.Sync() // frames still on their way when a track ends go with it
			a.flush()
		}
	}
	pass(true)
	a.try(wire.Message{Type: "muteTrack", TrackSID: sid, Muted: ptr(true)}, "")
	a.see("muted true")
	pass(false)
	a.try(wire.Message{Type: "muteTrack", TrackSID: sid, Muted: ptr(true)}, "")
	a.try(wire.Message{Type: "muteTrack", TrackSID: sid, Muted: ptr(false)}, "")
	a.see("muted false")
	pass(true)
	a.try(wire.Message{Type: "unpublishTrack", TrackSID: sid}, "")
	a.see("unpublished %s unpublished", a.identity)
	pass(false)
	a.fails(wire.Message{Type: "unpublishTrack", TrackSID: sid}, "not_found")
}

func (a *actor) othersTracks() {
	w := a.st.watcher
	m := a.mark()
	frame(a.c, a.st.audioHandle, m) // of somebody else's track
	a.c.Sync()
	for _, c := range []*sessiontest.Client{a.c, a.st.victim} { // who receive it
		if c.Sync(); received(c, m) {
			a.t.Error("a frame was passed on as somebody else's")
		}
	}
	a.fails(wire.Message{Type: "unpublishTrack", TrackSID: a.st.audio}, "not_found")
	a.try(wire.Message{Type: "muteTrack", TrackSID: a.st.audio, Muted: ptr(true)}, unless(a.allow.admin, "roomAdmin"))
	if !a.allow.admin {
		a.try(wire.Message{Type: "muteTrack", TrackSID: a.st.audio, Muted: ptr(false)}, "roomAdmin")
		return
	}
	a.see("muted true")
	a.fails(wire.Message{Type: "muteTrack", TrackSID: a.st.audio, Muted: ptr(false)}, "invalid_request")
	w.OK(wire.Message{Type: "muteTrack", TrackSID: a.st.audio, Muted: ptr(false)})
	a.see("muted false")
}

func (a *actor) moderation() {
	deny := unless(a.allow.admin, "roomAdmin")
	st, name, metadata := a.st, a.mark(), a.mark()
	before := st.victim.Seen()
	a.try(wire.Message{Type: "updateParticipant", Identity: st.victimName, Name: &name, Metadata: &metadata}, deny)
	permission := &wire.Permission{CanSubscribe: true, CanPublishData: !st.victimMayData}
	a.try(wire.Message{Type: "updateParticipant", Identity: st.victimName, Permission: permission}, deny)
	if deny != "" {
		a.try(wire.Message{Type: "updateParticipant", Identity: "nobody", Name: &name}, deny) // and no word of who is there
		a.try(wire.Message{Type: "updateParticipant", Identity: a.identity, Permission: &wire.Permission{CanPublish: true, CanPublishData: true}}, deny)
		a.try(wire.Message{Type: "removeParticipant", Identity: st.victimName}, deny)
		a.try(wire.Message{Type: "removeParticipant", Identity: "nobody"}, deny)
		a.try(wire.Message{Type: "ejectParticipant", Identity: st.victimName}, deny)
		a.try(wire.Message{Type: "ejectParticipant", SID: "PA_nobody", Ban: true}, deny)
		a.try(wire.Message{Type: "updatePermissions", Data: map[string]json.RawMessage{"*": []byte(`{"canSend":false}`)}}, deny)
		a.try(wire.Message{Type: "updatePermissions", Data: map[string]json.RawMessage{"PA_nobody": []byte(`{"canAdmin":true}`)}}, deny)
		for _, typ := range []string{"admitParticipant", "denyParticipant"} {
			a.try(wire.Message{Type: typ, All: true}, deny)
			a.try(wire.Message{Type: typ, SID: "PA_nobody"}, deny)
		}
		st.victim.Sync()
		for _, e := range st.victim.Seen()[len(before):] {
			if e.Type() == "participantUpdated" && e.Str("participant.identity") == st.victimName || e.Type() == "refreshToken" {
				a.t.Errorf("the victim was touched: %s", e.Text)
			}
		}
		return
	}
	st.victimMayData = !st.victimMayData
	a.see("updated %s [name metadata] %s|%s|map[]", st.victimName, name, metadata)
	a.see("updated %s [permissions] %s|%s|map[]", st.victimName, name, metadata)
	want := unless(st.victimMayData, "not_allowed")
	if e := st.victim.Ask(wire.Message{Type: "publishData", Payload: jsonOf("x"), DestinationIdentities: []string{"nobody"}}); e.Str("code") != want {
		a.t.Errorf("the victim's data: got %s, want %q", e.Text, want)
	}
	a.fails(wire.Message{Type: "updateParticipant", Identity: "nobody", Name: &name}, "not_found")
	a.fails(wire.Message{Type: "removeParticipant", SID: "PA_nobody"}, "not_found")
	for _, typ := range []string{"admitParticipant", "denyParticipant"} {
		a.try(wire.Message{Type: typ, All: true}, "") // nobody waits
		a.fails(wire.Message{Type: typ, SID: "PA_nobody"}, "not_found")
	}
	a.try(wire.Message{Type: "updatePermissions", Data: map[string]json.RawMessage{st.victimSID: []byte(`{"canSend":["audio"]}`)}}, "")
	a.see("updated %s [permissions] %s|%s|map[]", st.victimName, name, metadata)
	a.try(wire.Message{Type: "ejectParticipant", Identity: st.victimName}, "")
	a.see("left %s PARTICIPANT_REMOVED", st.victimName)
	st.victim.ExpectClose(wire.Ejected)
	st.newVictim()
	a.see("joined %s", st.victimName)
	a.try(wire.Message{Type: "removeParticipant", Identity: st.victimName}, "")
	a.see("left %s PARTICIPANT_REMOVED", st.victimName)
	st.victim.ExpectClose(wire.Removed)
	st.newVictim()
	a.see("joined %s", st.victimName)
}

func (a *actor) rest() {
	if e := a.c.Ask(wire.Message{Type: "ping"}); e.Type() != "pong" {
		a.t.Errorf("ping: got %s", e.Text)
	}
	a.c.Send(wire.Message{Type: "ack", Received: 1})
	a.fails(wire.Message{Type: "join"}, "invalid_request")
	a.fails(wire.Message{Type: "resume"}, "invalid_request")
	a.fails(wire.Message{Type: "becomeAdmin"}, "unknown_type")
}

func (a *actor) leave() {
	a.c.Send(wire.Message{Type: "leave"})
	a.c.ExpectClose(wire.Left)
	if !a.allow.hidden {
		a.see("left %s CLIENT_INITIATED", a.identity)
	}
}
