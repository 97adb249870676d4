package livekit_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web/livekit"
)

// as calls a method with the grants that it needs, about the lobby.
func (s *site) as(method, body string) answer {
	s.T.Helper()
	return s.call(method, s.Token("lobby", "", grant(tokens.VideoGrant{RoomAdmin: true, RoomCreate: true, RoomList: true, Room: "lobby", DestinationRoom: "hall"})), body)
}

// ok is as for a call that succeeds.
func (s *site) ok(method, body string) answer {
	s.T.Helper()
	a := s.as(method, body)
	if a.status != http.StatusOK {
		s.T.Fatalf("%s %.200s: got %d %s", method, body, a.status, a.body)
	}
	return a
}

func (s *site) rooms(filter string) []any {
	s.T.Helper()
	list, _ := s.ok("ListRooms", filter).get("rooms").([]any)
	return list
}

// What is wrong with a call, by method, each in a lobby with bob in it.
func TestErrorsRowByRow(t *testing.T) {
	s := serve(t, func(c *room.Config) {
		c.Limits = room.DefaultLimits
		c.Limits.MetadataBytes, c.Limits.DataBytes = 1000, 100
		c.MaxParticipants = 2
	})
	bob, _ := s.Join(s.Token("lobby", "bob"))
	s.Join(s.Token("hall", "p1"))
	s.Join(s.Token("hall", "p2"))
	bob.Sync()
	_, seen := bob.Since(0)
	long, large := strings.Repeat("n", 257), strings.Repeat("m", 1001)
	data := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	far := fmt.Sprint(time.Now().Add(25 * time.Hour).Unix())
	for _, c := range []struct {
		method, body, code string
		status             int
		says               string
	}{
		{"CreateRoom", `{}`, "invalid_argument", 400, "name"},
		{"CreateRoom", `{"name":""}`, "invalid_argument", 400, "name"},
		{"CreateRoom", `{"name":"` + long + `"}`, "invalid_argument", 400, "256"},
		{"CreateRoom", `{"name":"new","metadata":"` + large + `"}`, "invalid_argument", 400, "metadata"},
		{"CreateRoom", `{"name":"lobby","metadata":"` + large + `"}`, "invalid_argument", 400, "metadata"},
		{"DeleteRoom", `{"room":"nowhere"}`, "not_found", 404, "requested room does not exist"},
		{"DeleteRoom", `{}`, "not_found", 404, "requested room does not exist"},
		{"UpdateRoomMetadata", `{"room":"lobby","metadata":"` + large + `"}`, "invalid_argument", 400, "metadata"},
		{"GetParticipant", `{"room":"lobby","identity":"nobody"}`, "not_found", 404, "participant does not exist"},
		{"UpdateParticipant", `{"room":"lobby","identity":"nobody"}`, "not_found", 404, "participant does not exist"},
		{"UpdateParticipant", `{"room":"lobby","identity":"bob","name":"` + long + `"}`, "invalid_argument", 400, "name"},
		{"RemoveParticipant", `{"room":"lobby","identity":"nobody"}`, "not_found", 404, "participant does not exist"},
		{"RemoveParticipant", `{"room":"lobby","identity":"bob","revokeTokenTs":"` + far + `"}`, "invalid_argument", 400, "revoke_token_ts"},
		{"RemoveParticipant", `{"room":"lobby","identity":"bob","revoke_token_ts":"-1"}`, "invalid_argument", 400, "revoke_token_ts"},
		{"RemoveParticipant", `{"room":"lobby","identity":"bob","revoke_token_ts":"` + fmt.Sprint(time.Now().UnixMilli()) + `"}`, "invalid_argument", 400, "seconds"},
		{"MutePublishedTrack", `{"room":"lobby","identity":"nobody","trackSid":"TR_x","muted":true}`, "not_found", 404, "participant does not exist"},
		{"MutePublishedTrack", `{"room":"lobby","identity":"bob","trackSid":"TR_x","muted":false}`, "failed_precondition", 412, "unmute"},
		{"UpdateSubscriptions", `{"room":"lobby","identity":"nobody","trackSids":["TR_x"]}`, "not_found", 404, "participant does not exist"},
		{"SendData", `{"room":"lobby","data":"` + data(101) + `"}`, "invalid_argument", 400, "100 bytes"},
		{"SendData", `{"room":"lobby","data":"AAAA","topic":"` + long + `"}`, "invalid_argument", 400, "topic"},
		{"SendData", `{"room":"lobby","data":"AAAA","nonce":"` + data(15) + `"}`, "invalid_argument", 400, "nonce"},
		{"SendData", `{"room":"lobby","data":"AAAA","nonce":"` + data(17) + `"}`, "invalid_argument", 400, "nonce"},
		{"MoveParticipant", `{"room":"lobby","identity":"nobody","destinationRoom":"hall"}`, "not_found", 404, "participant does not exist"},
		{"MoveParticipant", `{"room":"lobby","identity":"bob","destinationRoom":"hall"}`, "resource_exhausted", 429, "the room is full"},
		{"PerformRpc", `{"room":"lobby","method":"m"}`, "invalid_argument", 400, "destination_identity"},
		{"PerformRpc", `{"room":"lobby","destinationIdentity":"nobody","method":"m"}`, "not_found", 404, "participant does not exist"},
		{"PerformRpc", `{"room":"lobby","destinationIdentity":"bob"}`, "invalid_argument", 400, "RpcError 1400"},
		{"PerformRpc", `{"room":"lobby","destinationIdentity":"bob","method":"m","payload":"` + strings.Repeat("p", room.RPCPayloadBytes+1) + `"}`, "invalid_argument", 400, "RpcError 1402"},
	} {
		a := s.as(c.method, c.body)
		if a.status != c.status || a.code() != c.code || !strings.Contains(fmt.Sprint(a.fields), c.says) {
			t.Errorf("%s %.100s: got %d %s, want %d %s with %q", c.method, c.body, a.status, a.body, c.status, c.code, c.says)
		}
	}
	moveTo := func(room, to string) answer {
		return s.call("MoveParticipant", s.Token(room, "", grant(tokens.VideoGrant{RoomAdmin: true, Room: room, DestinationRoom: to})),
			`{"room":"`+room+`","identity":"bob","destinationRoom":"`+to+`"}`)
	}
	if a := moveTo("lobby", "lobby"); a.status != 400 || a.code() != "invalid_argument" {
		t.Errorf("to the same room: got %d %s", a.status, a.body)
	}
	if a := moveTo("lobby", long); a.status != 400 || a.code() != "invalid_argument" {
		t.Errorf("to a room with a long name: got %d %s", a.status, a.body)
	}
	for method, body := range map[string]string{
		"GetParticipant": `{"room":"attic","identity":"bob"}`, "UpdateParticipant": `{"room":"attic","identity":"bob"}`,
		"RemoveParticipant": `{"room":"attic","identity":"bob"}`, "MutePublishedTrack": `{"room":"attic","identity":"bob","trackSid":"TR_x","muted":true}`,
		"UpdateSubscriptions": `{"room":"attic","identity":"bob"}`, "SendData": `{"room":"attic","data":"AAAA"}`, "UpdateRoomMetadata": `{"room":"attic"}`,
		"PerformRpc": `{"room":"attic","destinationIdentity":"bob","method":"m"}`,
	} {
		if a := s.call(method, s.admin("attic"), body); a.status != 404 || a.code() != "not_found" {
			t.Errorf("%s in a room that is none: got %d %s", method, a.status, a.body)
		}
	}
	bob.Sync()
	events, _ := bob.Since(seen)
	if len(events) != 1 {
		t.Errorf("bob was told %d things, want the pong", len(events))
	}
	if a := s.ok("MutePublishedTrack", `{"room":"lobby","identity":"bob","trackSid":"TR_x","muted":true}`); a.body != `{"track":null}` {
		t.Errorf("an unknown track: got %s", a.body)
	}
	s.ok("SendData", `{"room":"lobby","data":"`+data(100)+`"}`) // its bytes count, not their base64
}

