package session_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/room/store"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// told is a logger whose lines are sent on; when nobody has taken many they get lost.
func told(lines chan<- string) *slog.Logger { return slog.New(slog.NewTextHandler(teller(lines), nil)) }

type teller chan<- string

func (t teller) Write(b []byte) (int, error) {
	select {
	case t <- string(b):
	default:
	}
	return len(b), nil
}

// alone has the test's servers poll with one poller, so that everything is in the
// way of everything else.
func alone(t *testing.T) { setCores(t, 1) }

func setCores(t *testing.T, n int) {
	was := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
}

func text(s string) []byte { return sessiontest.MaskedFrame(0x81, []byte(s)) }

// alive fails the test unless a ping with that number is answered.
func alive(c *sessiontest.Raw, number int) {
	c.Send(text(fmt.Sprintf(`{"type":"ping","id":%d}`, number)))
	c.Reply(fmt.Sprint(number))
}

// Whoever sends a part of a message keeps nobody waiting, neither those who are
// silent nor those who send without end.
func TestPartOfAMessageKeepsNobody(t *testing.T) {
	alone(t)
	s := sessiontest.Serve(t, sessiontest.Options{})
	half := s.JoinRaw(s.Token("lobby", "half"))
	quiet := s.JoinRaw(s.Token("lobby", "quiet"))
	busy := s.JoinRaw(s.Token("empty", "busy"))
	for round := range 10 {
		// The busy one always has more to be read.
		flood := slices.Concat(text(fmt.Sprintf(`{"type":"ping","id":%d}`, 2*round+1)),
			bytes.Repeat(text(`{"type":"publishData","topic":"flood","payload":{"to":"nobody","about":[1,2,3]}}`), 20000),
			text(fmt.Sprintf(`{"type":"ping","id":%d}`, 2*round+2)))
		flooded := make(chan struct{})
		go func() { // ends when all is sent
			defer close(flooded)
			_, _ = busy.Conn.Write(flood)
		}()
		busy.Reply(fmt.Sprint(2*round + 1))
		half.Send(sessiontest.MaskedFrame(0x01, []byte(`{"type":"ping",`)))
		alive(quiet, round+1)
		busy.Reply(fmt.Sprint(2*round + 2))
		<-flooded
		half.Send(sessiontest.MaskedFrame(0x80, fmt.Appendf(nil, `"id":%d}`, round+1)))
		half.Reply(fmt.Sprint(round + 1))
	}
}

// Nor does a large message that comes in small pieces, or one that never ends.
func TestDribbledMessages(t *testing.T) {
	alone(t)
	s := sessiontest.Serve(t, sessiontest.Options{})
	other := s.JoinRaw(s.Token("lobby", "other"))
	number := 0
	for _, size := range []int{10, 125, 126, 4000, 4096, 65535, 65536, 70000, 1 << 20} {
		c := s.JoinRaw(s.Token("lobby", fmt.Sprint("p", size)))
		message := fmt.Sprintf(`{"type":"ping","id":%d,"x":"%s"}`, size, strings.Repeat("x", size))
		if size == 1<<20 { // the limit, exactly
			message = message[:len(message)-2-(len(message)-1<<20)] + `"}`
		}
		frame := text(message)
		for i, piece := 0, max(len(frame)/50, 1); i < len(frame); i += piece {
			c.Send(frame[i:min(i+piece, len(frame))])
			number++
			alive(other, number)
		}
		c.Reply(fmt.Sprint(size))
		frame = text(message + strings.Repeat(" ", 1<<20-len(message)+1))
		c.Send(frame)
		if code, _ := c.Closed(); code != wire.MessageTooBig {
			t.Errorf("one byte over the limit: closed with %d", code)
		}
	}
}

// A message may be cut at any byte, in the join as well as after it.
func TestSplitAtEveryByte(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	for _, what := range []struct{ name, stream string }{
		{"text", string(text(`{"type":"ping","id":1}`))},
		{"fragments", string(sessiontest.MaskedFrame(0x01, []byte(`{"type":`))) + string(sessiontest.MaskedFrame(0x89, []byte("x"))) + string(sessiontest.MaskedFrame(0x80, []byte(`"ping","id":1}`)))},
		{"pong and ping", string(sessiontest.MaskedFrame(0x8a, []byte("x"))) + string(sessiontest.MaskedFrame(0x89, []byte("y"))) + string(text(`{"type":"ping","id":1}`))},
	} {
		stream := string(text(`{"type":"join","token":"`+s.Token("lobby", what.name)+`"}`)) + what.stream
		c := s.DialRaw()
		for i := range len(stream) {
			c.Send([]byte(stream[i : i+1]))
		}
		c.Reply("1")
		for i := 1; i < len(what.stream); i++ {
			c := s.JoinRaw(s.Token("lobby", fmt.Sprint(what.name, i)))
			c.Send([]byte(what.stream[:i]))
			runtime.Gosched()
			c.Send([]byte(what.stream[i:]))
			c.Reply("1")
			_ = c.Conn.Close()
		}
	}
}

