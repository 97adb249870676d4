package room_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/room"
)

// A discard is a connection that takes everything.
type discard struct{}

func (discard) TryWrite(frames [][]byte) (n int, err error) {
	for _, f := range frames {
		n += len(f)
	}
	return n, nil
}

func (d discard) WriteSome(frames [][]byte) (int, error) { return d.TryWrite(frames) }
func (discard) Farewell([]byte, room.Cause, string)      {}
func (discard) Hurry()                                   {}
func (discard) Abort()                                   {}

// wireText encodes every event as the same bytes.
type wireText []byte

func (wireText) Dialect() int               { return 0 }
func (t wireText) Encode(room.Event) []byte { return t }

// BenchmarkDelivery is what it costs in this package to hand one message to
// one receiver, without the socket: of a data message and of a video frame, in
// rooms that one writer serves and in those that need the flushers.
func BenchmarkDelivery(b *testing.B) {
	for _, receivers := range []int{10, 1000} {
		for _, kind := range []string{"data", "video"} {
			b.Run(fmt.Sprintf("%s/%d", kind, receivers), func(b *testing.B) {
				rooms, err := room.New(room.Config{AutoCreate: true})
				if err != nil {
					b.Fatal(err)
				}
				defer rooms.Close()
				batch := rooms.Batch()
				join := func(identity string) *room.Participant {
					g := grant(identity)
					p, err := rooms.Join(batch, room.Join{Grant: g, Room: g.Room, Conn: discard{}, Encoder: wireText(strings.Repeat("x", 200)), Replay: true, AutoSubscribe: true})
					if err != nil {
						b.Fatal(err)
					}
					batch.Flush()
					return p
				}
				source := join("source")
				call := room.Call{Generation: 1, Batch: batch}
				for i := range receivers {
					join(fmt.Sprint(i))
				}
				send := func() error {
					return source.PublishData(call, room.Message{Payload: []byte(`"x"`), Reliable: true})
				}
				if kind == "video" {
					call.ID = 1
					if err := source.PublishTrack(call, room.Track{Kind: room.Video, Source: auth.Camera}); err != nil {
						b.Fatal(err)
					}
					call.ID = 0
					r, _ := rooms.Lookup("test", "hall")
					info, err := r.Participant(room.Target{Identity: "source"})
					if err != nil {
						b.Fatal(err)
					}
					frame := room.TrackFrame{Handle: info.Tracks[0].Handle, Key: true, Last: true, Wire: make([]byte, 4000)}
					send = func() error {
						frame.Counter++
						return source.PassFrame(call, frame)
					}
				}
				batch.Flush()
				batch.Wait()
				b.ReportAllocs()
				for b.Loop() {
					if err := send(); err != nil {
						b.Fatal(err)
					}
					batch.Flush()
				}
				batch.Wait()
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(receivers), "ns/delivery")
			})
		}
	}
}

// BenchmarkJoin is what it costs in this package to join a room of a hundred and
// to leave it, without the socket: with LiveKit's tokens, and in a room that Daily's
// API has made, with Daily's. The door and what the room says are asked there.
func BenchmarkJoin(b *testing.B) {
	b.Run("livekit", func(b *testing.B) {
		benchJoin(b, func(rooms *room.Rooms) error { return nil }, func(identity string) *auth.Grant { return grant(identity) })
	})
	b.Run("daily", func(b *testing.B) {
		benchJoin(b, func(rooms *room.Rooms) error {
			_, _, err := rooms.CreateDaily(rooms.Batch(), "test", []string{"hall"}, []room.DailySettings{{Private: true, Knocking: true, MaxParticipants: 200}})
			return err
		}, func(identity string) *auth.Grant { return dailyToken(identity, forRoom("hall")) })
	})
}

func benchJoin(b *testing.B, prepare func(*room.Rooms) error, token func(identity string) *auth.Grant) {
	rooms, err := room.New(room.Config{AutoCreate: true})
	if err != nil {
		b.Fatal(err)
	}
	defer rooms.Close()
	if err := prepare(rooms); err != nil {
		b.Fatal(err)
	}
	batch := rooms.Batch()
	join := func(g *auth.Grant) *room.Participant {
		p, err := rooms.Join(batch, room.Join{Grant: g, Room: "hall", Conn: discard{}, Encoder: wireText("x"), Replay: true, AutoSubscribe: true})
		if err != nil {
			b.Fatal(err)
		}
		batch.Flush()
		return p
	}
	for i := range 100 {
		join(token(fmt.Sprint(i)))
	}
	b.ReportAllocs()
	for b.Loop() {
		p := join(token("newcomer"))
		if err := p.Leave(room.Call{Generation: 1, Batch: batch}); err != nil {
			b.Fatal(err)
		}
		batch.Flush()
		batch.Wait()
	}
}

// BenchmarkJoinTimed is BenchmarkJoin of people who are put out after an hour and get
// other tokens meanwhile, among 10 000 such alarms. What signs costs nothing.
func BenchmarkJoinTimed(b *testing.B) {
	for _, timed := range []bool{false, true} {
		b.Run(fmt.Sprint(timed), func(b *testing.B) {
			cfg := room.Config{AutoCreate: true, RefreshInterval: time.Hour}
			if timed {
				cfg.Refresh = func(*auth.Grant, auth.Current) (string, time.Time, error) { return "", time.Time{}, nil }
			}
			rooms, err := room.New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer rooms.Close()
			batch := rooms.Batch()
			join := func(name, identity string) *room.Participant {
				g := grant(identity)
				if timed {
					g.Stay.After = time.Hour
				}
				p, err := rooms.Join(batch, room.Join{Grant: g, Room: name, Conn: discard{}, Encoder: wireText("x"), Replay: true, AutoSubscribe: true})
				if err != nil {
					b.Fatal(err)
				}
				batch.Flush()
				return p
			}
			for i := range 50 {
				for j := range 100 {
					join(fmt.Sprint("room", i), fmt.Sprint(j))
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				p := join("room0", "newcomer")
				if err := p.Leave(room.Call{Generation: 1, Batch: batch}); err != nil {
					b.Fatal(err)
				}
				batch.Flush()
				batch.Wait()
			}
		})
	}
}

// BenchmarkEdit is what it costs to take a right from everybody in a large room,
// and to give it back, by two edits of its access list, all who are there being
// told anew. One in ten says something, so that it is in the lists.
func BenchmarkEdit(b *testing.B) {
	for _, people := range []int{500, 5000} {
		b.Run(fmt.Sprint(people), func(b *testing.B) {
			rooms, err := room.New(room.Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer rooms.Close()
			batch := rooms.Batch()
			lists := [][]string{reader, writer}
			if _, err := rooms.CreateLiveblocks(batch, "test", "hall", room.LiveblocksRoom{Access: access(writer...)}); err != nil {
				b.Fatal(err)
			}
			for i := range people {
				p, err := rooms.Join(batch, room.Join{Grant: idToken(fmt.Sprint(i)), Room: "hall", Conn: discard{}, Encoder: wireText("x"), Restate: true})
				if err != nil {
					b.Fatal(err)
				}
				if i%10 == 0 {
					if err := p.UpdatePresence(room.Call{Generation: 1, Batch: batch}, room.Presence{"x": []byte("1")}, true); err != nil {
						b.Fatal(err)
					}
				}
				batch.Flush()
			}
			batch.Wait()
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if _, err := rooms.UpdateLiveblocks(batch, "test", "hall", room.LiveblocksChange{Default: &lists[n%2]}); err != nil {
					b.Fatal(err)
				}
				batch.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(people), "ns/person")
		})
	}
}
