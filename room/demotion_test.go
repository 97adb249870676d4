package room_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// The two kinds of things that a publisher sends without end.
const (
	dataMessages = iota
	trackFrames
)

// A publisher sends data and track frames as fast as the server takes them.
// Each message has a number, given before it is sent.
type publisher struct {
	index    int
	identity string
	ws       *websocket.Conn
	sent     [2]atomic.Uint64
	handle   atomic.Uint32 // of its track, 0 for none
	orders   chan order
	replies  chan reply // to requests with an id from orderIDs on
	credit   chan struct{}
	id       uint64
}

// order ends the flood for a moment: messages more, then a request whose reply
// shows that everything before has been handled.
type order struct {
	publish bool           // the request publishes a track
	done    chan [2]uint64 // how much had been sent before the request
}

type reply struct {
	id     uint64
	handle uint32
}

// replies is how those begin that a publisher waits for.
var replies = []string{`{"type":"pong"`, `{"type":"ok"`, `{"type":"error","id":`}

const (
	floodID  = 1 << 40 // ids of the pings that bound what is on its way
	inFlight = 2       // of those pings
)

func (p *publisher) write(typ websocket.MessageType, b []byte) {
	_ = p.ws.Write(context.Background(), typ, b) // an end shows in the reader
}

// burst sends data messages and track frames.
func (p *publisher) burst(n int) {
	for i := range n {
		k := p.sent[dataMessages].Add(1)
		p.write(websocket.MessageText, fmt.Appendf(nil, `{"type":"publishData","reliable":%t,"payload":[%d,%d]}`, i%4 == 0, p.index, k))
		if h := p.handle.Load(); h != 0 {
			k := p.sent[trackFrames].Add(1)
			b := wire.FrameHeader{Handle: h, Key: true, Last: true}.Append(nil)
			p.write(websocket.MessageBinary, binary.BigEndian.AppendUint64(append(b, byte(p.index)), k))
		}
	}
}

// run floods until the orders end.
func (p *publisher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-p.orders:
			p.burst(4)
			sent := [2]uint64{p.sent[0].Load(), p.sent[1].Load()}
			p.id++
			if o.publish {
				p.write(websocket.MessageText, fmt.Appendf(nil, `{"type":"publishTrack","id":%d,"kind":"video","source":"camera"}`, floodID+p.id))
			} else {
				p.write(websocket.MessageText, fmt.Appendf(nil, `{"type":"ping","id":%d}`, floodID+p.id))
			}
			for {
				select {
				case r := <-p.replies:
					if r.id != floodID+p.id {
						<-p.credit
						continue
					}
					if o.publish {
						p.handle.Store(r.handle)
					}
				case <-ctx.Done():
				}
				break
			}
			o.done <- sent
		default:
			select {
			case p.credit <- struct{}{}:
				p.burst(4)
				p.id++
				p.write(websocket.MessageText, fmt.Appendf(nil, `{"type":"ping","id":%d}`, floodID+p.id))
			case r := <-p.replies:
				_ = r
				<-p.credit
			case <-ctx.Done():
			}
		}
	}
}

// order has the publisher send some more and waits until all that it sent has
// been handled. It returns how much that is.
func (p *publisher) order(publish bool) [2]uint64 {
	o := order{publish, make(chan [2]uint64, 1)}
	p.orders <- o
	return <-o.done
}

// A listener checks the stream of one client: nothing of a publisher comes
// after this client was told that the publisher may not.
type listener struct {
	t        *testing.T
	sids     map[string]int // sid → index of the publisher
	noData   map[int]bool
	noTracks map[int]bool
	tracks   map[string]uint32 // sid → handle, of those published
	live     map[uint32]bool
	got      [2]map[int][]uint64
}

func newListener(t *testing.T) *listener {
	return &listener{t: t, sids: map[string]int{}, noData: map[int]bool{}, noTracks: map[int]bool{},
		tracks: map[string]uint32{}, live: map[uint32]bool{}, got: [2]map[int][]uint64{{}, {}}}
}