// What came before the end of the connection is done, though the end came with it.
func TestLastWords(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	hearer, _ := s.Join(s.Token("lobby", "hearer"))
	many := 3000 // more than one turn
	for i, test := range []struct {
		many int
		end  func(c *net.TCPConn) error
	}{
		{1, (*net.TCPConn).Close}, // of more, answers that it has not read would make the kernel reset the connection
		{many, (*net.TCPConn).CloseWrite},
	} {
		c := s.JoinRaw(s.Token("lobby", fmt.Sprint("p", i)))
		if _, token, err := c.Next(); err != nil || !strings.Contains(string(token), "refreshToken") {
			t.Fatalf("got %s, %v behind joined", token, err)
		}
		var all []byte
		for n := range test.many {
			all = append(all, text(fmt.Sprintf(`{"type":"publishData","topic":"t%d","payload":"%d %s"}`, i, n, strings.Repeat("x", 50)))...)
		}
		c.Send(all)
		if err := test.end(c.Conn.(*net.TCPConn)); err != nil {
			t.Fatal(err)
		}
		hearer.ExpectWhere("the last words", func(e sessiontest.Event) bool {
			return e.Type() == "data" && e.Str("topic") == fmt.Sprint("t", i) && strings.HasPrefix(e.Str("payload"), fmt.Sprintf("%d ", test.many-1))
		})
		hearer.ExpectWhere("the end", func(e sessiontest.Event) bool {
			return e.Type() == "participantUpdated" && e.Str("participant.state") == "reconnecting" && e.Str("participant.identity") == fmt.Sprint("p", i)
		})
	}
	n := 0
	for _, e := range hearer.Seen() {
		if e.Str("topic") == "t1" {
			n++
		}
	}
	if n != many {
		t.Errorf("%d messages arrived, want %d", n, many)
	}
}

// A slowStore writes nothing while it is held.
type slowStore struct {
	*store.File
	held  atomic.Bool
	asked chan struct{} // gets one for each commit while it is held
	on    chan struct{} // closed to let it write
	every time.Duration // that a write takes
}

func newSlowStore(t *testing.T) *slowStore {
	s := &slowStore{asked: make(chan struct{}, 1000), on: make(chan struct{})}
	f, err := store.Open(t.TempDir(), store.Options{Around: func(write func() error) error {
		if s.held.Load() {
			<-s.on
		}
		time.Sleep(s.every)
		return write()
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.File = f
	t.Cleanup(func() { _ = f.Close() })
	return s
}

// Commit implements [store.Store].
func (s *slowStore) Commit(changes ...store.Change) *store.Ticket {
	if s.held.Load() {
		s.asked <- struct{}{}
	}
	return s.File.Commit(changes...)
}

// A moderator whose change waits for the store keeps nobody else waiting.
func TestSlowStoreKeepsNobody(t *testing.T) {
	alone(t)
	slow := newSlowStore(t)
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) { c.Store = slow }})
	var moderators []*sessiontest.Raw
	for i := range 5 {
		moderators = append(moderators, s.JoinRaw(s.Token(fmt.Sprint("room", i), "mod", func(c *livekit.Claims) { c.Video.RoomAdmin = true })))
		s.JoinRaw(s.Token(fmt.Sprint("room", i), "victim"))
	}
	other := s.JoinRaw(s.Token("lobby", "other"))
	slow.held.Store(true)
	for i, m := range moderators {
		m.Send(text(`{"type":"removeParticipant","identity":"victim","id":1}`))
		<-slow.asked
		alive(other, i+1)
	}
	s.JoinRaw(s.Token("lobby", "late"))
	close(slow.on)
	for _, m := range moderators {
		if got := m.Reply("1"); !strings.Contains(got, `"ok"`) {
			t.Errorf("removing: got %s", got)
		}
	}
}

// What connections that have not joined hold is bounded, in fragments as well.
func TestUnjoinedFragmentsAreBounded(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Session: func(c *session.Config) { c.UnjoinedBytes, c.JoinTimeout = 100<<10, time.Minute }})
	busy := 0
	var held []*sessiontest.Raw
	for range 60 {
		c := s.DialRaw()
		c.Send(sessiontest.MaskedFrame(0x01, []byte("{")))
		c.Send(sessiontest.MaskedFrame(0x89, nil)) // answered, when it has been read
		if first, _, err := c.Next(); err == nil && first == 0x88 {
			busy++
		} else if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	if busy < 30 {
		t.Errorf("%d of 60 were refused, want most", busy)
	}
	for _, c := range held {
		_ = c.Conn.Close()
	}
	for {
		c := s.DialRaw()
		c.Send(text(`{"type":"join","token":"` + s.Token("lobby", "ada") + `"}`))
		if first, _, err := c.Next(); err == nil && first == 0x81 {
			return // it has been given back; else the test's time ends
		}
	}
}

