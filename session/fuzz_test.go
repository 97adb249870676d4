package session_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// What the decoder makes of a message is the same when it is encoded and
// decoded again, and a session answers whatever the decoder lets through.
func FuzzDecode(f *testing.F) {
	for _, seed := range seedMessages {
		f.Add([]byte(seed))
	}
	s := fuzzServer(f)
	witness := s.JoinRaw(s.Token("lobby", "witness"))
	go func() { _, _ = io.Copy(io.Discard, witness.Conn) }() // ends with the connection
	f.Fuzz(func(t *testing.T, text []byte) {
		var m wire.Message
		err := wire.Decode(text, &m)
		if err == nil {
			again, merr := json.Marshal(m)
			if merr != nil {
				t.Fatalf("what was decoded cannot be encoded: %v", merr)
			}
			var n wire.Message
			if err := wire.Decode(again, &n); err != nil || n.Type != m.Type || n.ID != m.ID {
				t.Fatalf("%q became %q: %v", text, again, err)
			}
		} else if len(err.Error()) > 200 {
			t.Fatalf("a long error: %v", err)
		}
		converse(t, s, inside, sessiontest.MaskedFrame(0x81, text))
	})
}

// A client may send any bytes at any time: the server neither fails nor stops
// serving others, and what it started for the connection ends with it.
func FuzzSession(f *testing.F) {
	frame := sessiontest.MaskedFrame
	for _, seed := range seedMessages {
		f.Add(uint8(fresh), frame(0x81, []byte(seed)))
		f.Add(uint8(inside), append(frame(0x01, []byte(seed)), frame(0x80, nil)...))
	}
	f.Add(uint8(inside), frame(0x82, wire.FrameHeader{Handle: 7, Key: true, Last: true}.Append(nil)))
	f.Add(uint8(inside), append(frame(0x89, []byte("x")), frame(0x88, []byte{0x03, 0xe8})...))
	f.Add(uint8(inside), []byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add(uint8(inside), []byte{0xc1, 0x80, 0, 0, 0, 0})
	f.Add(uint8(fresh), []byte{0x81, 0x02, '{', '}'})
	f.Add(uint8(fresh), []byte{})
	s := fuzzServer(f)
	witness := s.JoinRaw(s.Token("lobby", "witness"))
	go func() { _, _ = io.Copy(io.Discard, witness.Conn) }() // ends with the connection
	s.DailyRoom("call", knocking)
	f.Add(uint8(outside), frame(0x81, []byte(`{"type":"updateMetadata","id":1,"name":"n"}`)))
	f.Add(uint8(outside), frame(0x82, wire.FrameHeader{Handle: 7, Key: true, Last: true}.Append(nil)))
	f.Add(uint8(outside), frame(0x81, []byte(`{"type":"leave"}`)))
	f.Fuzz(func(t *testing.T, where uint8, stream []byte) {
		converse(t, s, where%3, stream)
	})
}

// Where a connection is: it has said nothing, it has joined, it waits to be let in.
const (
	fresh = iota
	inside
	outside
)

var seedMessages = []string{
	`{"type":"ping","id":1}`,
	`{"type":"join","token":"eyJ.eyJ.x","autoSubscribe":false}`,
	`{"type":"resume","session":"PA_x","secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","received":1}`,
	`{"type":"publishData","id":1,"payload":{"a":[1,null]},"topic":"t","reliable":false,"destinationIdentities":["witness"],"destinationSids":[]}`,
	`{"type":"publishData","payload":"AAAA","encoding":"base64"}`,
	`{"type":"updatePresence","presence":{"x":1,"y":null},"full":true}`,
	`{"type":"updateMetadata","id":2,"name":"n","metadata":"m","attributes":{"a":"b","c":""}}`,
	`{"type":"publishTrack","id":3,"kind":"video","source":"camera","name":"n","codec":{"codec":"vp8"},"muted":true}`,
	`{"type":"unpublishTrack","trackSid":"TR_x"}`, `{"type":"muteTrack","trackSid":"TR_x","muted":false}`,
	`{"type":"subscribe","trackSid":"TR_x"}`, `{"type":"requestKeyFrame","trackSid":"TR_x"}`,
	`{"type":"listParticipants","after":"","limit":1}`,
	`{"type":"updateParticipant","identity":"witness","permission":{"canPublish":true,"canPublishSources":["camera"]}}`,
	`{"type":"removeParticipant","identity":"nobody"}`,
	`{"type":"join","room":"call","project":"test","name":"n"}`,
	`{"type":"updatePermissions","id":4,"data":{"*":{"hasPresence":true,"canSend":["audio"],"canReceive":{"base":false,"byUserId":{"*":{"video":true}}},"canAdmin":false}}}`,
	`{"type":"ejectParticipant","sid":"PA_x","ban":true}`, `{"type":"admitParticipant","all":true}`, `{"type":"denyParticipant","sid":"PA_x"}`,
	`{"type":"updateSessionData","data":{"a":null},"mergeStrategy":"shallow-merge","keysToDelete":["b"]}`,
	`{"type":"publishData"}`, `{"type":"updatePresence"}`, `{"type":"publishTrack"}`, `{"type":"updateParticipant"}`, `{"type":"muteTrack"}`,
	`{"type":"ack","received":1}`, `{"type":"leave"}`, `{"type":7}`, `[`, ``, "\xff", `{"type":"ping","id":1e99}`,
}

// A fuzzed server is one in memory, with what it logged of defects: sessions
// survive their own.
type fuzzed struct {
	*sessiontest.Server
	defects *journal
}

func fuzzServer(f *testing.F) *fuzzed {
	defects := new(journal)
	return &fuzzed{sessiontest.Serve(f, sessiontest.Options{
		Listener: sessiontest.NewPipe(),
		Room:     func(c *room.Config) { c.Grace = time.Millisecond },
		Session: func(c *session.Config) {
			c.MessageBytes = 64 << 10
			c.Log = slog.New(slog.NewTextHandler(defects, &slog.HandlerOptions{Level: slog.LevelError}))
		},
	}), defects}
}

// converse sends the bytes, hangs up, and lets somebody else in.
func converse(t *testing.T, f *fuzzed, where uint8, stream []byte) {
	s := f.For(t)
	var c *sessiontest.Raw
	switch where {
	case inside:
		c = s.JoinRaw(s.Token("lobby", "fuzz", func(c *livekit.Claims) { c.Video.CanUpdateOwnMetadata = ptr(true) }))
	case outside:
		c = s.KnockRaw("call", "fuzz")
	default:
		c = s.DialRaw()
	}
	done := make(chan []byte)
	go func() { // ends with the connection
		b, _ := io.ReadAll(c.Conn)
		done <- b
	}()
	c.Send(stream)
	c.Send(sessiontest.MaskedFrame(0x88, []byte{0x03, 0xe8}))
	_ = c.Conn.Close()
	if b := <-done; bytes.Contains(b, []byte(`"code":"internal"`)) {
		t.Fatalf("an internal error: %q", b)
	}
	second := s.JoinRaw(s.Token("lobby", "second"))
	second.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"ping","id":1}`)))
	if got := second.Reply("1"); !strings.HasPrefix(got, `{"type":"pong"`) {
		t.Fatalf("the server answers a ping with %s", got)
	}
	_ = second.Conn.Close()
	if text := f.defects.String(); text != "" {
		t.Fatalf("the server logged %s", text)
	}
}
