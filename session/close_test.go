package session_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A scene is a room in which a victim is flooded with data and video.
type scene struct {
	t      *testing.T
	s      *sessiontest.Server
	token  string // the victim's
	joined sessiontest.Event
	victim *sessiontest.Raw
	admin  *admin
	ada    *sessiontest.Client // somebody else, who keeps the room open
	source *sessiontest.Client
	video  uint32
	frames uint16
	gauges *prometheus.Registry
	sent   atomic.Int64  // by flood
	read   atomic.Int64  // by the victim
	own    bool          // the victim closes by itself
	pause  time.Duration // between the messages of floodUntil
}

func newScene(t *testing.T, o sessiontest.Options) *scene {
	reg := prometheus.NewRegistry()
	change := o.Room
	o.Room = func(c *room.Config) {
		c.Metrics = reg
		if change != nil {
			change(c)
		}
	}
	sc := &scene{t: t, s: sessiontest.Serve(t, o), gauges: reg}
	agent := func(c *livekit.Claims) { c.Kind = auth.Agent }
	sc.ada, _ = sc.s.Join(sc.s.Token("lobby", "ada"))
	sc.source, _ = sc.s.Join(sc.s.Token("lobby", "source", agent))
	track := sc.source.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	sc.video = handleOf(track)
	sc.token = sc.s.Token("lobby", "victim", agent)
	sc.victim = sc.s.DialRaw()
	sc.victim.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"join","token":"`+sc.token+`"}`)))
	_, payload, err := sc.victim.Next()
	if err != nil {
		t.Fatal(err)
	}
	sc.joined = eventOf(t, payload)
	sc.admin = newAdmin(sc.s, "lobby")
	return sc
}

// flood sends some of everything to the victim.
func (sc *scene) flood() error {
	sc.frames++
	h := wire.FrameHeader{Handle: sc.video, Key: sc.frames%30 == 1, Last: true, Counter: sc.frames}
	if err := sc.source.WS.Write(context.Background(), 2, append(h.Append(nil), make([]byte, 5000)...)); err != nil {
		return err
	}
	sc.sent.Add(2)
	return sc.source.WS.Write(context.Background(), 1, []byte(`{"type":"publishData","payload":"`+strings.Repeat("x", 2000)+`"}`))
}

// jam floods until so many bytes wait for the victim, which does not read, or
// it has been given up.
func (sc *scene) jam(bytes int) {
	sc.t.Helper()
	for sc.waiting() < bytes && gauge(sc.t, sc.gauges, "usher_slow_receivers_total", "bytes")+gauge(sc.t, sc.gauges, "usher_slow_receivers_total", "age") == 0 {
		if err := sc.flood(); err != nil {
			sc.t.Fatal(err)
		}
	}
}

// floodUntil floods until done is closed, no faster than the victim reads.
func (sc *scene) floodUntil(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
		}
		if sc.sent.Load() > sc.read.Load()+60 {
			runtime.Gosched()
			time.Sleep(sc.pause)
			continue
		}
		time.Sleep(sc.pause)
		if sc.flood() != nil {
			return // its own session has been ended, too
		}
	}
}

// waiting is how many bytes wait in all outboxes.
func (sc *scene) waiting() int { return int(gauge(sc.t, sc.gauges, "usher_outbox_bytes", "")) }

// gauge reads a metric; label is the value of its label, if it has one.
func gauge(t *testing.T, reg prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || m.GetLabel()[0].GetValue() == label {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no metric %s %s", name, label)
	return 0
}

// ending reads until the close frame and returns its code. Whole frames come
// before it, and nothing after it.
func ending(t *testing.T, sc *scene) wire.CloseCode {
	t.Helper()
	c := sc.victim
	_ = c.Conn.SetDeadline(time.Now().Add(30 * time.Second))
	for {
		first, payload, err := c.Next()
		if err != nil {
			t.Fatalf("the connection ended without a close frame: %v", err)
		}
		sc.read.Add(1)
		switch first {
		case 0x81:
			eventOf(t, payload)
		case 0x82:
			if _, ok := wire.ParseFrameHeader(payload); !ok {
				t.Fatalf("a track frame of %d bytes has no header", len(payload))
			}
		case 0x89, 0x8a:
		case 0x88:
			code := wire.CloseCode(1005)
			if len(payload) >= 2 {
				code = wire.CloseCode(binary.BigEndian.Uint16(payload))
				if got := string(payload[2:]); code > 4000 && got != code.Reason() && !sc.own {
					t.Errorf("the reason is %q, want %q", got, code.Reason())
				}
			}
			if !sc.own {
				c.Send(sessiontest.MaskedFrame(0x88, payload[:min(2, len(payload))]))
			}
			if first, payload, err := c.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("after the close frame came %#x %q, %v", first, payload, err)
			}
			return code
		default:
			t.Fatalf("a frame begins with %#x", first)
		}
	}
}

// endings is how each close code of a session that has joined can be brought
// about.
var endings = map[wire.CloseCode]struct {
	change  sessiontest.Options
	virtual bool // in virtual time: no machine is too slow for its timeouts
	do      func(sc *scene)
}{
	wire.Left:           {do: func(sc *scene) { sc.victim.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"leave"}`))) }},
	wire.ProtocolBroken: {do: func(sc *scene) { sc.victim.Send([]byte{0x83, 0x80, 0, 0, 0, 0}) }},
	wire.InvalidUTF8:    {do: func(sc *scene) { sc.victim.Send(sessiontest.MaskedFrame(0x81, []byte("\xff"))) }},
	wire.MessageTooBig: {
		change: sessiontest.Options{Session: func(c *session.Config) { c.MessageBytes = 10000 }},
		do:     func(sc *scene) { sc.victim.Send(sessiontest.MaskedFrame(0x81, make([]byte, 20000))) }},
	wire.ServerShutdown: {do: func(sc *scene) {
		// Without a deadline it spreads the ends over a second, and cuts nobody.
		if err := sc.s.Sessions.Drain(context.Background()); err != nil {
			sc.t.Errorf("draining: %v", err)
		}
	}},
	wire.PingTimeout: {
		virtual: true,
		change:  sessiontest.Options{Session: func(c *session.Config) { c.PingInterval = 500 * time.Millisecond }},
		do:      func(*scene) {}}, // the victim is silent from the beginning
	wire.RateLimited: {
		change: sessiontest.Options{Session: func(c *session.Config) { c.MessagesPerSecond = 1000 }},
		do: func(sc *scene) {
			sc.victim.Send(bytes.Repeat(sessiontest.MaskedFrame(0x82, []byte("nothing")), 20000))
		}},
	wire.DuplicateIdentity: {do: func(sc *scene) {
		c := resume(sc.s, sc.joined, 0)
		c.Expect("joined")
	}},
	wire.Removed: {do: func(sc *scene) {
		if err := sc.admin.remove("victim"); err != nil {
			sc.t.Error(err)
		}
	}},
	wire.Ejected: {do: func(sc *scene) {
		if _, err := sc.admin.room.Eject(sc.admin.b, []room.Target{{Identity: "victim"}}, false, ""); err != nil {
			sc.t.Error(err)
		}
		sc.admin.b.Flush()
	}},
	wire.TimeLimit: {do: func(sc *scene) {
		if err := sc.admin.room.LimitStay(sc.admin.b, room.Target{Identity: "victim"}, time.Now().Add(time.Millisecond)); err != nil {
			sc.t.Error(err)
		}
		sc.admin.b.Flush()
	}},
	wire.RoomDeleted: {
		change: sessiontest.Options{Room: func(c *room.Config) { c.DepartureTimeout = time.Millisecond }},
		do:     func(sc *scene) { leave(sc.ada) }},
	wire.KeyRevoked: {do: func(sc *scene) {
		keys, err := auth.NewKeys(nil, []string{sessiontest.Key})
		if err != nil {
			sc.t.Error(err)
		}
		sc.s.Verifier.SetKeys(keys)
		sc.s.Sessions.KeysChanged()
	}},
	wire.RoomRenamed: {do: func(sc *scene) {
		b := sc.s.Rooms.Batch()
		defer b.Flush()
		if _, err := sc.s.Rooms.CreateLiveblocks(b, "test", "lobby", room.LiveblocksRoom{}); err != nil {
			sc.t.Error(err)
		}
		if _, err := sc.s.Rooms.RenameLiveblocks(b, "test", "lobby", "foyer"); err != nil {
			sc.t.Error(err)
		}
	}},
	wire.SlowConsumer: {
		change: sessiontest.Options{Room: func(c *room.Config) {
			c.Outbox = room.DefaultOutboxLimits
			c.Outbox.ReliableBytes = 600 << 10
		}},
		do: func(*scene) {}}, // the jam is enough
}