func (l *listener) hear(typ websocket.MessageType, b []byte) {
	if typ == websocket.MessageBinary {
		h, _ := wire.ParseFrameHeader(b)
		from, n := int(b[wire.FrameHeaderBytes]), binary.BigEndian.Uint64(b[wire.FrameHeaderBytes+1:])
		if !l.live[h.Handle] || l.noTracks[from] {
			l.t.Errorf("frame %d of publisher %d came after its track had ended", n, from)
		}
		l.got[trackFrames][from] = append(l.got[trackFrames][from], n)
		return
	}
	switch {
	case bytes.HasPrefix(b, []byte(`{"type":"data"`)):
		var m struct{ Payload [2]uint64 }
		_ = json.Unmarshal(b, &m)
		from, n := int(m.Payload[0]), m.Payload[1]
		if l.noData[from] {
			l.t.Errorf("message %d of publisher %d came after it was told that the publisher may not", n, from)
		}
		l.got[dataMessages][from] = append(l.got[dataMessages][from], n)
	case bytes.HasPrefix(b, []byte(`{"type":"participant`)):
		var m struct {
			Participant struct {
				SID         string
				Identity    string
				Permissions struct{ CanPublish, CanPublishData bool }
			}
		}
		_ = json.Unmarshal(b, &m)
		var index int
		if n, _ := fmt.Sscanf(m.Participant.Identity, "publisher-%d", &index); n == 1 {
			l.noData[index] = !m.Participant.Permissions.CanPublishData
			l.noTracks[index] = !m.Participant.Permissions.CanPublish
		}
	case bytes.HasPrefix(b, []byte(`{"type":"trackPublished"`)):
		var m struct {
			Track struct {
				SID    string
				Handle uint32
			}
		}
		_ = json.Unmarshal(b, &m)
		l.tracks[m.Track.SID], l.live[m.Track.Handle] = m.Track.Handle, true
	case bytes.HasPrefix(b, []byte(`{"type":"trackUnpublished"`)):
		var m struct{ TrackSID string }
		_ = json.Unmarshal(b, &m)
		delete(l.live, l.tracks[m.TrackSID])
	}
}

func dial(t *testing.T, s *sessiontest.Server, identity string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	join, _ := json.Marshal(wire.Message{Type: "join", Token: s.Token("hall", identity)})
	if err := ws.Write(t.Context(), websocket.MessageText, join); err != nil {
		t.Fatal(err)
	}
	return ws
}

// rounds is how often a race is provoked: n times, ten times as often for soak,
// a tenth with -short.
func rounds(n int) int {
	switch {
	case os.Getenv("USHER_SOAK") != "":
		return 10 * n
	case testing.Short():
		return n / 10
	}
	return n
}