func TestCreateAndDelete(t *testing.T) {
	s := serve(t)
	made := s.ok("CreateRoom", `{"name":"lobby","emptyTimeout":60,"departure_timeout":5,"maxParticipants":1,"metadata":"m"}`)
	again := s.ok("CreateRoom", `{"name":"lobby","emptyTimeout":1,"metadata":"another"}`)
	for field, want := range map[string]any{"sid": made.get("sid"), "empty_timeout": 60.0, "departure_timeout": 5.0, "max_participants": 1.0, "metadata": "m",
		"num_participants": 0.0, "creation_time": made.get("creation_time")} {
		if made.get(field) != want || again.get(field) != want {
			t.Errorf("%s: made with %v, again with %v, want %v", field, made.get(field), again.get(field), want)
		}
	}
	if _, isText := made.get("creation_time").(string); !isText {
		t.Errorf("a time is %T, want a string", made.get("creation_time"))
	}
	token := s.Token("lobby", "ada")
	ada, joined := s.Join(token)
	if joined.Str("room.sid") != made.get("sid") || joined.Str("room.metadata") != "m" {
		t.Errorf("ada joined %s", joined.Text)
	}
	if code := s.Dial(nil).Refused(wire.Message{Type: "join", Token: s.Token("lobby", "bob")}); code != wire.RoomFull {
		t.Errorf("the second of one was answered with %d", code)
	}
	s.ok("DeleteRoom", `{"room":"lobby"}`)
	ada.ExpectClose(wire.RoomDeleted)
	if list := s.rooms(`{}`); len(list) != 0 {
		t.Errorf("listed are %v", list)
	}
	if _, joined := s.Join(token); joined.Str("room.sid") == made.get("sid") || joined.Str("room.metadata") != "" {
		t.Errorf("its token is good for %s", joined.Text)
	}
}

