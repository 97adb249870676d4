package session_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// Messages that are understood wrongly or not at all are answered, and the
// session goes on.
func TestBadMessages(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	token := s.Token("lobby", "ada", func(c *livekit.Claims) { c.Video.RoomAdmin, c.Video.CanUpdateOwnMetadata = true, ptr(true) })
	c, _ := s.Join(token)
	bystander, _ := s.Join(s.Token("lobby", "bob"))
	bystander.Sync()
	n := len(bystander.Seen())
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	for _, test := range []struct{ text, code, message string }{
		{``, "invalid_request", "JSON"},
		{`hello`, "invalid_request", "JSON"},
		{`{"type":"ping"`, "invalid_request", "JSON"},
		{`{"type":"ping"} {"type":"ping"}`, "invalid_request", "JSON"},
		{"\x00\x01", "invalid_request", "JSON"},
		{`null`, "invalid_request", "type"},
		{`[]`, "invalid_request", "object"},
		{`"ping"`, "invalid_request", "object"},
		{`7`, "invalid_request", "object"},
		{`{}`, "invalid_request", "type"},
		{`{"type":null}`, "invalid_request", "type"},
		{`{"type":7}`, "invalid_request", "type"},
		{`{"type":""}`, "invalid_request", "type"},
		{`{"type":"Ping"}`, "unknown_type", ""},
		{`{"type":"joined"}`, "unknown_type", ""},
		{`{"type":"` + strings.Repeat("x", 1000) + `"}`, "unknown_type", "…"},
		{`{"type":"ping","id":-1}`, "invalid_request", "id"},
		{`{"type":"ping","id":1.5}`, "invalid_request", "id"},
		{`{"type":"ping","id":1e3}`, "invalid_request", "id"},
		{`{"type":"ping","id":"1"}`, "invalid_request", "id"},
		{`{"type":"ping","id":18446744073709551616}`, "invalid_request", "id"},
		{`{"type":"ping","id":true}`, "invalid_request", "id"},
		{`{"type":"publishData","payload":` + deep + `}`, "invalid_request", "JSON"},
		{`{"x":` + deep + `}`, "invalid_request", "JSON"},
		{`{"type":"publishData"}`, "invalid_request", "payload"},
		{`{"type":"publishData","payload":1,"encoding":"gzip"}`, "invalid_request", "encoding"},
		{`{"type":"publishData","payload":1,"encoding":"base64"}`, "invalid_request", "payload"},
		{`{"type":"publishData","payload":1,"topic":7}`, "invalid_request", "topic"},
		{`{"type":"publishData","payload":1,"reliable":"yes"}`, "invalid_request", "reliable"},
		{`{"type":"publishData","payload":1,"destinationIdentities":"bob"}`, "invalid_request", "destinationIdentities"},
		{`{"type":"publishData","payload":1,"destinationSids":[7]}`, "invalid_request", "destinationSids"},
		{`{"type":"publishData","payload":"` + strings.Repeat("x", 70000) + `"}`, "limit_exceeded", "payload"},
		{`{"type":"updatePresence"}`, "invalid_request", "presence"},
		{`{"type":"updatePresence","presence":[]}`, "invalid_request", "presence"},
		{`{"type":"updatePresence","presence":null}`, "invalid_request", "presence"},
		{`{"type":"updateMetadata","name":7}`, "invalid_request", "name"},
		{`{"type":"updateMetadata","attributes":{"a":1}}`, "invalid_request", "attributes"},
		{`{"type":"updateMetadata","attributes":[]}`, "invalid_request", "attributes"},
		{`{"type":"publishTrack"}`, "invalid_request", "kind"},
		{`{"type":"publishTrack","kind":"smell","source":"nose"}`, "invalid_request", "kind"},
		{`{"type":"publishTrack","kind":"video"}`, "invalid_request", "source"},
		{`{"type":"publishTrack","kind":"video","source":"nose"}`, "invalid_request", "source"},
		{`{"type":"publishTrack","kind":"audio","source":"camera"}`, "invalid_request", "camera"},
		{`{"type":"publishTrack","kind":"data","source":"camera"}`, "invalid_request", "source"},
		{`{"type":"unpublishTrack"}`, "invalid_request", "trackSid"},
		{`{"type":"unpublishTrack","trackSid":"TR_x"}`, "not_found", ""},
		{`{"type":"muteTrack","trackSid":"TR_x"}`, "invalid_request", "muted"},
		{`{"type":"muteTrack","trackSid":"TR_x","muted":true}`, "not_found", ""},
		{`{"type":"subscribe"}`, "invalid_request", "trackSid"},
		{`{"type":"subscribe","trackSid":7}`, "invalid_request", "trackSid"},
		{`{"type":"requestKeyFrame","trackSid":"TR_x"}`, "not_found", ""},
		{`{"type":"listParticipants","limit":"all"}`, "invalid_request", "limit"},
		{`{"type":"updateParticipant"}`, "invalid_request", "identity"},
		{`{"type":"updateParticipant","identity":"bob","sid":"PA_x"}`, "invalid_request", "identity"},
		{`{"type":"updateParticipant","identity":"nobody"}`, "not_found", ""},
		{`{"type":"updateParticipant","identity":"bob","permission":{"canPublishSources":["nose"]}}`, "invalid_request", "nose"},
		{`{"type":"updateParticipant","identity":"bob","permission":{"canPublish":"yes"}}`, "invalid_request", "canPublish"},
		{`{"type":"updateParticipant","identity":"bob","permission":[]}`, "invalid_request", "permission"},
		{`{"type":"removeParticipant"}`, "invalid_request", "identity"},
		{`{"type":"removeParticipant","sid":"PA_x"}`, "not_found", ""},
		{`{"type":"ejectParticipant"}`, "invalid_request", "identity"},
		{`{"type":"ejectParticipant","sid":"PA_x"}`, "not_found", ""},
		{`{"type":"ejectParticipant","identity":"nobody","ban":"yes"}`, "invalid_request", "ban"},
		{`{"type":"updatePermissions"}`, "invalid_request", "data"},
		{`{"type":"updatePermissions","data":[]}`, "invalid_request", "data"},
		{`{"type":"updatePermissions","data":{"*":{"canSmell":true}}}`, "invalid_request", ""},
		{`{"type":"admitParticipant"}`, "invalid_request", "sid"},
		{`{"type":"admitParticipant","sid":"PA_x","all":true}`, "invalid_request", "sid"},
		{`{"type":"denyParticipant","sid":"PA_x"}`, "not_found", ""},
		{`{"type":"updateSessionData","data":"x"}`, "invalid_request", "data"},
		{`{"type":"updateSessionData","data":{},"mergeStrategy":"deep"}`, "invalid_request", "mergeStrategy"},
		{`{"type":"updateSessionData","data":{},"keysToDelete":["a"]}`, "invalid_request", "keysToDelete"},
		{`{"type":"join","token":"` + token + `"}`, "invalid_request", "join"},
		{`{"type":"resume","session":"PA_x","secret":"x"}`, "invalid_request", "resume"},
		{`{"type":"ack","received":1000000}`, "invalid_request", "ack"},
		{`{"type":"ack","received":-1}`, "invalid_request", "received"},
	} {
		c.SendText(test.text)
		e := c.Expect("error")
		if e.Str("code") != test.code || !strings.Contains(e.Str("message"), test.message) {
			t.Errorf("%.80s: got %s, want %s, %q", test.text, e.Text, test.code, test.message)
		}
		if e.Get("id") != nil {
			t.Errorf("%.80s: the error has an id: %s", test.text, e.Text)
		}
	}
	// An error carries the request's id where that can be read, and ids only grow.
	for _, test := range []struct {
		text string
		id   uint64
		want string
	}{
		{`{"type":"subscribe","trackSid":7,"id":5}`, 5, "invalid_request"},
		{`{"type":"nonsense","id":6}`, 6, "unknown_type"},
		{`{"type":"publishData","id":6,"payload":1}`, 6, "invalid_request"},
		{`{"type":"publishData","id":2,"payload":1}`, 2, "invalid_request"},
		{`{"id":9007199254740993,"type":"publishTrack"}`, 9007199254740993, "invalid_request"},
		{`{"id":18446744073709551615,"type":"publishTrack"}`, 18446744073709551615, "invalid_request"},
		{`{"id":1,"type":"publishTrack"}`, 1, "invalid_request"},
	} {
		c.SendText(test.text)
		if e := c.Expect("error"); e.Str("code") != test.want || !strings.Contains(e.Text, fmt.Sprintf(`"id":%d,`, test.id)) {
			t.Errorf("%s: got %s, want id %d, %s", test.text, e.Text, test.id, test.want)
		}
	}
	// Binary frames that are none.
	for _, b := range [][]byte{{}, {1}, make([]byte, wire.FrameHeaderBytes-1), append(make([]byte, 4), append([]byte{0xf0}, make([]byte, 20)...)...),
		make([]byte, wire.FrameHeaderBytes+wire.MaxFragmentBytes+1),
		make([]byte, wire.FrameHeaderBytes)} { // a fragment of nothing, and not the last
		if err := c.WS.Write(context.Background(), websocket.MessageBinary, b); err != nil {
			t.Fatal(err)
		}
		if e := c.Expect("error"); e.Str("code") != "invalid_request" || !strings.Contains(e.Str("message"), "binary") {
			t.Errorf("%d binary bytes: got %s", len(b), e.Text)
		}
	}
	// One that is, but of no track, is not answered.
	seen := len(c.Seen())
	if err := c.WS.Write(context.Background(), websocket.MessageBinary, make([]byte, wire.FrameHeaderBytes+wire.MaxFragmentBytes)); err != nil {
		t.Fatal(err)
	}
	c.SendText(`{"type":"ping"}`)
	c.Expect("pong")
	if got := len(c.Seen()); got != seen+1 {
		t.Errorf("%d messages after a stray frame, want the pong alone", got-seen)
	}
	bystander.Sync()
	for _, e := range bystander.Seen()[n:] {
		if e.Type() != "pong" {
			t.Errorf("the bystander was told %s", e.Text)
		}
	}
}

