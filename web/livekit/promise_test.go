package livekit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"usher/session/sessiontest"
	"usher/session/wire"
)

// When UpdateParticipant has answered, nothing that needs the right is accepted
// any more, and no receiver gets any of it after it was told of the change. Bob
// sends data and frames as fast as he can, before, during and after.
func TestRightIsGoneWhenTheCallReturns(t *testing.T) {
	rounds := 20
	if os.Getenv("USHER_SOAK") != "" {
		rounds *= 10
	}
	s := serve(t)
	ada, _ := s.Join(s.Token("lobby", "ada"))
	bob, _ := s.Join(s.Token("lobby", "bob"))
	seen := 0
	for round := range rounds {
		track := bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
		handle := uint32(track.Get("track.handle").(float64))
		f := flood{client: bob, round: round, handle: handle}
		done := f.start()
		ada.ExpectWhere("data of the round", func(e sessiontest.Event) bool { return e.Str("payload.round") == fmt.Sprint(round) })
		ada.ExpectWhere("a frame of the track", func(e sessiontest.Event) bool { return e.Binary != nil })

		s.update(`{"room":"lobby","identity":"bob","permission":{"canSubscribe":true}}`)
		f.late.Store(true)
		select {
		case <-f.enough: // messages were sent after the answer
		case <-done:
		}
		f.stop.Store(true)
		<-done
		bob.Sync()
		ada.Sync()

		var told bool // of the change
		events, now := ada.Since(seen)
		seen = now
		for _, e := range events {
			if e.Type() == "participantUpdated" && e.Str("participant.identity") == "bob" {
				told = e.Get("participant.permissions.canPublishData") == false
			}
			late := e.Get("payload.late") == true || e.Binary != nil && e.Binary[len(e.Binary)-1] == 1
			if late {
				t.Fatalf("round %d: what was sent after the answer arrived: %s%x", round, e.Text, e.Binary)
			}
			if told && (e.Type() == "data" || e.Binary != nil) {
				t.Fatalf("round %d: after ada was told of the change she got: %s%x", round, e.Text, e.Binary)
			}
		}
		if !told {
			t.Fatalf("round %d: ada was not told of the change", round)
		}
		s.update(`{"room":"lobby","identity":"bob","permission":{"canSubscribe":true,"canPublish":true,"canPublishData":true}}`)
	}
}

// A flood is a client that sends data and frames without a pause, and says in
// each whether it was sent after late was set.
type flood struct {
	client     *sessiontest.Client
	round      int
	handle     uint32
	late, stop atomic.Bool
	enough     chan struct{} // closed when some was sent late
}

func (f *flood) start() (done chan struct{}) {
	f.enough, done = make(chan struct{}), make(chan struct{})
	go func() { // ends when stop is set, or with the connection
		defer close(done)
		late := 0
		for counter := uint16(0); !f.stop.Load(); counter++ {
			mark := byte(0)
			if f.late.Load() {
				mark = 1
				if late++; late == 100 {
					close(f.enough)
				}
			}
			data, _ := json.Marshal(wire.Message{Type: "publishData", Payload: json.RawMessage(fmt.Sprintf(`{"round":%d,"late":%t}`, f.round, mark == 1))})
			frame := wire.FrameHeader{Handle: f.handle, Last: true, Counter: counter}.Append(nil)
			frame = append(frame, strings.Repeat("x", 100)...)
			frame = append(frame, mark)
			ws := f.client.WS
			if err := errors.Join(ws.Write(context.Background(), websocket.MessageText, data),
				ws.Write(context.Background(), websocket.MessageBinary, frame)); err != nil {
				f.client.T.Errorf("sending: %v", err)
				return
			}
		}
	}()
	return done
}