func TestRoomMetadata(t *testing.T) {
	s := serve(t)
	ada, _ := s.Join(s.Token("lobby", "ada"))
	eve, _ := s.Join(s.Token("lobby", "eve", grant(tokens.VideoGrant{RoomJoin: true, Room: "lobby", Hidden: true})))
	for _, metadata := range []string{"one", "two", ""} {
		if a := s.ok("UpdateRoomMetadata", `{"room":"lobby","metadata":"`+metadata+`"}`); a.get("metadata") != metadata {
			t.Errorf("got %s", a.body)
		}
		for _, c := range []*sessiontest.Client{ada, eve} {
			if e := c.Expect("roomUpdated"); e.Str("room.metadata") != metadata || e.Str("room.name") != "lobby" {
				t.Errorf("told %s, want %q", e.Text, metadata)
			}
		}
		if list := s.rooms(`{"names":["lobby"]}`); len(list) != 1 || list[0].(map[string]any)["metadata"] != metadata {
			t.Errorf("listed is %v", list)
		}
	}
	s.ok("UpdateRoomMetadata", `{"room":"lobby"}`) // as it is
	ada.Sync()
	if n := count(ada, "roomUpdated"); n != 3 {
		t.Errorf("told %d times, want 3", n)
	}
}

func TestMuteAndSubscriptions(t *testing.T) {
	s := serve(t)
	ada, _ := s.Join(s.Token("lobby", "ada"))
	bob, _ := s.Join(s.Token("lobby", "bob"))
	sid := bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"}).Str("track.sid")
	ada.Expect("trackSubscribed")
	a := s.ok("MutePublishedTrack", `{"room":"lobby","identity":"bob","trackSid":"`+sid+`","muted":true}`)
	if a.get("track.sid") != sid || a.get("track.muted") != true {
		t.Errorf("got %s", a.body)
	}
	for _, c := range []*sessiontest.Client{ada, bob} {
		if e := c.Expect("trackMuted"); e.Str("trackSid") != sid || e.Get("muted") != true {
			t.Errorf("told %s", e.Text)
		}
	}
	s.ok("MutePublishedTrack", `{"room":"lobby","identity":"bob","trackSid":"`+sid+`","muted":true}`)
	if a := s.as("MutePublishedTrack", `{"room":"lobby","identity":"bob","trackSid":"`+sid+`"}`); a.status != 412 {
		t.Errorf("unmuting: got %d %s", a.status, a.body)
	}
	if a := s.ok("MutePublishedTrack", `{"room":"lobby","identity":"ada","trackSid":"`+sid+`","muted":true}`); a.body != `{"track":null}` {
		t.Errorf("another's track: got %s", a.body)
	}
	ada.Sync()
	if n := count(ada, "trackMuted"); n != 1 {
		t.Errorf("muted %d times, want once", n)
	}
	subscribe := func(on bool, track string) answer {
		return s.as("UpdateSubscriptions", fmt.Sprintf(`{"room":"lobby","identity":"ada","trackSids":[%q],"subscribe":%t}`, track, on))
	}
	subscribe(false, sid)
	if e := ada.Expect("trackUnsubscribed"); e.Str("trackSid") != sid {
		t.Errorf("told %s", e.Text)
	}
	subscribe(true, sid)
	ada.Expect("trackSubscribed")
	subscribe(true, sid)
	if a := subscribe(true, "TR_none"); a.status != 200 {
		t.Errorf("a track that is none: got %d %s", a.status, a.body)
	}
	s.ok("UpdateSubscriptions", `{"room":"lobby","identity":"ada","participant_tracks":[{"participant_sid":"x","track_sids":["`+sid+`"]}],"subscribe":false}`)
	ada.Expect("trackUnsubscribed")
	s.update(`{"room":"lobby","identity":"ada","permission":{"canPublish":true}}`)
	if a := subscribe(true, sid); a.status != 412 || a.code() != "failed_precondition" {
		t.Errorf("what it may not receive: got %d %s", a.status, a.body)
	}
}

