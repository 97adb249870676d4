package yardstick_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"usher/loadtest/yardstick"
	"usher/session/wire"
)

func identities(list []member) []string {
	var names []string
	for _, m := range list {
		names = append(names, m.Identity)
	}
	slices.Sort(names)
	return names
}

// A token is taken from the join, from the header and from the subprotocols;
// whoever is there learns who comes and who goes.
func TestJoin(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		addr, _ := serve(t, kind)
		ada, first := joined(t, addr, "lobby", "ada", how{})
		if first.Self.Identity != "ada" || first.Session != first.Self.SID || len(first.Participants) != 0 || first.Room.NumParticipants != 1 {
			t.Fatalf("got %+v", first)
		}
		bob := dial(t, addr, how{header: http.Header{"Authorization": {"Bearer " + token(t, "lobby", "bob")}}})
		bob.send(`{"type":"join"}`)
		if got := identities(bob.expect("joined").Participants); !slices.Equal(got, []string{"ada"}) {
			t.Fatalf("bob is told of %q", got)
		}
		came := ada.expect("participantJoined")
		if came.Participant.Identity != "bob" || came.Seq != first.Seq+1 {
			t.Fatalf("ada is told %+v", came)
		}
		cleo := dial(t, addr, how{subprotocols: []string{wire.Subprotocol, wire.BearerPrefix + token(t, "lobby", "cleo")}})
		if got := cleo.ws.Subprotocol(); got != wire.Subprotocol {
			t.Fatalf("got subprotocol %q", got)
		}
		cleo.send(`{"type":"join","id":1}`)
		if got := identities(cleo.expect("joined").Participants); !slices.Equal(got, []string{"ada", "bob"}) {
			t.Fatalf("cleo is told of %q", got)
		}
		ada.expect("participantJoined")
		bob.expect("participantJoined")

		bob.send(`{"type":"leave"}`)
		if left := ada.expect("participantLeft"); left.Identity != "bob" || left.SID != came.Participant.SID || left.Reason != "CLIENT_INITIATED" {
			t.Fatalf("ada is told %+v", left)
		}
		bob.expectClose(wire.Left)
		_ = cleo.ws.CloseNow()
		if left := ada.expect("participantLeft"); left.Identity != "cleo" {
			t.Fatalf("ada is told %+v", left)
		}
		if err := ada.ws.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Fatalf("closing is answered with %v", err)
		}
	})
}

func TestNewestConnectionOfAnIdentityStays(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		addr, _ := serve(t, kind)
		ada := join(t, addr, "lobby", "ada")
		first := join(t, addr, "lobby", "bob")
		ada.expect("participantJoined")
		second, answer := joined(t, addr, "lobby", "bob", how{})
		if got := identities(answer.Participants); !slices.Equal(got, []string{"ada"}) {
			t.Fatalf("bob is told of %q", got)
		}
		if left := ada.expect("participantLeft"); left.Reason != "DUPLICATE_IDENTITY" {
			t.Fatalf("ada is told %+v", left)
		}
		ada.expect("participantJoined")
		first.expectClose(wire.DuplicateIdentity)
		second.send(`{"type":"publishData","payload":1}`)
		ada.expect("data")
	})
}

// Above the limit a room lists those who publish, and tells of the others
// before the first thing that comes of them.
func TestBigRoom(t *testing.T) {
	yardstick.LimitRosters(t, 3)
	onEach(t, func(t *testing.T, kind string) {
		addr, _ := serve(t, kind)
		ada := join(t, addr, "hall", "ada")
		bob := join(t, addr, "hall", "bob")
		cleo := join(t, addr, "hall", "cleo")
		cleo.send(`{"type":"publishTrack","id":1,"kind":"data"}`)
		cleo.expect("trackPublished")
		cleo.expect("ok")
		dora, answer := joined(t, addr, "hall", "dora", how{})
		if got := identities(answer.Participants); !slices.Equal(got, []string{"cleo"}) || answer.Room.NumParticipants != 4 {
			t.Fatalf("dora is told of %q, and %d", got, answer.Room.NumParticipants)
		}
		dora.expect("trackSubscribed")

		dora.send(`{"type":"publishData","payload":"a"}`)
		dora.send(`{"type":"publishData","payload":"b"}`)
		for _, typ := range []string{"participantJoined", "participantJoined", "trackPublished", "trackSubscribed", "participantJoined", "data", "data"} {
			ada.expect(typ)
		}
		bob.send(`{"type":"publishData","payload":"c"}`) // missing in dora's list
		if got := dora.expect("participantJoined").Participant.Identity; got != "bob" {
			t.Fatalf("dora is told of %q", got)
		}
		dora.expect("data")
	})
}