// What ends a connection says why.
func TestInputThatEndsTheConnection(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Session: func(c *session.Config) {
		c.MessageBytes, c.JoinTimeout = 1000, time.Minute // the subtests compete
	}, TokenBytes: 2000})
	text := func(s string) []byte { return sessiontest.MaskedFrame(0x81, []byte(s)) }
	frame := sessiontest.MaskedFrame
	join := func(more string) string {
		return `{"type":"join","token":"` + s.Token("lobby", "ada") + `"` + more + `}`
	}
	status := func(code uint16, reason string) []byte {
		return append(binary.BigEndian.AppendUint16(nil, code), reason...)
	}
	long := strings.Repeat("x", 1000)
	for _, test := range []struct {
		name   string
		joined bool
		send   []byte
		code   wire.CloseCode
	}{
		{"text that is no JSON", false, text("hello"), wire.ProtocolError},
		{"no object", false, text(`["join"]`), wire.ProtocolError},
		{"nothing", false, text(""), wire.ProtocolError},
		{"deep nesting", false, text(`{"type":"join","x":` + strings.Repeat("[", 1000) + `}`), wire.ProtocolError},
		{"wrong type of field", false, text(`{"type":"join","token":7}`), wire.ProtocolError},
		{"another message", false, text(`{"type":"ping","id":1}`), wire.ProtocolError},
		{"unknown message", false, text(`{"type":"hello"}`), wire.ProtocolError},
		{"data before join", false, text(`{"type":"publishData","payload":1}`), wire.ProtocolError},
		{"binary before join", false, frame(0x82, []byte(join(""))), wire.ProtocolError},
		{"text that is not UTF-8", false, text("{\"type\":\"\xff\"}"), wire.InvalidUTF8},
		{"join without a token", false, text(`{"type":"join"}`), wire.InvalidToken},
		{"join with rubbish", false, text(`{"type":"join","token":"rubbish"}`), wire.InvalidToken},
		{"token over its limit", false, text(`{"type":"join","token":"` + strings.Repeat("x", 2001) + `"}`), wire.TokenTooLarge},
		{"first message over its limit", false, text(`{"type":"join","token":"` + strings.Repeat("x", 70<<10) + `"}`), wire.MessageTooBig},
		{"resume of nothing", false, text(`{"type":"resume"}`), wire.SessionNotFound},
		{"resume with a short secret", false, text(`{"type":"resume","session":"PA_x","secret":"eA"}`), wire.SessionNotFound},
		{"an unmasked frame", false, []byte{0x81, 2, '{', '}'}, wire.ProtocolBroken},
		{"close before the join", false, frame(0x88, status(1000, "")), wire.Left},

		{"not UTF-8", true, text("\"\xc3\x28\""), wire.InvalidUTF8},
		{"half a letter", true, text("\"\xc3"), wire.InvalidUTF8},
		{"too large", true, text(long + "x"), wire.MessageTooBig},
		{"too large, binary", true, frame(0x82, []byte(long+"x")), wire.MessageTooBig},
		{"too large in fragments", true, bytes.Join([][]byte{frame(0x01, []byte(long)), frame(0x00, []byte("x")), frame(0x80, []byte("x"))}, nil), wire.MessageTooBig},
		{"a length beyond all bounds", true, append([]byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, strings.Repeat("x", 64<<10)...), wire.MessageTooBig},
		{"a negative length", true, []byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, wire.ProtocolBroken},
		{"reserved bits", true, frame(0xc1, []byte("{}")), wire.ProtocolBroken},
		{"a reserved opcode", true, frame(0x83, []byte("{}")), wire.ProtocolBroken},
		{"a continuation of nothing", true, frame(0x80, []byte("{}")), wire.ProtocolBroken},
		{"a message within a message", true, append(frame(0x01, []byte("{")), frame(0x81, []byte("{}"))...), wire.ProtocolBroken},
		{"a fragmented ping", true, frame(0x09, nil), wire.ProtocolBroken},
		{"a long ping", true, frame(0x89, []byte(strings.Repeat("x", 126))), wire.ProtocolBroken},
		{"an unmasked frame in mid-session", true, []byte{0x81, 2, '{', '}'}, wire.ProtocolBroken},
		{"close", true, frame(0x88, status(1000, "bye")), wire.Left},
		{"close without a code", true, frame(0x88, nil), 1005},
		{"leave", true, text(`{"type":"leave"}`), wire.Left},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := s.For(t)
			var c *sessiontest.Raw
			if test.joined {
				c = s.JoinRaw(s.Token("lobby", test.name))
			} else {
				c = s.DialRaw()
			}
			c.Send(test.send)
			code, reason := c.Closed()
			if test.code == 1005 { // an echo without a code, too
				if code != 1006 && code != wire.Left {
					t.Errorf("got close code %d", code)
				}
				return
			}
			if code != test.code {
				t.Errorf("got close code %d (%s), want %d", code, reason, test.code)
			}
			if test.code != wire.ProtocolBroken && code != wire.Left && reason != test.code.Reason() {
				t.Errorf("got reason %q, want %q", reason, test.code.Reason())
			}
		})
	}
}