func TestSendData(t *testing.T) {
	s := serve(t)
	type person struct {
		*sessiontest.Client
		sid string
	}
	enter := func(identity string, hidden bool) person {
		c, joined := s.Join(s.Token("lobby", identity, grant(tokens.VideoGrant{RoomJoin: true, Room: "lobby", Hidden: hidden})))
		return person{c, joined.Str("session")}
	}
	ada, bob, eve := enter("ada", false), enter("bob", false), enter("eve", true)
	nonce := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))
	sixteen := `,"nonce":"` + nonce + `"`
	for i, c := range []struct {
		more    string
		to      string
		dropped bool
	}{
		{``, "ada bob eve", false},
		{`,"kind":"LOSSY"`, "ada bob eve", false},
		{`,"destinationIdentities":["bob","nobody"]`, "bob", false},
		{`,"destination_identities":["eve"]`, "eve", false},
		{`,"destinationSids":["` + ada.sid + `"]`, "ada", false},
		{`,"destinationSids":["` + ada.sid + `"],"destinationIdentities":["ada","bob"]`, "ada bob", false},
		{sixteen, "ada bob eve", false},
		{sixteen, "", true},
		{`,"topic":"chat"`, "ada bob eve", false},
	} {
		data := base64.StdEncoding.EncodeToString([]byte(fmt.Sprint("message ", i)))
		s.ok("SendData", `{"room":"lobby","data":"`+data+`"`+c.more+`}`)
		for name, p := range map[string]person{"ada": ada, "bob": bob, "eve": eve} {
			p.Sync()
			n := 0
			for _, e := range p.Seen() {
				if e.Type() != "data" || e.Get("payload") != data {
					continue
				}
				n++
				if e.Str("encoding") != "base64" || e.Get("from") != nil || e.Get("reliable") != !strings.Contains(c.more, "LOSSY") ||
					e.Str("topic") == "chat" != strings.Contains(c.more, "chat") {
					t.Errorf("%d: %s was told %s", i, name, e.Text)
				}
			}
			want := 0
			if slices.Contains(strings.Fields(c.to), name) {
				want = 1
			}
			if n != want {
				t.Errorf("%d: %s was told %d times, want %d", i, name, n, want)
			}
		}
	}
}