// Messages that arrive at once reach fifty others once each and in order.
func TestDataInOrder(t *testing.T) {
	const others, messages = 50, 40
	onEach(t, func(t *testing.T, kind string) {
		addr, _ := serve(t, kind)
		var crowd []*client
		for i := range others {
			crowd = append(crowd, join(t, addr, "lobby", fmt.Sprint("p", i)))
		}
		ada := join(t, addr, "lobby", "ada")
		ada.line.hold()
		for i := range messages {
			ada.send(fmt.Sprintf(`{"type":"publishData","id":%d,"topic":"t\u00e9","payload":{"n":%d,"text":"%s"}}`, i+1, i, strings.Repeat("x", i*50)))
		}
		ada.line.release(t)
		for i := range messages {
			if got := ada.expect("ok").ID; got != uint64(i+1) {
				t.Fatalf("got reply %d, want %d", got, i+1)
			}
		}
		ada.send(`{"type":"publishData","payload":"end"}`)
		for i, c := range crowd {
			for range others - i { // those who came later, and ada
				c.expect("participantJoined")
			}
			for n := range messages {
				m := c.expect("data")
				if want := fmt.Sprintf(`{"n":%d,`, n); !bytes.HasPrefix(m.Payload, []byte(want)) || m.From.Identity != "ada" || m.Topic != "té" {
					t.Fatalf("%d got %+v, want %s", i, m, want)
				}
			}
			if m := c.expect("data"); string(m.Payload) != `"end"` {
				t.Fatalf("%d got %s after the last", i, m.Payload)
			}
		}
	})
}

func TestTrackFramesByteForByte(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		addr, _ := serve(t, kind)
		ada, bob := join(t, addr, "lobby", "ada"), join(t, addr, "lobby", "bob")
		ada.expect("participantJoined")
		bob.send(`{"type":"publishTrack","id":1,"kind":"video","source":"camera","codec":{"codec":"vp8"}}`)
		bob.expect("trackPublished")
		handle := bob.expect("ok").Track.Handle
		if got := ada.expect("trackPublished").Track.Handle; got != handle {
			t.Fatalf("ada is told of handle %d, bob of %d", got, handle)
		}
		ada.expect("trackSubscribed")
		cleo := join(t, addr, "lobby", "cleo")
		ada.expect("participantJoined")
		if got := cleo.expect("trackSubscribed").Track.Handle; got != handle {
			t.Fatalf("cleo is told of handle %d, bob of %d", got, handle)
		}

		var frames [][]byte
		for i, size := range []int{0, 1, 125, 126, 4000, 16 << 10} {
			b := wire.FrameHeader{Handle: handle, Key: i == 0, Last: true, Counter: uint16(i), Timestamp: 7}.Append(nil)
			for n := range size {
				b = append(b, byte(n*7+i))
			}
			frames = append(frames, b)
		}
		bob.line.hold()
		foreign := append([]byte(nil), frames[0]...)
		binary.BigEndian.PutUint32(foreign, handle+1)
		for _, b := range append([][]byte{foreign}, frames...) {
			if err := bob.ws.Write(bob.ctx, websocket.MessageBinary, b); err != nil {
				t.Fatal(err)
			}
		}
		bob.line.release(t)
		for _, c := range []*client{ada, cleo} {
			for i, want := range frames {
				if typ, got := c.read(); typ != websocket.MessageBinary || !bytes.Equal(got, want) {
					t.Fatalf("frame %d: got %v of %d bytes, want %d", i, typ, len(got), len(want))
				}
			}
		}
	})
}

// Somebody who stops reading is cut, and nobody else waits for it.
func TestSlowReader(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		addr, _ := serve(t, kind)
		ada, bob := join(t, addr, "lobby", "ada"), join(t, addr, "lobby", "bob")
		slow, _ := joined(t, addr, "lobby", "slow", how{receive: 64 << 10})
		ada.expect("participantJoined")
		ada.expect("participantJoined")
		bob.expect("participantJoined")
		filler := strings.Repeat("x", 60<<10)
		var longest time.Duration
		for n, gone := 0, false; !gone; n++ {
			if n == 2000 {
				t.Fatal("the slow reader was never cut")
			}
			began := time.Now()
			ada.send(fmt.Sprintf(`{"type":"publishData","payload":"%d %s"}`, n, filler))
			for data := false; !data; {
				if _, b := bob.read(); bytes.HasPrefix(b, []byte(`{"type":"participantLeft"`)) {
					gone = true
				} else if !bytes.Contains(b, fmt.Appendf(nil, `"%d x`, n)) {
					t.Fatalf("bob got %.100s, want message %d", b, n)
				} else {
					data = true
				}
			}
			longest = max(longest, time.Since(began))
		}
		if longest > 4*time.Second { // less than what a write may take
			t.Errorf("bob waited %v for a message", longest)
		}
		for {
			if _, _, err := slow.ws.Read(slow.ctx); err != nil {
				if slow.ctx.Err() != nil {
					t.Error("the slow reader's connection was not ended")
				}
				break
			}
		}
	})
}