// Framing that is broken from its first bytes on is refused at once, without
// waiting for what it announces.
func TestBrokenHeaders(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	for name, header := range map[string][]byte{
		"reserved opcode": {0x83, 0xff, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2, 3, 4}, "reserved control": {0x8b, 0xfe, 1, 0, 1, 2, 3, 4},
		"first reserved bit": {0xc1, 0xfe, 1, 0, 1, 2, 3, 4}, "second": {0xa1, 0xfe, 1, 0, 1, 2, 3, 4}, "third": {0x91, 0xfe, 1, 0, 1, 2, 3, 4},
		"no mask": {0x81, 0x7e, 1, 0}, "no mask, a ping": {0x89, 5}, "continues nothing": {0x80, 0xfe, 1, 0, 1, 2, 3, 4},
		"continues nothing for ever": {0x00, 0xfe, 1, 0, 1, 2, 3, 4}, "large ping": {0x89, 0xfe, 1, 0, 1, 2, 3, 4},
		"large close": {0x88, 0xfe, 1, 0, 1, 2, 3, 4}, "fragmented ping": {0x09, 0x85, 1, 2, 3, 4},
		"negative length": {0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
	} {
		for _, joined := range []bool{true, false} {
			c := s.DialRaw()
			if joined {
				c = s.JoinRaw(s.Token("lobby", name))
			}
			c.Send(header)
			if code, _ := c.Closed(); code != wire.ProtocolBroken {
				t.Errorf("%s, joined %v: closed with %d", name, joined, code)
			}
		}
	}
}

// A defect in one session's affairs ends no poller.
func TestPollerSurvivesDefects(t *testing.T) {
	alone(t)
	lines := make(chan string, 100)
	s := sessiontest.Serve(t, sessiontest.Options{
		Session: func(c *session.Config) { c.Log = told(lines) },
		Room: func(c *room.Config) {
			sign := c.Refresh
			c.Refresh = func(g *auth.Grant, now auth.Current) (string, time.Time, error) {
				if g.Identity == "cursed" {
					panic("a curse")
				}
				return sign(g, now)
			}
		},
	})
	other := s.JoinRaw(s.Token("lobby", "other"))
	for i := range 5 {
		s.JoinRaw(s.Token("lobby", "cursed"))
		alive(other, i+1)
	}
	if line := <-lines; !strings.Contains(line, "writing failed") {
		t.Errorf("the server logged %s", line)
	}
}

// Drained, connections in every state end.
func TestDrainInEveryState(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Session: func(c *session.Config) { c.JoinTimeout = time.Minute }})
	states := map[string]func() *sessiontest.Raw{
		"connected": func() *sessiontest.Raw { return s.DialRaw() },
		"part of a join": func() *sessiontest.Raw {
			c := s.DialRaw()
			c.Send(text(`{"type":"join"}`)[:9])
			return c
		},
		"fragment of a join": func() *sessiontest.Raw {
			c := s.DialRaw()
			c.Send(sessiontest.MaskedFrame(0x01, []byte("{")))
			return c
		},
		"joined": func() *sessiontest.Raw { return s.JoinRaw(s.Token("lobby", "joined")) },
		"part of a message": func() *sessiontest.Raw {
			c := s.JoinRaw(s.Token("lobby", "part"))
			c.Send(text(`{"type":"ping"}`)[:9])
			return c
		},
		"part of a large message": func() *sessiontest.Raw {
			c := s.JoinRaw(s.Token("lobby", "large"))
			c.Send(text(strings.Repeat("x", 1<<19))[:70000])
			return c
		},
		"fragment": func() *sessiontest.Raw {
			c := s.JoinRaw(s.Token("lobby", "fragment"))
			c.Send(sessiontest.MaskedFrame(0x01, []byte("{")))
			return c
		},
	}
	conns := map[string]*sessiontest.Raw{}
	for name, begin := range states {
		conns[name] = begin()
	}
	done := make(chan error, 1)
	go func() { // ends with the drain
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		done <- s.Sessions.Drain(ctx)
	}()
	for name, c := range conns {
		if code, why := c.Closed(); code != wire.ServerShutdown {
			t.Errorf("%s: closed with %d %s", name, code, why)
		}
		_ = c.Conn.Close()
	}
	if err := <-done; err != nil {
		t.Errorf("draining: %v", err)
	}
}
