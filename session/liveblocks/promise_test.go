package liveblocks_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"usher/auth"
	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
)

// rounds is n, ten times as much for soak, a tenth with -short.
func rounds(n int) int {
	switch {
	case os.Getenv("USHER_SOAK") != "":
		return 10 * n
	case testing.Short():
		return max(n/10, 1)
	}
	return n
}

// While people talk, those who may are changed by edits of the access list. From
// the moment that an edit has returned, nobody in a room of hundreds (soak:
// thousands) gets anything of somebody who lost the right to talk, or access.
func TestNothingComesThroughAfterAnEdit(t *testing.T) {
	const speakers, messages = 10, 5
	members, edits := rounds(500), max(rounds(60)/10, 3)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	s := sessiontest.Serve(t, sessiontest.Options{QuietReaders: true, Session: func(c *session.Config) {
		c.PingInterval = 10 * time.Minute // the audience only listens, and answers no ping
	}})
	create(s, "hall", auth.AccessList{Default: []string{}, Groups: map[string][]string{"audience": mayRead, "speakers": mayWrite, "guests": mayWrite}})
	b := s.Rooms.Batch()
	marker := func(text string) {
		t.Helper()
		r, _ := s.Rooms.Lookup("test", "hall")
		if err := r.Send(b, room.Message{Payload: []byte(text), Reliable: true}, ""); err != nil {
			t.Fatal(err)
		}
		b.Flush()
	}

	var heard, late atomic.Int64
	// cut gets what the first member hears of the talks that edits fall into. It
	// takes all of it.
	cut := make(chan string, edits*speakers*messages)
	var audience sync.WaitGroup
	for n := range members {
		c := s.RawLiveblocks("hall", s.IDToken(fmt.Sprint("m", n), "audience"))
		_ = c.Conn.SetDeadline(time.Now().Add(10 * time.Minute))
		audience.Go(func() { // ends with the last marker
			if n == 0 {
				defer close(cut)
			}
			markers, mute, out := 0, false, false
			for {
				_, payload, err := c.Next()
				if err != nil {
					t.Errorf("member %d: %v", n, err)
					return
				}
				for {
					_, rest, is := bytes.Cut(payload, []byte(`"event":"`))
					if !is {
						break
					}
					payload = rest
					switch {
					case bytes.HasPrefix(rest, []byte("mute")):
						markers, mute = markers+1, true
					case bytes.HasPrefix(rest, []byte("talk")):
						markers, mute = markers+1, false
					case bytes.HasPrefix(rest, []byte("out")):
						markers, out = markers+1, true
					case bytes.HasPrefix(rest, []byte("end")):
						if markers != 2*edits+1 {
							t.Errorf("member %d got %d markers, want %d", n, markers, 2*edits+1)
						}
						return
					case bytes.HasPrefix(rest, []byte("speaker")):
						heard.Add(1)
						if who, _, _ := bytes.Cut(rest, []byte(`"`)); n == 0 && len(who) > len("speaker") {
							cut <- string(who)
						}
						if mute {
							late.Add(1)
						}
					case bytes.HasPrefix(rest, []byte("guest")):
						heard.Add(1)
						if out {
							late.Add(1)
						}
					}
				}
			}
		})
	}
	join := func(who, group string) (people []*sessiontest.Raw) {
		for n := range speakers {
			c := s.RawLiveblocks("hall", s.IDToken(fmt.Sprint(who, n), group))
			_ = c.Conn.SetDeadline(time.Now().Add(10 * time.Minute))
			people = append(people, c)
		}
		return people
	}
	talkers, guests := join("speaker", "speakers"), join("guest", "guests")
	// talk has everybody of a kind say something, and waits until the server has
	// handled it, or has put them out.
	talk := func(who string, people []*sessiontest.Raw) *sync.WaitGroup {
		var wg sync.WaitGroup
		for _, c := range people {
			wg.Go(func() {
				for range messages {
					c.Send(sessiontest.MaskedFrame(0x81, []byte(`[{"type":103,"event":"`+who+`"}]`)))
				}
				c.Send(sessiontest.MaskedFrame(0x81, []byte("ping")))
				for {
					if first, payload, err := c.Next(); err != nil || first == 0x88 || string(payload) == "pong" {
						return
					}
				}
			})
		}
		return &wg
	}
	for n := range edits {
		who := fmt.Sprint("speaker in talk ", n)
		wg := talk(who, talkers)
		for left := rng.IntN(speakers * messages); left > 0; { // somewhere in it
			got, ok := <-cut
			if !ok {
				t.Fatal("the first member is gone")
			}
			if got == who {
				left--
			}
		}
		edit(s, "hall", room.LiveblocksChange{Groups: map[string]*[]string{"speakers": &mayRead}})
		marker(`"mute"`)
		wg.Wait()
		talk("speaker", talkers).Wait() // to nobody
		marker(`"talk"`)
		edit(s, "hall", room.LiveblocksChange{Groups: map[string]*[]string{"speakers": &mayWrite}})
		talk("speaker", talkers).Wait()
	}
	wg := talk("guest", guests)
	edit(s, "hall", room.LiveblocksChange{Groups: map[string]*[]string{"guests": nil}})
	marker(`"out"`)
	wg.Wait()
	for n, c := range guests {
		if code, reason := c.Closed(); code != 4001 && code != 1006 { // talk may have read it
			t.Errorf("guest %d got %d %q", n, code, reason)
		}
		s.DialLiveblocks("hall", s.IDToken(fmt.Sprint("guest", n), "guests")).ExpectClose(4001)
	}
	talk("speaker", talkers).Wait()
	marker(`"end"`)
	audience.Wait()
	if n := late.Load(); n > 0 {
		t.Errorf("%d of %d events came through", n, heard.Load())
	}
	if want := int64(members * speakers * messages * (edits + 1)); heard.Load() < want {
		t.Errorf("%d events were heard, want %d at least", heard.Load(), want)
	}
}
