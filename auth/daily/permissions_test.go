package daily_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"usher/auth"
	"usher/auth/daily"
)

const nothingSaid = `{"hasPresence":true,"canSend":true,"canReceive":{"base":true},"canAdmin":false}`

// §4: what the words come to, told again in the same words.
func TestPermissions(t *testing.T) {
	h := newHouse(t)
	g := h.grant(t, `,"ud":"ada"`)
	for _, test := range []struct{ said, want string }{
		{`{}`, nothingSaid},
		{`{"hasPresence":null,"canSend":null,"canReceive":null,"canAdmin":null}`, nothingSaid},
		{`{"hasPresence":true,"canSend":true,"canReceive":{},"canAdmin":false}`, nothingSaid},
		{`{"hasPresence":false}`, `{"hasPresence":false,"canSend":true,"canReceive":{"base":true},"canAdmin":false}`},
		{`{"canSend":false}`, `{"hasPresence":true,"canSend":false,"canReceive":{"base":true},"canAdmin":false}`},
		{`{"canSend":[]}`, `{"hasPresence":true,"canSend":false,"canReceive":{"base":true},"canAdmin":false}`},
		{`{"canSend":["audio","video"]}`, `{"hasPresence":true,"canSend":["video","audio"],"canReceive":{"base":true},"canAdmin":false}`},
		{`{"canSend":"audio,screenVideo"}`, `{"hasPresence":true,"canSend":["audio","screenVideo"],"canReceive":{"base":true},"canAdmin":false}`},
		{`{"canSend":"v, sa,cv,ca"}`, `{"hasPresence":true,"canSend":["video","screenAudio","customVideo","customAudio"],"canReceive":{"base":true},"canAdmin":false}`},
		{`{"canSend":["video","audio","screenVideo","screenAudio","customVideo","customAudio"]}`, nothingSaid},
		{`{"canAdmin":true}`, `{"hasPresence":true,"canSend":true,"canReceive":{"base":true},"canAdmin":true}`},
		{`{"canAdmin":["participants"]}`, `{"hasPresence":true,"canSend":true,"canReceive":{"base":true},"canAdmin":["participants"]}`},
		{`{"canAdmin":"s,t"}`, `{"hasPresence":true,"canSend":true,"canReceive":{"base":true},"canAdmin":["streaming","transcription"]}`},
		{`{"canAdmin":["participants","streaming","transcription"]}`, `{"hasPresence":true,"canSend":true,"canReceive":{"base":true},"canAdmin":true}`},
		{`{"canReceive":{"base":false}}`, `{"hasPresence":true,"canSend":true,"canReceive":{"base":false},"canAdmin":false}`},
		{`{"canReceive":{"base":` + media("true", "true") + `}}`, nothingSaid},
		{`{"canReceive":{"base":` + media("false", "false") + `}}`, `{"hasPresence":true,"canSend":true,"canReceive":{"base":false},"canAdmin":false}`},
		{`{"canReceive":{"base":` + media("true", "false") + `}}`,
			`{"hasPresence":true,"canSend":true,"canReceive":{"base":` + media("true", "false") + `},"canAdmin":false}`},
		// One name that is closed closes all: usher has one right for them.
		{`{"canReceive":{"base":{"video":true,"audio":true,"screenVideo":true,"screenAudio":true,"customVideo":{"*":true,"x":false},"customAudio":{"*":true}}}}`,
			`{"hasPresence":true,"canSend":true,"canReceive":{"base":{"video":true,"audio":true,"screenVideo":true,"screenAudio":true,"customVideo":{"*":false},"customAudio":{"*":true}}},"canAdmin":false}`},
		{`{"canReceive":{"base":false,"byUserId":{"bob":true,"*":false},"byParticipantId":{"PA_2":` + media("true", "false") + `}}}`,
			`{"hasPresence":true,"canSend":true,"canReceive":{"base":false,"byUserId":{"*":false,"bob":true},"byParticipantId":{"PA_2":` + media("true", "false") + `}},"canAdmin":false}`},
		// What an object leaves out of somebody is as in the base beside it.
		{`{"canReceive":{"byUserId":{"bob":{"video":false}},"base":true}}`,
			`{"hasPresence":true,"canSend":true,"canReceive":{"base":true,"byUserId":{"bob":{"video":false,"audio":true,"screenVideo":true,"screenAudio":true,"customVideo":{"*":true},"customAudio":{"*":true}}}},"canAdmin":false}`},
		{`{"canReceive":{"base":false,"byUserId":{"bob":{"audio":true,"customAudio":{"x":true}}}}}`,
			`{"hasPresence":true,"canSend":true,"canReceive":{"base":false,"byUserId":{"bob":{"video":false,"audio":true,"screenVideo":false,"screenAudio":false,"customVideo":{"*":false},"customAudio":{"*":false}}}},"canAdmin":false}`},
	} {
		p := auth.Resolve(g.Format.Base(g, "lab", room(t, test.said))...)
		if got := told(p); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.said, got, test.want)
		}
		// What is told says the same when it is said.
		again := auth.Resolve(g.Format.Base(g, "lab", room(t, told(p)))...)
		if !again.Equal(p) {
			t.Errorf("%s: told as %s and read as %s", test.said, told(p), told(again))
		}
	}
}