func newSeed(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("USHER_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("USHER_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A right taken away is gone when the call returns: nothing that a publisher
// sends from then on arrives, and whoever was told of the change gets nothing
// more. The publishers send at full rate over real sockets, and each message
// may be suspended between its parsing and the room's lock.
func TestDemotionUnderLoad(t *testing.T) {
	t.Run("Update", func(t *testing.T) {
		demoteUnderLoad(t, rounds(1000), func(r *room.Room, b *room.Batch, identity string, say auth.Say) error {
			_, err := r.Update(b, room.Target{Identity: identity}, room.Change{Permission: &say})
			return err
		})
	})
	t.Run("State", func(t *testing.T) {
		demoteUnderLoad(t, rounds(300), func(r *room.Room, b *room.Batch, identity string, say auth.Say) error {
			info, err := r.Participant(room.Target{Identity: identity})
			if err != nil {
				return err
			}
			return r.State(b, map[string]auth.Say{info.SID: say}, nil, "")
		})
	})
}

func demoteUnderLoad(t *testing.T, n int, state func(r *room.Room, b *room.Batch, identity string, say auth.Say) error) {
	rng := newSeed(t)
	var calls atomic.Uint32
	room.BeforeLock(t, func() {
		if calls.Add(1)%3 != 0 {
			runtime.Gosched()
		}
	})
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) {
		// Nobody is to be put out: the flood is what is tested, not the bounds.
		c.Outbox = room.DefaultOutboxLimits
		c.Outbox.ReliableBytes, c.Outbox.SlowAge = 1<<30, time.Hour
	}})
	ctx, stop := context.WithCancel(t.Context())
	var writers, readers sync.WaitGroup
	var publishers []*publisher
	var listeners []*listener
	read := func(ws *websocket.Conn, l *listener, ready chan<- struct{}, p *publisher) {
		for {
			typ, b, err := ws.Read(context.Background())
			if err != nil {
				if websocket.CloseStatus(err) != websocket.StatusCode(wire.Left) {
					t.Errorf("the connection ended: %v", err)
				}
				return
			}
			if bytes.HasPrefix(b, []byte(`{"type":"joined"`)) {
				var m struct {
					Participants []struct {
						Tracks []struct {
							SID    string
							Handle uint32
						}
					}
				}
				_ = json.Unmarshal(b, &m)
				for _, p := range m.Participants {
					for _, track := range p.Tracks {
						l.tracks[track.SID], l.live[track.Handle] = track.Handle, true
					}
				}
				close(ready)
				continue
			}
			if p != nil && slices.ContainsFunc(replies, func(start string) bool { return bytes.HasPrefix(b, []byte(start)) }) {
				var m struct {
					ID    uint64
					Track struct{ Handle uint32 }
				}
				_ = json.Unmarshal(b, &m)
				p.replies <- reply{m.ID, m.Track.Handle}
				continue
			}
			l.hear(typ, b)
		}
	}
	enter := func(identity string, p *publisher) *websocket.Conn {
		ws := dial(t, s, identity)
		l, ready := newListener(t), make(chan struct{})
		listeners = append(listeners, l)
		readers.Go(func() { read(ws, l, ready, p) })
		<-ready
		return ws
	}
	var conns []*websocket.Conn
	conns = append(conns, enter("listener", nil))
	for i := range 2 {
		p := &publisher{index: i, identity: fmt.Sprint("publisher-", i), orders: make(chan order),
			replies: make(chan reply, inFlight+1), credit: make(chan struct{}, inFlight)}
		p.ws = enter(p.identity, p)
		conns = append(conns, p.ws)
		publishers = append(publishers, p)
	}
	for _, p := range publishers {
		writers.Go(func() { p.run(ctx) })
		p.order(true)
	}

	r, _ := s.Rooms.Lookup("test", "hall")
	b := s.Rooms.Batch()
	update := func(p *publisher, permission livekit.Permission) {
		say := livekit.StatementOf(permission)
		if err := state(r, b, p.identity, say); err != nil {
			t.Error(err)
		}
	}
	all := livekit.Permission{CanSubscribe: true, CanPublish: true, CanPublishData: true}
	demotions := []struct {
		gone [2]bool
		to   livekit.Permission
	}{
		{[2]bool{dataMessages: true}, livekit.Permission{CanSubscribe: true, CanPublish: true}},
		{[2]bool{trackFrames: true}, livekit.Permission{CanSubscribe: true, CanPublishData: true}},
		{[2]bool{trackFrames: true}, livekit.Permission{CanSubscribe: true, CanPublish: true, CanPublishSources: []string{"microphone"}, CanPublishData: true}},
		{[2]bool{true, true}, livekit.Permission{CanSubscribe: true}},
	}
	type span struct{ after, upTo uint64 } // messages sent while they were not allowed
	var forbidden [2][2][]span             // by publisher and kind
	for range n {
		p := publishers[rng.IntN(len(publishers))]
		d := demotions[rng.IntN(len(demotions))]
		for range rng.IntN(4) {
			runtime.Gosched()
		}
		update(p, d.to)
		acknowledged := [2]uint64{p.sent[0].Load(), p.sent[1].Load()}
		b.Flush()
		handled := p.order(false)
		for kind, gone := range d.gone {
			if gone {
				forbidden[p.index][kind] = append(forbidden[p.index][kind], span{acknowledged[kind], handled[kind]})
			}
		}
		update(p, all)
		b.Flush()
		if d.gone[trackFrames] {
			p.order(true)
		}
	}
	stop()
	writers.Wait()
	for _, ws := range conns {
		_ = ws.Write(context.Background(), websocket.MessageText, []byte(`{"type":"leave"}`))
	}
	readers.Wait()

	var got, suppressed [2]uint64
	for _, l := range listeners {
		for kind := range l.got {
			for from, numbers := range l.got[kind] {
				got[kind] += uint64(len(numbers))
				for _, k := range numbers {
					i, _ := slices.BinarySearchFunc(forbidden[from][kind], k, func(s span, k uint64) int { return int(int64(s.upTo) - int64(k)) })
					if i < len(forbidden[from][kind]) && k > forbidden[from][kind][i].after {
						t.Errorf("message %d of kind %d of publisher %d was sent after the demotion was acknowledged, and arrived", k, kind, from)
					}
				}
			}
		}
	}
	for _, p := range publishers {
		for kind := range forbidden[p.index] {
			for _, s := range forbidden[p.index][kind] {
				suppressed[kind] += s.upTo - s.after
			}
		}
	}
	t.Logf("%d demotions; data: %d received, %d sent in vain; frames: %d received, %d sent in vain",
		n, got[dataMessages], suppressed[dataMessages], got[trackFrames], suppressed[trackFrames])
	if got[0] == 0 || got[1] == 0 || suppressed[0] == 0 || suppressed[1] == 0 {
		t.Error("the test tested nothing")
	}
}