// revoke_token_ts is a second: what was issued before it is refused, and what
// was issued in it is taken.
func TestRevokeTokenTS(t *testing.T) {
	s := serve(t)
	ts := time.Now().Add(-10 * time.Second)
	token := func(at time.Time) string {
		token, err := tokens.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret), tokens.Claims{Identity: "bob",
			Video: &tokens.VideoGrant{RoomJoin: true, Room: "lobby"}}, time.Hour, at)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	shown := token(time.Now())
	bob, _ := s.Join(shown)
	s.Join(s.Token("lobby", "ada"))
	s.ok("RemoveParticipant", `{"room":"lobby","identity":"bob","revokeTokenTs":"`+fmt.Sprint(ts.Unix())+`"}`)
	bob.ExpectClose(wire.Removed)
	for what, c := range map[string]struct {
		token string
		want  wire.CloseCode
	}{
		"of before":   {token(ts.Add(-time.Second)), wire.TokenRevoked},
		"of then":     {token(ts), 0},
		"of later":    {token(ts.Add(5 * time.Second)), 0},
		"what it had": {shown, wire.TokenRevoked},
	} {
		if code := s.Dial(nil).Refused(wire.Message{Type: "join", Token: c.token}); code != c.want {
			t.Errorf("%s: answered with %d, want %d", what, code, c.want)
		}
	}
}

func TestRemoveWhoHasLeft(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "ada"))
	token := s.Token("lobby", "bob")
	bob, _ := s.Join(token)
	bob.Send(wire.Message{Type: "leave"})
	bob.ExpectClose(wire.Left)
	s.ok("RemoveParticipant", `{"room":"lobby","identity":"bob"}`)
	if code := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token}); code != wire.TokenRevoked {
		t.Errorf("bob is back: %d", code)
	}
}

// A slow request: its headers and the first half of its body, and the rest later.
type slowRequest struct {
	s    *site
	conn net.Conn
	rest string
}

func (s *site) begin(method, token, body string) *slowRequest {
	s.T.Helper()
	c, err := (&net.Dialer{}).DialContext(s.T.Context(), "tcp", s.HTTP.Listener.Addr().String())
	if err != nil {
		s.T.Fatal(err)
	}
	s.T.Cleanup(func() { _ = c.Close() })
	half := len(body) / 2
	if _, err := fmt.Fprintf(c, "POST /twirp/livekit.RoomService/%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		method, token, len(body), body[:half]); err != nil {
		s.T.Fatal(err)
	}
	return &slowRequest{s, c, body[half:]}
}

func (r *slowRequest) finish() *http.Response {
	r.s.T.Helper()
	_, _ = io.WriteString(r.conn, r.rest)
	return r.answer()
}

func (r *slowRequest) answer() *http.Response {
	r.s.T.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(r.conn), nil)
	if err != nil {
		r.s.T.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}

// reads waits until the bytes of bodies that are held are as wanted.
func (s *site) reads(wanted func(int64) bool) {
	s.T.Helper()
	for deadline := time.Now().Add(20 * time.Second); !wanted(livekit.Reading(s.twirp)); {
		if time.Now().After(deadline) {
			s.T.Fatalf("%d bytes of bodies are held", livekit.Reading(s.twirp))
		}
		time.Sleep(time.Millisecond)
	}
}