// Messages in fragments, with control frames between, are messages like others.
func TestFragments(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	bob, _ := s.Join(s.Token("lobby", "bob"))
	c := s.JoinRaw(s.Token("lobby", "ada"))
	frame := sessiontest.MaskedFrame
	message := `{"type":"publishData","id":1,"payload":"é in pieces"}`
	var b []byte
	for i := range len(message) { // letters of two bytes are cut as well
		first := byte(0x00)
		if i == 0 {
			first = 0x01
		}
		b = append(append(b, frame(first, []byte(message[i:i+1]))...), frame(0x89, []byte{byte(i)})...)
	}
	b = append(append(b, frame(0x00, nil)...), frame(0x80, nil)...)
	for _, one := range b { // byte by byte
		c.Send([]byte{one})
	}
	if got := c.Reply("1"); !strings.HasPrefix(got, `{"type":"ok"`) {
		t.Errorf("got %s", got)
	}
	if e := bob.Expect("data"); e.Str("payload") != "é in pieces" {
		t.Errorf("got %s", e.Text)
	}
}

// What a message does is done although the same packet ends with a control
// frame or with the beginning of another message.
func TestMessageBeforeUnfinishedInput(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	bob, _ := s.Join(s.Token("lobby", "bob"))
	c := s.JoinRaw(s.Token("lobby", "ada"))
	frame := sessiontest.MaskedFrame
	data := frame(0x81, []byte(`{"type":"publishData","payload":1}`))
	for name, after := range map[string][]byte{
		"a pong":                 frame(0x8a, nil),
		"a ping":                 frame(0x89, []byte("x")),
		"two control frames":     append(frame(0x8a, nil), frame(0x89, nil)...),
		"a part of a header":     {0x81},
		"a part of a message":    data[:len(data)-1],
		"the first of fragments": frame(0x01, []byte(`{"type":`)),
		"a pong, a fragment":     append(frame(0x8a, nil), frame(0x01, []byte(`{`))...),
	} {
		c := c
		if name != "a pong" {
			c = s.JoinRaw(s.Token("lobby", name))
		}
		c.Send(append(bytes.Clone(data), after...))
		bob.Expect("data")
	}
}