// media is an object of what may be received, of tracks of one's own and of others.
func media(own, custom string) string {
	return `{"video":` + own + `,"audio":` + own + `,"screenVideo":` + own + `,"screenAudio":` + own +
		`,"customVideo":{"*":` + custom + `},"customAudio":{"*":` + custom + `}}`
}

// §4: the rules that daily-js ships.
func TestPermissionsThatAreNone(t *testing.T) {
	for _, test := range []struct{ said, want string }{
		{``, "permissions should be an object"},
		{`null`, "permissions should be an object"},
		{`true`, "permissions should be an object"},
		{`{"canSend":true`, "permissions should be an object"},
		{`{"canFly":true}`, "permissions has 'canFly', which is not one of hasPresence, canSend, canReceive, canAdmin"},
		{`{"cs":"v"}`, "permissions has 'cs', which is not one of"},
		{`{"canSend":true,"canSend":false}`, "permissions has a name that comes twice"},
		{`{"hasPresence":"yes"}`, "permissions.hasPresence should be a boolean"},
		{`{"hasPresence":1}`, "permissions.hasPresence should be a boolean"},
		{`{"canSend":{}}`, "permissions.canSend should be a boolean or an array of video, audio"},
		{`{"canSend":["video",1]}`, "permissions.canSend should be a boolean or an array of"},
		{`{"canSend":["camera"]}`, "permissions.canSend has 'camera', which is not one of video, audio, screenVideo, screenAudio, customVideo, customAudio"},
		{`{"canSend":"video,,audio"}`, "permissions.canSend has '', which"},
		{`{"canAdmin":["video"]}`, "permissions.canAdmin has 'video', which is not one of participants, streaming, transcription"},
		{`{"canReceive":true}`, "permissions.canReceive should be an object"},
		{`{"canReceive":{"bySessionId":{}}}`, "permissions.canReceive has 'bySessionId', which is not one of base, byUserId, byParticipantId"},
		{`{"canReceive":{"base":"all"}}`, "permissions.canReceive.base should be a boolean or an object"},
		{`{"canReceive":{"base":["video"]}}`, "permissions.canReceive.base should be a boolean or an object"},
		{`{"canReceive":{"base":{"video":true}}}`, "permissions.canReceive.base should have all of video, audio"},
		{`{"canReceive":{"base":{"camera":true}}}`, "permissions.canReceive.base has 'camera'"},
		{`{"canReceive":{"base":{"video":{}}}}`, "permissions.canReceive.base.video should be a boolean"},
		{`{"canReceive":{"base":{"customVideo":true}}}`, "permissions.canReceive.base.customVideo should be an object"},
		{`{"canReceive":{"base":{"customVideo":{"*":1}}}}`, "permissions.canReceive.base.customVideo should be an object of booleans"},
		{`{"canReceive":{"base":{"customVideo":{"x":true}}}}`, `permissions.canReceive.base.customVideo should have "*"`},
		{`{"canReceive":{"byUserId":true}}`, "permissions.canReceive.byUserId should be an object"},
		{`{"canReceive":{"byUserId":{"bob":"x"}}}`, "permissions.canReceive.byUserId should be a boolean or an object"},
		{`{"canReceive":{"byUserId":{"bob":{"video":false}}}}`, "permissions.canReceive.byUserId should have all of video"},
		{`{"canReceive":{"byUserId":{"bob":true,"bob":false}}}`, "permissions.canReceive.byUserId has a name that comes twice"},
		{`{"canReceive":{"byUserId":{` + strings.Repeat(`"x":true,`, 1) + many(daily.MaxExceptions) + `}}}`, "permissions.canReceive.byUserId names too many people"},
		{"{\"\xff\":true}", "permissions should be an object"},
	} {
		_, err := daily.ParsePermissions(json.RawMessage(test.said), "room")
		var invalid *daily.InvalidError
		if !errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%.80s\n got %v\nwant %s", test.said, err, test.want)
		}
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"p` + strings.Repeat("i", i%7) + string(rune('a'+i%26)) + strings.Repeat("x", i/26) + `":true`)
	}
	return b.String()
}

// §3: update-permissions states the parts of canReceive each by itself.
func TestLivePermissionsLeaveTheRest(t *testing.T) {
	parse := func(said string) auth.Say {
		say, err := daily.ParsePermissions(json.RawMessage(said), auth.Live)
		if err != nil {
			t.Fatal(err)
		}
		return say
	}
	base := []auth.Say{{Layer: "domain", Allow: auth.ReceiveTracks | auth.SendTracks}}
	first := parse(`{"canReceive":{"byUserId":{"bob":false},"byParticipantId":{"PA_9":false}}}`)
	for _, test := range []struct{ said, want string }{
		{`{"canReceive":{"base":false}}`, `{"base":false,"byUserId":{"bob":false},"byParticipantId":{"PA_9":false}}`},
		{`{"canReceive":{"byUserId":{"eve":false}}}`, `{"base":true,"byUserId":{"eve":false},"byParticipantId":{"PA_9":false}}`},
		{`{"canReceive":{"byUserId":{}}}`, `{"base":true,"byParticipantId":{"PA_9":false}}`},
		{`{"canReceive":{"byParticipantId":{}}}`, `{"base":true,"byUserId":{"bob":false}}`},
		{`{"canSend":false}`, `{"base":true,"byUserId":{"bob":false},"byParticipantId":{"PA_9":false}}`},
	} {
		p := auth.Resolve(append(base, first.Then(parse(test.said)))...)
		if got := told(p); !strings.Contains(got, `"canReceive":`+test.want+`,`) {
			t.Errorf("after %s: %s, want %s", test.said, got, test.want)
		}
	}
}

// §1.1, §4: token over room over domain, each permission by itself; owners above them.
func TestWhoDecides(t *testing.T) {
	h := newHouse(t)
	say, err := daily.ParsePermissions(json.RawMessage(`{"canAdmin":["streaming"],"canReceive":{"base":true,"byUserId":{"dom":false}},"hasPresence":false}`), "domain")
	if err != nil {
		t.Fatal(err)
	}
	h.SetPermissions("acme", say)
	const roomSays = `{"canSend":["audio"],"canReceive":{"base":false,"byUserId":{"bob":true}}}`
	for _, test := range []struct{ name, claims, want string }{
		{"nothing", ``, `{"hasPresence":false,"canSend":["audio"],"canReceive":{"base":false,"byUserId":{"bob":true}},"canAdmin":["streaming"]}`},
		{"canSend", `,"p":{"cs":"v"}`, `{"hasPresence":false,"canSend":["video"],"canReceive":{"base":false,"byUserId":{"bob":true}},"canAdmin":["streaming"]}`},
		{"canReceive", `,"p":{"cr":{"p":{"*":true}}}`, `{"hasPresence":false,"canSend":["audio"],"canReceive":{"base":false,"byParticipantId":{"*":true}},"canAdmin":["streaming"]}`},
		{"all", `,"p":{"hp":true,"cs":true,"cr":{"b":true},"ca":false}`, nothingSaid},
		{"an owner", `,"o":true,"p":{"hp":false,"cs":false,"cr":{"b":false},"ca":false}`,
			`{"hasPresence":true,"canSend":true,"canReceive":{"base":true},"canAdmin":true}`},
	} {
		g := h.grant(t, test.claims)
		layers := g.Format.Base(g, "lab", room(t, roomSays))
		if got := told(auth.Resolve(layers...)); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.name, got, test.want)
		}
		if owner := auth.Resolve(layers...).Allows(auth.Owner); owner != strings.Contains(test.claims, `"o"`) {
			t.Errorf("%s: owner %v", test.name, owner)
		}
	}
	g := h.grant(t, `,"p":{"cs":"v"}`)
	for right, want := range map[auth.Rights]string{
		auth.SendCamera: "token", auth.ReceiveCamera: "room", auth.Hidden: "domain", auth.SendData: "domain", auth.WriteStorage: "domain", auth.Owner: "domain",
	} {
		if _, by := auth.Explain(right, g.Format.Base(g, "lab", room(t, roomSays))...); by != want {
			t.Errorf("%s is decided by %s, want %s", right.Names(), by, want)
		}
	}
}

// §2.3: enable_hidden_participants, as a room says it, until somebody says otherwise.
func TestHiddenParticipants(t *testing.T) {
	h := newHouse(t)
	hidden := auth.RoomRules{Daily: &auth.Say{Layer: "room", Allow: auth.Hidden | auth.ReceiveOnlyOwners}}
	for claims, want := range map[string]auth.Rights{
		``:                             auth.Hidden | auth.ReceiveOnlyOwners,
		`,"p":{"hp":true}`:             auth.ReceiveOnlyOwners,
		`,"p":{"cr":{"b":true}}`:       auth.Hidden,
		`,"p":{"cr":{"u":{}}}`:         auth.Hidden,
		`,"p":{"cr":{"u":{"x":true}}}`: auth.Hidden,
		`,"o":true`:                    0,
	} {
		g := h.grant(t, claims)
		if got := auth.Resolve(g.Format.Base(g, "lab", hidden)...).Rights & (auth.Hidden | auth.ReceiveOnlyOwners); got != want {
			t.Errorf("%s: got %s, want %s", claims, got.Names(), want.Names())
		}
	}
}

// A room without a Daily part says nothing of people with tokens, and lets nobody be
// in it without.
func TestRoomWithoutDailyPart(t *testing.T) {
	h := newHouse(t)
	g := h.grant(t, `,"r":"lab"`)
	if got := told(auth.Resolve(g.Format.Base(g, "lab", auth.RoomRules{List: &auth.AccessList{}})...)); got != nothingSaid {
		t.Errorf("got %s", got)
	}
}

// FuzzParsePermissions: nothing panics, and what is read is told in words that are
// read as the same, whoever says them.
func FuzzParsePermissions(f *testing.F) {
	for _, said := range []string{
		nothingSaid, `{}`, `{"canSend":"v,a","canAdmin":["participants"]}`, `{"canReceive":{"base":` + media("true", "false") + `,"byUserId":{"*":false,"\u0041":true}}}`,
		`{"canReceive":{"base":true,"byParticipantId":{"x":{"customVideo":{"*":false,"y":null}}}}}`, `{"canSend":null}`, `{"hasPresence":false,"canReceive":{}}`, `[]`, `{"a":`,
	} {
		f.Add(said)
	}
	f.Fuzz(func(t *testing.T, said string) {
		say, err := daily.ParsePermissions(json.RawMessage(said), "room")
		if err != nil {
			var invalid *daily.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("%q: %v", said, err)
			}
			return
		}
		p := auth.Resolve(say)
		again, err := daily.ParsePermissions(daily.AppendPermissions(nil, p), "room")
		if err != nil {
			t.Fatalf("%q is told as %s: %v", said, told(p), err)
		}
		if !auth.Resolve(again).Equal(p) {
			t.Fatalf("%q is told as %s, which is %s", said, told(p), told(auth.Resolve(again)))
		}
		if all := auth.SendTracks | auth.ReceiveTracks | auth.ModerateParticipants | auth.ModerateStreaming | auth.ModerateTranscription | auth.Hidden; !all.Has(say.Allow) {
			t.Fatalf("%q gives %s", said, say.Allow.Names())
		}
		// A token that is made with them says the same.
		token, err := daily.Mint(acme(), json.RawMessage(`{"permissions":`+said+`}`), issued)
		if err != nil {
			t.Fatalf("%q: %v", said, err)
		}
		h := newHouse(t)
		g, err := h.Verify(token)
		if err != nil {
			t.Fatalf("%q became %s: %v", said, payloadOf(t, token), err)
		}
		rules := auth.RoomRules{Daily: &say}
		plain := h.Anyone("acme", "lab", "")
		if by, in := auth.Resolve(g.Format.Base(g, "lab", auth.RoomRules{})...), auth.Resolve(plain.Format.Base(plain, "lab", rules)...); !by.Equal(in) {
			t.Fatalf("%q: by the token %s, by the room %s", said, told(by), told(in))
		}
	})
}