// One message of each kind is stopped between its parsing and the lock, a
// demotion comes and returns, then the message goes on.
func TestDemotionBetweenParsingAndLock(t *testing.T) {
	var hold atomic.Pointer[chan struct{}]
	arrived := make(chan struct{})
	room.BeforeLock(t, func() {
		if gate := hold.Load(); gate != nil {
			arrived <- struct{}{}
			<-*gate
		}
	})
	h := newHall(t, room.Config{AutoCreate: true})
	watcher := h.join("watcher")
	for name, test := range map[string]struct {
		do   func(m *member, f *room.TrackInfo) error
		need string
	}{
		"publishData": {func(m *member, _ *room.TrackInfo) error {
			return m.p.PublishData(m.call(1000), room.Message{Payload: []byte(`"late"`), Reliable: true})
		}, "canPublishData"},
		"updatePresence": {func(m *member, _ *room.TrackInfo) error {
			return m.p.UpdatePresence(m.call(1000), room.Presence{"late": []byte("1")}, false)
		}, "canUpdatePresence"},
		"updateMetadata": {func(m *member, _ *room.TrackInfo) error {
			return m.p.UpdateMetadata(m.call(1000), room.Change{Name: new("late")})
		}, "canUpdateOwnMetadata"},
		"publishTrack": {func(m *member, _ *room.TrackInfo) error {
			return m.p.PublishTrack(m.call(1000), room.Track{Kind: room.Audio, Source: auth.Microphone, Name: "late"})
		}, "canPublish"},
		"frame": {func(m *member, f *room.TrackInfo) error {
			return m.p.PassFrame(m.call(0), room.TrackFrame{Handle: f.Handle, Last: true, Wire: wireFrame(7)})
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := h.join(name)
			if err := m.p.PublishTrack(m.call(1), room.Track{Kind: room.Audio, Source: auth.Microphone}); err != nil {
				t.Fatal(err)
			}
			m.batch.Flush()
			track := last[*room.Reply](t, m).Track
			before := watcher.count()

			gate := make(chan struct{})
			hold.Store(&gate)
			done := make(chan error)
			go func() { done <- test.do(m, track) }()
			<-arrived
			hold.Store(nil)
			say := livekit.StatementOf(livekit.Permission{CanSubscribe: true})
			h.update(room.Target{Identity: name}, room.Change{Permission: &say})
			close(gate)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			m.batch.Flush()

			if test.need != "" {
				r := last[*room.Reply](t, m)
				if r.Denial == nil || r.Denial.Permission != test.need || r.Denial.Layer != auth.Live {
					t.Errorf("got %+v, want a denial by %s", r, test.need)
				}
			}
			for _, e := range watcher.since(before) {
				switch e := e.(type) {
				case *room.TrackUnpublished, *room.ParticipantUpdated:
				default:
					t.Errorf("the watcher got %T %+v", e, e)
				}
			}
			if u := last[*room.ParticipantUpdated](t, watcher); u.Participant.Name != "" {
				t.Errorf("the name is %q, want none", u.Participant.Name)
			}
		})
	}
}