// Every refusal of a connection comes after the upgrade, with a code and a
// reason that a page can read.
func TestRefusals(t *testing.T) {
	const other, otherSecret = "otherkey", "another-secret-for-tests-of-32-bytes-and-more"
	now := time.Now()
	sign := func(payload string) string {
		token, err := auth.Sign(json.RawMessage(payload), auth.Secret(sessiontest.Secret))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	claims := func(more string) string {
		return sign(fmt.Sprintf(`{"iss":%q,"sub":"ada",%s}`, sessiontest.Key, more))
	}
	exp := fmt.Sprintf(`"exp":%d`, now.Add(time.Hour).Unix())
	const video = `"video":{"roomJoin":true,"room":"lobby"}`
	foreign, err := livekit.Mint(other, auth.Secret(otherSecret), livekit.Claims{Identity: "ada", Video: &livekit.VideoGrant{RoomJoin: true, Room: "lobby"}}, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := livekit.Mint(sessiontest.Key, auth.Secret(otherSecret), livekit.Claims{Identity: "ada", Video: &livekit.VideoGrant{RoomJoin: true, Room: "lobby"}}, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	s := sessiontest.Serve(t, sessiontest.Options{TokenBytes: 20000, Room: func(c *room.Config) { c.DuplicateIdentity = room.Reject; c.AutoCreate = false }})
	create := func(c *livekit.Claims) { c.Video.RoomCreate = true }
	s.Join(s.Token("lobby", "here", create))
	s.Join(s.Token("full", "here", create, func(c *livekit.Claims) { c.RoomConfig = json.RawMessage(`{"maxParticipants":1}`) }))
	for name, test := range map[string]struct {
		token string
		code  wire.CloseCode
	}{
		"fine":                {claims(exp + "," + video), 0},
		"no token":            {"", wire.InvalidToken},
		"two parts":           {"a.b", wire.InvalidToken},
		"unknown key":         {foreign, wire.InvalidToken},
		"wrong signature":     {forged, wire.InvalidToken},
		"no exp":              {claims(video), wire.InvalidToken},
		"exp is text":         {claims(`"exp":"soon",` + video), wire.InvalidToken},
		"video is a list":     {claims(exp + `,"video":[]`), wire.InvalidToken},
		"claims twice":        {claims(exp + `,"video":{},` + video), wire.InvalidToken},
		"our claim, not ours": {claims(exp + `,"usher":7,` + video), wire.InvalidToken},
		"our prefix":          {sign(fmt.Sprintf(`{"iss":%q,"sub":"anon:x",%s,%s}`, sessiontest.Key, exp, video)), wire.InvalidToken},
		"no identity":         {sign(fmt.Sprintf(`{"iss":%q,%s,%s}`, sessiontest.Key, exp, video)), wire.InvalidToken},
		"no room":             {claims(exp + `,"video":{"roomJoin":true}`), wire.InvalidToken},
		"expired":             {claims(fmt.Sprintf(`"exp":%d,`, now.Add(-61*time.Second).Unix()) + video), wire.TokenExpired},
		"expired, in leeway":  {claims(fmt.Sprintf(`"jti":"l","exp":%d,`, now.Add(-5*time.Second).Unix()) + strings.Replace(video, "lobby", "full", 1)), wire.RoomFull},
		"not yet valid":       {claims(exp + fmt.Sprintf(`,"nbf":%d,`, now.Add(10*time.Minute).Unix()) + video), wire.TokenNotYetValid},
		"no grant":            {claims(exp), wire.NotAllowed},
		"no roomJoin":         {claims(exp + `,"video":{"room":"lobby"}`), wire.NotAllowed},
		"admin without join":  {claims(exp + `,"video":{"room":"lobby","roomAdmin":true}`), wire.NotAllowed},
		"unknown room":        {s.Token("nowhere", "ada"), wire.RoomNotFound},
		"full room":           {s.Token("full", "ada"), wire.RoomFull},
		"identity taken":      {s.Token("lobby", "here"), wire.IdentityTaken},
		"too large token":     {s.Token("lobby", "ada", func(c *livekit.Claims) { c.Metadata = strings.Repeat("x", 20000) }), wire.TokenTooLarge},
		"too long identity":   {s.Token("lobby", strings.Repeat("x", 257)), wire.LimitExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.For(t)
			c := s.Dial(nil)
			if got := c.Refused(wire.Message{Type: "join", Token: test.token}); got != test.code {
				t.Fatalf("got close code %d, want %d", got, test.code)
			}
			if test.code == 0 {
				return
			}
			if code, reason := c.Closed(); reason != code.Reason() || reason == "" {
				t.Errorf("got reason %q, want %q", reason, code.Reason())
			}
			if test.token == "" || len(test.token) > 10000 {
				return
			}
			// The other ways of the token end the same.
			h := s.Dial(&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"bearer " + test.token}}})
			p := s.Dial(&websocket.DialOptions{Subprotocols: []string{wire.Subprotocol, wire.BearerPrefix + test.token}})
			for where, c := range map[string]*sessiontest.Client{"header": h, "subprotocol": p} {
				if got := c.Refused(wire.Message{Type: "join"}); got != test.code {
					t.Errorf("by %s: got close code %d, want %d", where, got, test.code)
				}
			}
			if p.WS.Subprotocol() != wire.Subprotocol {
				t.Errorf("the server chose %q", p.WS.Subprotocol())
			}
		})
	}
}