// A caller whose token is revoked while its request is on its way does nothing
// any more.
func TestRevokedWhileItsBodyIsRead(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	token := s.Token("lobby", "moderator", grant(tokens.VideoGrant{RoomAdmin: true, RoomCreate: true, RoomList: true, Room: "lobby", DestinationRoom: "hall"}))
	requests := map[string]*slowRequest{}
	for _, rpc := range rpcs {
		requests[rpc.method] = s.begin(rpc.method, token, rpc.right)
	}
	// They have been let in, and wait for the rest of their bodies.
	s.reads(func(bytes int64) bool { return bytes >= int64(len(rpcs))*4<<10 })
	b := s.Rooms.Batch()
	if _, err := s.Rooms.Revoke(b, room.Revocation{Project: "test", Identity: "moderator", Until: time.Now()}); err != nil {
		t.Fatal(err)
	}
	for method, r := range requests {
		if res := r.finish(); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: got %s", method, res.Status)
		}
	}
	bob.Sync()
	for _, e := range bob.Seen() {
		if !slices.Contains([]string{"joined", "refreshToken", "pong"}, e.Type()) {
			t.Errorf("bob was told %s", e.Text)
		}
	}
}

// Bodies that are never finished hold no more memory than all may together.
func TestUnfinishedBodiesAreBounded(t *testing.T) {
	livekit.LimitReading(t, 1<<20)
	s := serve(t)
	s.Join(s.Token("lobby", "bob"))
	body := `{"room":"lobby","identity":"bob","metadata":"` + strings.Repeat("m", 400<<10) + `"}`
	var wg sync.WaitGroup
	var mu sync.Mutex
	busy, waiting := 0, []*slowRequest{}
	for range 20 {
		wg.Go(func() {
			r := s.begin("UpdateParticipant", s.admin("lobby"), body)
			_ = r.conn.SetReadDeadline(time.Now().Add(time.Second))
			res, err := http.ReadResponse(bufio.NewReader(r.conn), nil)
			mu.Lock()
			defer mu.Unlock()
			if err != nil { // it waits for the rest
				waiting = append(waiting, r)
				return
			}
			_ = res.Body.Close()
			if busy++; res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
				t.Errorf("got %s, %v", res.Status, res.Header)
			}
		})
	}
	wg.Wait()
	if len(waiting) == 0 || busy == 0 || len(waiting) > 4 {
		t.Errorf("%d wait and %d were sent away", len(waiting), busy)
	}
	// Small requests go on, and those that were begun end as they should.
	if a := s.as("ListParticipants", `{"room":"lobby"}`); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if len(waiting) > 0 {
		if res := waiting[0].finish(); res.StatusCode != http.StatusOK && res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("the one that waited: got %s", res.Status)
		}
	}
	for _, r := range waiting {
		_ = r.conn.Close()
	}
	s.reads(func(bytes int64) bool { return bytes == 0 }) // all is given back
	s.ok("UpdateParticipant", body)
}