// atTheDoor is the codes that refuse a connection before it has joined, which
// TestRefusals and TestDailyToken provoke, and AccessLost and NotAdmitted, which
// TestLiveblocksToken and TestLobby do. Nothing provokes the last one.
var atTheDoor = []wire.CloseCode{
	wire.JoinTimeout, wire.Busy, wire.SessionNotFound, wire.InvalidToken, wire.TokenExpired, wire.TokenNotYetValid, wire.TokenRevoked,
	wire.NotAllowed, wire.RoomNotFound, wire.RoomFull, wire.TokenTooLarge, wire.OriginNotAllowed, wire.LimitExceeded, wire.IdentityTaken,
	wire.ProtocolError, wire.RoomNotOpen, wire.RoomExpired, wire.NotAdmitted, wire.AccessLost, wire.InternalError,
}

// TestCloseCodes has a client read every code that can end a session: while it
// is flooded, and when it has not read for a while.
func TestCloseCodes(t *testing.T) {
	codes := wire.CloseCodes()
	slices.Sort(codes)
	for _, code := range codes {
		e, ok := endings[code]
		if !ok {
			if !slices.Contains(atTheDoor, code) {
				t.Errorf("%d is not provoked", code)
			}
			continue
		}
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			for name, end := range map[string]func(*testing.T, *scene, wire.CloseCode, func(*scene)){"flood": endInFlood, "jam": endInJam} {
				if code == wire.SlowConsumer && name == "flood" {
					continue // whoever reads is not slow
				}
				t.Run(name, func(t *testing.T) {
					if !e.virtual {
						end(t, newScene(t, e.change), code, e.do)
						return
					}
					synctest.Test(t, func(t *testing.T) {
						o := e.change
						o.Listener = sessiontest.NewMemory()
						sc := newScene(t, o)
						sc.pause = 5 * time.Millisecond // else the flood would stop the clock
						end(t, sc, code, e.do)
					})
				})
			}
		})
	}
}