// Refusals for reasons other than a token come at once.
func TestRefusalsOfConnections(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Session: func(c *session.Config) {
		c.Origins = []string{"https://app.example.com", "http://localhost:3000/"}
	}})
	for header, code := range map[string]wire.CloseCode{
		"Origin: https://app.example.com":                    0,
		"Origin: https://APP.example.com":                    0,
		"Origin: http://localhost:3000":                      0,
		"X-Nothing: 1":                                       0,
		"Origin: https://evil.com":                           wire.OriginNotAllowed,
		"Origin: https://app.example.com.evil.com":           wire.OriginNotAllowed,
		"Origin: http://app.example.com":                     wire.OriginNotAllowed,
		"Origin: https://app.example.com:444":                wire.OriginNotAllowed,
		"Origin: null":                                       wire.OriginNotAllowed,
		"Origin: https://" + s.HTTP.Listener.Addr().String(): wire.OriginNotAllowed,
		"Sec-WebSocket-Protocol: other":                      wire.ProtocolError,
		"Sec-WebSocket-Protocol: bearer.x":                   wire.ProtocolError,
		"Sec-WebSocket-Protocol: other, usher.v1":            0,
	} {
		t.Run(header, func(t *testing.T) {
			s := s.For(t)
			c := s.DialRaw(header)
			if code == 0 {
				c.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"join","token":"`+s.Token("lobby", "ada")+`"}`)))
				if _, payload, err := c.Next(); err != nil || !bytes.HasPrefix(payload, []byte(`{"type":"joined"`)) {
					t.Errorf("got %q, %v, want joined", payload, err)
				}
				return
			}
			if got, reason := c.Closed(); got != code || reason != code.Reason() {
				t.Errorf("got close code %d (%s), want %d", got, reason, code)
			}
		})
	}
}

// Connections that have not joined are counted before they are answered.
func TestUnjoinedSockets(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Session: func(c *session.Config) { c.UnjoinedSockets = 2 }})
	one, two := s.DialRaw(), s.DialRaw()
	if got, _ := s.DialRaw().Closed(); got != wire.Busy {
		t.Errorf("the third that has not joined: got close code %d, want %d", got, wire.Busy)
	}
	for i, c := range []*sessiontest.Raw{one, two} {
		c.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"join","token":"`+s.Token("lobby", fmt.Sprint(i))+`"}`)))
		if _, _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
	}
	s.DialRaw().Send(sessiontest.MaskedFrame(0x88, nil))
	s.JoinRaw(s.Token("lobby", "eve"))
}