// Calls of a client and their replies.
func TestPerformRpc(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	ada, _ := s.Join(s.Token("lobby", "ada"))
	perform := func(more string) chan answer {
		done := make(chan answer, 1)
		token := s.admin("lobby")
		go func() {
			done <- s.call("PerformRpc", token, `{"room":"lobby","destinationIdentity":"bob","method":"greet","payload":"hello"`+more+`}`)
		}()
		return done
	}
	done := perform("")
	e := bob.Expect("rpc")
	if e.Str("method") != "greet" || e.Str("payload") != "hello" || e.Get("deadline") == nil {
		t.Errorf("bob was called %s", e.Text)
	}
	if r := ada.Ask(wire.Message{Type: "rpcReply", RPC: e.Str("rpc"), Payload: json.RawMessage(`"not bob"`)}); r.Str("code") != "not_found" {
		t.Errorf("ada replies: got %s", r.Text)
	}
	bob.OK(wire.Message{Type: "rpcReply", RPC: e.Str("rpc"), Payload: json.RawMessage(`"hello yourself"`)})
	if a := <-done; a.status != 200 || a.get("payload") != "hello yourself" {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if r := bob.Ask(wire.Message{Type: "rpcReply", RPC: e.Str("rpc"), Payload: json.RawMessage(`"again"`)}); r.Str("code") != "not_found" {
		t.Errorf("a second reply: got %s", r.Text)
	}

	done = perform("")
	e = bob.Expect("rpc")
	bob.OK(wire.Message{Type: "rpcReply", RPC: e.Str("rpc"), Error: &wire.RPCError{Code: 101, Message: "not now", Data: "later"}})
	if a := <-done; a.status != 412 || a.get("meta.rpc_code") != "101" || a.get("meta.rpc_data") != "later" || !strings.Contains(a.body, "RpcError 101: not now") {
		t.Errorf("an error of the application: got %d %s", a.status, a.body)
	}

	if a := <-perform(`,"responseTimeoutMs":50`); a.status != 408 || a.code() != "canceled" || a.get("msg") != "RpcError 1502: Response timeout" {
		t.Errorf("no reply: got %d %s", a.status, a.body)
	}
	bob.Expect("rpc")

	done = perform("")
	e = bob.Expect("rpc")
	if r := bob.Ask(wire.Message{Type: "rpcReply", RPC: e.Str("rpc"), Payload: json.RawMessage(`"` + strings.Repeat("x", room.RPCPayloadBytes+1) + `"`)}); r.Str("code") != "limit_exceeded" {
		t.Errorf("a large reply: got %s", r.Text)
	}
	if a := <-done; a.status != 412 || a.get("meta.rpc_code") != "1504" {
		t.Errorf("a large reply: got %d %s", a.status, a.body)
	}

	done = perform("")
	bob.Expect("rpc")
	bob.Send(wire.Message{Type: "leave"})
	if a := <-done; a.status != 409 || a.get("meta.rpc_code") != "1503" {
		t.Errorf("it left: got %d %s", a.status, a.body)
	}
}

// A thousand changes of one room at once: all are made, and none is refused.
func TestThousandUpdates(t *testing.T) {
	s := serve(t)
	ada, _ := s.Join(s.Token("lobby", "ada"))
	for i := range 10 {
		s.Join(s.Token("lobby", fmt.Sprint("p", i)))
	}
	token := s.admin("lobby")
	var wg sync.WaitGroup
	for worker := range 20 {
		wg.Go(func() {
			for i := range 50 {
				who := fmt.Sprint("p", (worker+i)%10)
				a := s.call("UpdateParticipant", token, fmt.Sprintf(`{"room":"lobby","identity":%q,"attributes":{"%d":"%d"},"permission":{"canSubscribe":true,"canPublishData":%t}}`, who, worker, i, i%2 == 0))
				if a.status != 200 {
					t.Errorf("got %d %s", a.status, a.body)
				}
			}
		})
	}
	wg.Wait()
	ada.Sync()
	if problems := sessiontest.Replay(ada.Seen()).Problems; len(problems) > 0 {
		t.Errorf("what ada was told: %v", problems)
	}
}

// What a session has got from the server is good for its own room: it does not
// move people, whatever its original granted.
func TestRefreshedTokensMoveNobody(t *testing.T) {
	s := serve(t)
	boss, _ := s.Join(s.Token("lobby", "boss", grant(tokens.VideoGrant{RoomJoin: true, Room: "lobby", RoomAdmin: true, DestinationRoom: "stage"})))
	refreshed := boss.Expect("refreshToken").Str("token")
	s.Join(s.Token("lobby", "bob"))
	const body = `{"room":"lobby","identity":"bob","destination_room":"stage"}`
	if a := s.call("MoveParticipant", refreshed, body); a.status != 401 {
		t.Errorf("got %d %s", a.status, a.body)
	}
	original := s.Token("", "", grant(tokens.VideoGrant{Room: "lobby", RoomAdmin: true, DestinationRoom: "stage"}))
	if a := s.call("MoveParticipant", original, body); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

// A revoke_token_ts that no clock shows is refused, and revokes nothing.
func TestRevokeTokenTimeBeyondTheClock(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	for _, ts := range []string{"9223372036854775807", "1795345332000", "-9223372036854775808", "-1"} {
		if a := s.call("RemoveParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bob","revoke_token_ts":"`+ts+`"}`); a.status != 400 {
			t.Errorf("%s: got %d %s", ts, a.status, a.body)
		}
	}
	bob.Sync()
}