func endInFlood(t *testing.T, sc *scene, code wire.CloseCode, end func(*scene)) {
	done := make(chan struct{})
	var flooding, ends sync.WaitGroup
	flooding.Go(func() { sc.floodUntil(done) })
	for range 60 { // it is under way
		if _, _, err := sc.victim.Next(); err != nil {
			t.Fatal(err)
		}
		sc.read.Add(1)
	}
	ends.Go(func() { end(sc) })
	if got := ending(t, sc); got != code {
		t.Errorf("got %d, want %d", got, code)
	}
	close(done)
	flooding.Wait()
	ends.Wait()
}

func endInJam(t *testing.T, sc *scene, code wire.CloseCode, end func(*scene)) {
	sc.jam(300 << 10)
	if code == wire.SlowConsumer && !sc.own {
		sc.jam(1 << 30)
	}
	var ends sync.WaitGroup
	ends.Go(func() { end(sc) })
	if code != wire.ServerShutdown { // which waits for the victim
		ends.Wait()
	}
	if got := ending(t, sc); got != code {
		t.Errorf("got %d, want %d", got, code)
	}
	ends.Wait()
}

// A client's own close is answered with the same code, behind a whole frame,
// whatever is going on.
func TestCloseIsEchoed(t *testing.T) {
	for _, payload := range []string{"", "\x03\xe8", "\x03\xe9going away", "\x0f\xa1", "\x0f\xa1see you", "\x0b\xb8"} {
		for _, jam := range []bool{false, true} {
			t.Run(fmt.Sprintf("%q jam %v", payload, jam), func(t *testing.T) {
				sc := newScene(t, sessiontest.Options{})
				want := wire.CloseCode(1005)
				if payload != "" {
					want = wire.CloseCode(binary.BigEndian.Uint16([]byte(payload)))
				}
				sc.own = true
				say := func(sc *scene) { sc.victim.Send(sessiontest.MaskedFrame(0x88, []byte(payload))) }
				if jam {
					endInJam(t, sc, want, say)
				} else {
					endInFlood(t, sc, want, say)
				}
			})
		}
	}
}