// A page of the server's own may connect when no origins are set, and nobody
// else's.
func TestOwnOrigin(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	host := s.HTTP.Listener.Addr().String()
	if got, _ := s.DialRaw("Origin: http://evil.com").Closed(); got != wire.OriginNotAllowed {
		t.Errorf("got close code %d, want %d", got, wire.OriginNotAllowed)
	}
	c := s.DialRaw("Origin: http://" + host)
	c.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"join","token":"`+s.Token("lobby", "ada")+`"}`)))
	if _, payload, err := c.Next(); err != nil || !bytes.HasPrefix(payload, []byte(`{"type":"joined"`)) {
		t.Errorf("got %q, %v, want joined", payload, err)
	}
}

// What has been read of connections that have not joined is bounded for all
// together, and given back.
func TestUnjoinedBudget(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Session: func(c *session.Config) { c.UnjoinedBytes = 200 << 10 }})
	half := sessiontest.MaskedFrame(0x81, bytes.Repeat([]byte(" "), 300<<10))
	hold := s.DialRaw()
	hold.Send(half[:60<<10])
	big := s.DialRaw()
	big.Send(half)
	if got, _ := big.Closed(); got != wire.Busy {
		t.Errorf("got close code %d, want %d", got, wire.Busy)
	}
	s.JoinRaw(s.Token("lobby", "ada"))
}