// Everything, the handshake included, may come byte by byte.
func TestByteByByte(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		addr, _ := serve(t, kind)
		ada := join(t, addr, "lobby", "ada")
		bob, _ := joined(t, addr, "lobby", "bob", how{bytewise: true})
		ada.expect("participantJoined")
		for i, text := range []string{"short", strings.Repeat("long ", 60)} {
			bob.send(fmt.Sprintf(`{"type":"publishData","id":%d,"payload":%q}`, i+1, text))
			bob.expect("ok")
			if got := string(ada.expect("data").Payload); got != `"`+text+`"` {
				t.Fatalf("got %s", got)
			}
		}
	})
}

// A message of many segments, and one that is too large.
func TestLargeMessages(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		addr, _ := serve(t, kind)
		ada, bob := join(t, addr, "lobby", "ada"), join(t, addr, "lobby", "bob")
		ada.expect("participantJoined")
		text := strings.Repeat("0123456789", 100_000)
		bob.send(`{"type":"publishData","payload":"` + text + `"}`)
		if got := string(ada.expect("data").Payload); got != `"`+text+`"` {
			t.Fatalf("got %d bytes, want %d", len(got), len(text))
		}
		// Cut while it is still being written, perhaps.
		_ = bob.ws.Write(bob.ctx, websocket.MessageText, []byte(`{"type":"publishData","payload":"`+text+text[:100_000]+`"}`))
		if kind == yardstick.Floor { // the other hangs up on what it has not read, and its code may be lost
			bob.expectClose(wire.MessageTooBig)
		}
		ada.expect("participantLeft")
	})
}

func TestPingAndTheRest(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		addr, _ := serve(t, kind)
		ada := join(t, addr, "lobby", "ada")
		ada.send(`{"type":"ping","id":4}`)
		if got := ada.expect("pong").ID; got != 4 {
			t.Fatalf("got id %d", got)
		}
		ada.send(`{"type":"updateMetadata","id":5,"metadata":"m"}`)
		if got := ada.expect("ok").ID; got != 5 {
			t.Fatalf("got id %d", got)
		}
		for _, text := range []string{`{`, `[]`, `{"id":1}`, `{"type":7}`, `{"type":"publishData"}`, `{"type":"publishData","payload":1,"destinationSids":["PA_"]}`,
			`{"type":"publishTrack","kind":"smell"}`, `{"type":"publishTrack","kind":"audio","source":"camera"}`, `{"type":"join"}`} {
			ada.send(text)
			if got := ada.expect("error").Code; got != "invalid_request" {
				t.Fatalf("%s: got code %q", text, got)
			}
		}
		pinged := make(chan error, 1)
		go func() { pinged <- ada.ws.Ping(ada.ctx) }() // ends with its pong, which a reader has to be there for
		reading, done := context.WithCancel(ada.ctx)
		defer done()
		go ada.ws.Read(reading) // ends with the test
		if err := <-pinged; err != nil {
			t.Fatal(err)
		}
	})
}

// The end of the context ends everything; TestMain looks for what is left.
func TestEnd(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		addr, stop := serve(t, kind)
		var crowd []*client
		for i := range 5 {
			crowd = append(crowd, join(t, addr, "lobby", fmt.Sprint("p", i)))
		}
		raw(t, addr, []byte(upgradeRequest))
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }() // ends with the server
		for _, c := range crowd {
			c.expectClose(wire.ServerShutdown)
		}
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		if nc, err := net.Dial("tcp", addr); err == nil {
			_ = nc.Close()
			t.Fatal("the server still accepts connections")
		}
	})
}

func TestUnknownKind(t *testing.T) {
	if err := yardstick.Serve(t.Context(), "ceiling", "127.0.0.1:0", nil); err == nil {
		t.Fatal("there is no ceiling")
	}
	onEach(t, func(t *testing.T, kind string) {
		addr, _ := serve(t, kind)
		if err := yardstick.Serve(t.Context(), kind, addr, nil); err == nil {
			t.Fatal("an address in use was listened to")
		}
	})
}