// Broken framing ends a session with 1002.
func TestProtocolErrors(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	text := []byte(`{"type":"ping"}`)
	begun := sessiontest.MaskedFrame(0x01, text)
	for name, sent := range map[string][]byte{
		"unmasked":                append([]byte{0x81, byte(len(text))}, text...),
		"unmasked ping":           {0x89, 0},
		"reserved bit 1":          sessiontest.MaskedFrame(0xc1, text),
		"reserved bit 2":          sessiontest.MaskedFrame(0xa1, text),
		"reserved bit 3":          sessiontest.MaskedFrame(0x91, text),
		"unknown opcode":          sessiontest.MaskedFrame(0x83, text),
		"unknown control":         sessiontest.MaskedFrame(0x8b, text),
		"large ping":              sessiontest.MaskedFrame(0x89, make([]byte, 126)),
		"large close":             sessiontest.MaskedFrame(0x88, make([]byte, 126)),
		"ping in fragments":       sessiontest.MaskedFrame(0x09, []byte("hello")),
		"continuation of nothing": sessiontest.MaskedFrame(0x80, text),
		"message within another":  append(slices.Clone(begun), sessiontest.MaskedFrame(0x81, text)...),
		"close of one byte":       sessiontest.MaskedFrame(0x88, []byte{3}),
		"close with 1005":         closeOf(1005),
		"close with 1006":         closeOf(1006),
		"close with 999":          closeOf(999),
		"close with 5000":         closeOf(5000),
	} {
		c := s.JoinRaw(s.Token("lobby", name))
		c.Send(sent)
		if got := ending(t, &scene{victim: c}); got != wire.ProtocolBroken {
			t.Errorf("%s: got %d, want %d", name, got, wire.ProtocolBroken)
		}
	}
}

// Pings are answered with what they carried, in their order and between whole
// frames, also while the client is flooded or has not read for a while.
func TestPongs(t *testing.T) {
	payloads := []string{"", "x", strings.Repeat("y", 125)}
	for i := range 20 {
		payloads = append(payloads, fmt.Sprint("ping ", i))
	}
	check := func(t *testing.T, sc *scene) {
		t.Helper()
		for _, want := range payloads {
			for {
				first, payload, err := sc.victim.Next()
				if err != nil {
					t.Fatal(err)
				}
				if first == 0x8a {
					if string(payload) != want {
						t.Fatalf("got pong %q, want %q", payload, want)
					}
					break
				}
				sc.read.Add(1)
				if first == 0x81 {
					eventOf(t, payload)
				}
			}
		}
	}
	t.Run("flood", func(t *testing.T) {
		sc := newScene(t, sessiontest.Options{})
		done := make(chan struct{})
		var flooding sync.WaitGroup
		flooding.Go(func() { sc.floodUntil(done) })
		flooding.Go(func() {
			for _, p := range payloads {
				sc.victim.Send(sessiontest.MaskedFrame(0x89, []byte(p)))
			}
		})
		check(t, sc)
		close(done)
		flooding.Wait()
	})
	t.Run("jam", func(t *testing.T) {
		sc := newScene(t, sessiontest.Options{})
		sc.jam(300 << 10)
		for _, p := range payloads {
			sc.victim.Send(sessiontest.MaskedFrame(0x89, []byte(p)))
		}
		check(t, sc)
	})
	t.Run("fragments", func(t *testing.T) {
		sc := newScene(t, sessiontest.Options{})
		message := []byte(`{"type":"ping","id":1}`)
		for i, b := range message {
			first := byte(0x00)
			if i == 0 {
				first = 0x01
			}
			if i == len(message)-1 {
				first |= 0x80
			}
			sc.victim.Send(sessiontest.MaskedFrame(first, []byte{b}))
			if i < len(payloads) {
				sc.victim.Send(sessiontest.MaskedFrame(0x89, []byte(payloads[i])))
			}
		}
		sc.victim.Reply("1") // the pongs before it are passed over
	})
}

// What is said to a client that floods the server with pings and reads nothing
// is bounded like everything else.
func TestPingFloodIsBounded(t *testing.T) {
	sc := newScene(t, sessiontest.Options{Room: func(c *room.Config) {
		c.Outbox = room.DefaultOutboxLimits
		c.Outbox.ReliableBytes = 100 << 10
	}})
	_ = sc.victim.Conn.SetDeadline(time.Now().Add(30 * time.Second))
	pings := bytes.Repeat(sessiontest.MaskedFrame(0x89, make([]byte, 125)), 500)
	before := gauge(t, sc.gauges, "usher_slow_receivers_total", "bytes")
	for gauge(t, sc.gauges, "usher_slow_receivers_total", "bytes") == before {
		if _, err := sc.victim.Conn.Write(pings); err != nil {
			break
		}
		if n := sc.waiting(); n > 900<<10 { // eight times the bound, for a moment
			t.Fatalf("%d bytes wait", n)
		}
	}
	if got := ending(t, sc); got != wire.SlowConsumer {
		t.Errorf("got %d", got)
	}
}
