package session_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A fragile is a client's connection that is cut after so many bytes in either
// direction, with whatever was on its way.
type fragile struct {
	net.Conn
	keep bool // the cut only silences it: for the server it is still alive

	mu          sync.Mutex
	read, write int // bytes until the cut
	dead        bool
	seen        bytes.Buffer // all that was read
}

var errCut = errors.New("cut")

func (f *fragile) Read(b []byte) (int, error) {
	f.mu.Lock()
	left, dead := f.read, f.dead
	f.mu.Unlock()
	if dead {
		return 0, errCut
	}
	if left == 0 {
		return 0, f.cut()
	}
	n, err := f.Conn.Read(b[:min(left, len(b))])
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen.Write(b[:n])
	f.read -= n
	if f.dead {
		return 0, errCut // what came last has not been read by anybody
	}
	return n, err
}

func (f *fragile) Write(b []byte) (int, error) {
	f.mu.Lock()
	n := min(f.write, len(b))
	f.write -= n
	dead := f.dead
	f.mu.Unlock()
	if dead {
		return 0, errCut
	}
	k, err := f.Conn.Write(b[:n])
	if err == nil && n < len(b) {
		err = f.cut()
	}
	return k, err
}

// cut ends the connection, as far as the client goes.
func (f *fragile) cut() error {
	f.mu.Lock()
	f.dead = true
	f.mu.Unlock()
	if f.keep {
		_ = f.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	} else {
		_ = f.Conn.Close()
	}
	return errCut
}

// Close is called by the library. A connection that is to be kept stays open.
func (f *fragile) Close() error {
	f.mu.Lock()
	keep := f.keep && f.dead
	f.mu.Unlock()
	if keep {
		return nil
	}
	return f.Conn.Close()
}

// ending reads what the server still says on a connection that was kept, and
// returns the close code. It fails the test unless all of it is whole frames,
// the close frame the last.
func (f *fragile) ending(t *testing.T) (code wire.CloseCode) {
	t.Helper()
	_ = f.SetReadDeadline(time.Now().Add(20 * time.Second))
	all := f.seen.Bytes()
	for buf := make([]byte, 4096); ; {
		k, err := f.Conn.Read(buf)
		all = append(all, buf[:k]...)
		if bytes.HasSuffix(all, []byte(wire.DuplicateIdentity.Reason())) {
			_ = f.Conn.(*net.TCPConn).CloseWrite() // it need not wait for an answer
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Errorf("reading what the server says to the connection it has given up: %v", err)
			break
		}
	}
	_ = f.Conn.Close()
	_, b, _ := bytes.Cut(all, []byte("\r\n\r\n"))
	for len(b) > 0 {
		if code != 0 {
			t.Errorf("%d bytes come after the close frame", len(b))
			return code
		}
		op, payload, n := cutFrame(b)
		if n == 0 {
			t.Errorf("the connection ended within a frame: %q", b)
			return code
		}
		if op == 0x88 {
			code = wire.CloseCode(binary.BigEndian.Uint16(payload))
		} else if op != 0x81 && op != 0x82 && op != 0x89 && op != 0x8a {
			t.Errorf("a frame begins with %#x", op)
		}
		b = b[n:]
	}
	return code
}

// cutFrame reads one unmasked frame; n is 0 when there is no whole one.
func cutFrame(b []byte) (op byte, payload []byte, n int) {
	if len(b) < 2 {
		return 0, nil, 0
	}
	size, head := int(b[1]), 2
	switch {
	case size == 126 && len(b) >= 4:
		size, head = int(binary.BigEndian.Uint16(b[2:])), 4
	case size == 127 && len(b) >= 10:
		size, head = int(binary.BigEndian.Uint64(b[2:])), 10
	case size > 125:
		return 0, nil, 0
	}
	if len(b) < head+size {
		return 0, nil, 0
	}
	return b[0], b[head : head+size], head + size
}

// dialFragile connects by way of a fragile connection.
func dialFragile(t *testing.T, s *sessiontest.Server, f *fragile) (*websocket.Conn, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		f.Conn = c
		return f, err
	}}
	ws, _, err := websocket.Dial(context.Background(), s.URL, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil && f.Conn != nil {
		_ = f.Conn.Close()
	}
	return ws, err
}

// A nomad is a client that loses its connection again and again, and checks
// what it is promised: requests are done once, reliable frames come once, or it
// is told that they do not.
type nomad struct {
	t   *testing.T
	s   *sessiontest.Server
	rnd *rand.Rand

	token           string
	session, secret string
	attempt         uint64
	room            *sessiontest.Replica
	recovered       int
	fresh           int
	gapped          int  // the fresh start that the last gap was allowed for
	mustBegin       bool // the next resume cannot recover

	mu         sync.Mutex
	moved      sync.Cond
	over       bool   // the connection has ended
	acked      uint64 // sent to the server
	received   uint64
	id         uint64
	sent       uint64 // number of the last message published
	unanswered []wire.Message
	peer       uint64 // number of the last message of the other one
	peerSent   uint64 // how many that one has sent
	floor      uint64 // those that were sent before the last fresh start
	window     uint64 // how far the other one may be ahead
}

// limit is up to where the other one may send. n.mu must be held.
func (n *nomad) limit() uint64 { return max(n.peer, n.floor) + n.window }

// travel connects and stays until the connection is cut or done says so. It
// reports whether the server has all of the first message.
func (n *nomad) travel(f *fragile, done func() bool) (asked bool) {
	n.t.Helper()
	ws, err := dialFragile(n.t, n.s, f)
	if err != nil {
		if !f.dead {
			n.t.Fatal(err)
		}
		return false
	}
	ws.SetReadLimit(-1)
	defer ws.CloseNow()
	first := wire.Message{Type: "join", Token: n.token}
	if n.session != "" {
		n.attempt++
		first = wire.Message{Type: "resume", Session: n.session, Secret: n.secret, Received: n.received, Attempt: n.attempt}
	}
	if n.write(ws, first) != nil {
		return false
	}
	if !n.begin(ws) {
		return true
	}

	n.mu.Lock()
	n.over = false
	n.mu.Unlock()
	var writer sync.WaitGroup
	writer.Go(func() { n.publish(ws) })
	for !done() {
		_, text, err := ws.Read(context.Background())
		if err != nil {
			if !errors.Is(err, errCut) && !errors.Is(err, io.EOF) {
				n.t.Errorf("the connection ended by itself: %v", err)
			}
			break
		}
		n.take(text)
	}
	n.mu.Lock()
	n.over = true
	n.moved.Broadcast()
	n.mu.Unlock()
	_ = f.cut()
	writer.Wait()
	return true
}

// begin reads the answer to the first message.
func (n *nomad) begin(ws *websocket.Conn) bool {
	n.t.Helper()
	_, text, err := ws.Read(context.Background())
	if err != nil {
		if code := websocket.CloseStatus(err); code != -1 {
			n.t.Fatalf("refused with %d", code)
		}
		return false
	}
	e := eventOf(n.t, text)
	if e.Type() != "joined" {
		n.t.Fatalf("the first message is %s", e.Text)
	}
	if n.session != "" && e.Str("session") != n.session {
		n.t.Fatalf("got session %s, want %s", e.Str("session"), n.session)
	}
	n.session, n.secret = e.Str("session"), e.Str("secret")
	n.room.Apply(e)
	last := uint64(e.Get("lastRequest").(float64))
	n.mu.Lock()
	defer n.mu.Unlock()
	if last > n.id {
		n.t.Errorf("lastRequest is %d, %d were sent", last, n.id)
	}
	again := n.unanswered[:0]
	for _, m := range n.unanswered {
		if m.ID > last {
			again = append(again, m)
		} else if e.Get("recovered") == true {
			again = append(again, m) // its reply comes; it is not sent again
		}
	}
	n.unanswered = again
	if e.Get("recovered") == true {
		n.recovered++
		if n.mustBegin {
			n.t.Error("recovered, although more was missed than is kept")
		}
	} else {
		n.fresh++
		n.received, n.acked = 0, 0
		n.floor = n.peerSent
		n.moved.Broadcast()
	}
	n.mustBegin = false
	for _, m := range n.unanswered {
		if m.ID > last && n.write(ws, m) != nil {
			return false
		}
	}
	return true
}

func eventOf(t *testing.T, text []byte) sessiontest.Event {
	e := sessiontest.Event{Text: string(text)}
	if err := json.Unmarshal(text, &e.Fields); err != nil {
		t.Fatalf("server sent broken JSON: %v", err)
	}
	return e
}

// take handles one message of the server.
func (n *nomad) take(text []byte) {
	e := eventOf(n.t, text)
	n.room.Apply(e)
	n.mu.Lock()
	defer n.mu.Unlock()
	if sessiontest.Reliable(e) {
		n.received++
	}
	switch e.Type() {
	case "data":
		number := uint64(e.Get("payload").(float64))
		if number != n.peer+1 && (number <= n.peer || n.gapped == n.fresh) {
			n.t.Errorf("message %d came after %d", number, n.peer)
		}
		n.peer, n.gapped = number, n.fresh
		n.moved.Broadcast()
	case "ok":
		id := uint64(e.Get("id").(float64))
		if len(n.unanswered) == 0 || n.unanswered[0].ID != id {
			n.t.Errorf("a reply to %d came, %d requests are unanswered", id, len(n.unanswered))
			return
		}
		n.unanswered = n.unanswered[1:]
		n.moved.Broadcast()
	case "error":
		n.t.Errorf("got %s", e.Text)
	}
}

// publish sends numbered messages and acks until the connection is over.
func (n *nomad) publish(ws *websocket.Conn) {
	for {
		n.mu.Lock()
		for !n.over && len(n.unanswered) >= 8 && n.received < n.acked+16 {
			n.moved.Wait()
		}
		if n.over {
			n.mu.Unlock()
			return
		}
		var m wire.Message
		if n.received >= n.acked+16 {
			n.acked = n.received
			m = wire.Message{Type: "ack", Received: n.received}
		} else {
			n.id++
			n.sent++
			m = wire.Message{Type: "publishData", ID: n.id, Payload: fmt.Append(nil, n.sent), Topic: strings.Repeat("t", n.rnd.IntN(40))}
			n.unanswered = append(n.unanswered, m)
		}
		n.mu.Unlock()
		if n.write(ws, m) != nil {
			return
		}
	}
}

func (n *nomad) write(ws *websocket.Conn, m wire.Message) error {
	b, err := json.Marshal(m)
	if err != nil {
		n.t.Fatal(err)
	}
	return ws.Write(context.Background(), websocket.MessageText, b)
}

// A townsman stays where he is: he sends numbered messages, changes his state,
// and keeps all that he hears.
type townsman struct{ *sessiontest.Client }

// talk sends until the nomad, who must not be too far behind, says stop.
func (p *townsman) talk(n *nomad, stop *bool) {
	for {
		n.mu.Lock()
		for !*stop && n.peerSent >= n.limit() {
			n.moved.Wait()
		}
		if *stop {
			n.mu.Unlock()
			return
		}
		n.peerSent++
		number := n.peerSent
		n.moved.Broadcast()
		n.mu.Unlock()
		p.Send(wire.Message{Type: "publishData", Payload: fmt.Append(nil, number)})
		switch number % 40 {
		case 10:
			p.Send(wire.Message{Type: "updateMetadata", Metadata: ptr(fmt.Sprint(number))})
		case 20:
			p.Send(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{"at": fmt.Append(nil, number)}})
		case 30:
			p.Send(wire.Message{Type: "updateMetadata", Attributes: map[string]string{fmt.Sprint("k", number%7): fmt.Sprint(number % 3)}})
		}
	}
}

// TestResumeCutAnywhere cuts connections at a random byte in either direction.
// Some stay alive for the server until after the resume, some in the middle of
// a message. Nothing may be missing or come twice on either side, unless the
// server says so; then its snapshot must be right.
func TestResumeCutAnywhere(t *testing.T) {
	rnd := newSeed(t)
	cuts, workers := rounds(100), 5
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) { c.DuplicateIdentity = room.Reject }})
	for w := range workers {
		rnd := rand.New(rand.NewPCG(rnd.Uint64(), 0))
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			t.Parallel()
			cutAnywhere(t, s.For(t), rnd, cuts/workers)
		})
	}
}

func cutAnywhere(t *testing.T, s *sessiontest.Server, rnd *rand.Rand, cuts int) {
	name := t.Name()
	client, _ := s.Join(s.Token(name, "townsman", func(c *livekit.Claims) { c.Video.CanUpdateOwnMetadata = ptr(true) }))
	p := &townsman{Client: client}
	n := &nomad{t: t, s: s, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0)), token: s.Token(name, "nomad"), room: &sessiontest.Replica{}, window: 40}
	n.moved.L = &n.mu

	// The first connection lives until the session is known.
	n.travel(&fragile{read: math.MaxInt, write: math.MaxInt}, func() bool { return true })
	stop := false
	var talking sync.WaitGroup
	talking.Go(func() { p.talk(n, &stop) })

	var kept sync.WaitGroup
	storms := 0
	for range cuts {
		f := &fragile{read: math.MaxInt, write: math.MaxInt, keep: rnd.IntN(2) == 0}
		if rnd.IntN(2) == 0 {
			f.read = rnd.IntN(1 << (7 + rnd.IntN(9)))
		} else {
			f.write = rnd.IntN(1 << (8 + rnd.IntN(7)))
		}
		before := n.fresh + n.recovered
		asked := n.travel(f, func() bool { return false })
		switch {
		case f.Conn == nil:
		case f.keep && asked && n.fresh+n.recovered > before:
			kept.Go(func() {
				if code := f.ending(t); code != wire.DuplicateIdentity {
					t.Errorf("a connection that was overtaken ended with %d", code)
				}
			})
		default:
			_ = f.Conn.Close()
		}
		if rnd.IntN(20) == 0 { // more happens than is kept
			storms++
			n.mu.Lock()
			n.window = 700
			n.moved.Broadcast()
			for n.peerSent < n.limit() {
				n.moved.Wait()
			}
			n.window = 40
			n.mu.Unlock()
			p.Sync()
			n.mustBegin = true
		}
	}

	// The last connection lives until both have what was sent last.
	n.mu.Lock()
	stop = true
	n.moved.Broadcast()
	n.mu.Unlock()
	talking.Wait()
	ended := false
	n.travel(&fragile{read: math.MaxInt, write: math.MaxInt}, func() bool {
		if !ended { // it has joined
			p.Send(wire.Message{Type: "publishData", Payload: fmt.Append(nil, n.peerSent+1)})
			ended = true
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.peer == n.peerSent+1 && len(n.unanswered) < 8
	})
	kept.Wait()

	// All of what the nomad sent has arrived, once and in order.
	p.Sync()
	var got uint64
	for _, e := range p.Seen() {
		if e.Type() == "data" {
			if number := uint64(e.Get("payload").(float64)); number != got+1 {
				t.Errorf("message %d of the nomad came after %d", number, got)
			}
			got++
		}
	}
	if got > n.sent || got+8 < n.sent {
		t.Errorf("%d messages of the nomad arrived, it sent %d", got, n.sent)
	}
	for _, problem := range n.room.Problems {
		t.Error(problem)
	}
	r, _ := s.Rooms.Lookup("test", name)
	truth := map[string]*sessiontest.Person{}
	presence := roster(client)
	for _, i := range r.Participants() {
		truth[i.SID] = personOf(i, presence[i.SID])
	}
	truth[n.session].State = "active" // it has just hung up
	compare(t, n.room, truth, 2)
	if n.fresh < storms {
		t.Errorf("%d fresh starts after %d storms", n.fresh, storms)
	}
	t.Logf("%d cuts: %d recovered, %d fresh starts; %d and %d messages", cuts, n.recovered, n.fresh, n.sent, n.peerSent)
}

// resume asks to go on with the session that joined describes.
func resume(s *sessiontest.Server, joined sessiontest.Event, received uint64) *sessiontest.Client {
	s.T.Helper()
	c := s.Dial(nil)
	c.Send(wire.Message{Type: "resume", Session: joined.Str("session"), Secret: joined.Str("secret"), Received: received})
	return c
}

// hangUp cuts the connection and waits until another client was told.
func hangUp(c, other *sessiontest.Client) {
	other.T.Helper()
	_ = c.WS.CloseNow()
	other.ExpectWhere("reconnecting", func(e sessiontest.Event) bool {
		return e.Type() == "participantUpdated" && e.Str("participant.state") == "reconnecting"
	})
}

// say publishes a number.
func say(c *sessiontest.Client, number int) {
	c.T.Helper()
	c.OK(wire.Message{Type: "publishData", Payload: fmt.Append(nil, number)})
}

// heard is the numbers that the client was told so far.
func heard(c *sessiontest.Client) (numbers []int) {
	for _, e := range c.Seen() {
		if e.Type() == "data" {
			numbers = append(numbers, int(e.Get("payload").(float64)))
		}
	}
	return numbers
}

func TestResumeRefused(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	token := s.Token("lobby", "bob")
	bob, joined := s.Join(token)
	room := newAdmin(s, "lobby")

	other, _ := room.room.Participant(target("ada"))
	for name, m := range map[string]wire.Message{
		"unknown session":  {Session: "PA_nobody", Secret: joined.Str("secret")},
		"no session":       {Secret: joined.Str("secret")},
		"no secret":        {Session: joined.Str("session")},
		"short secret":     {Session: joined.Str("session"), Secret: joined.Str("secret")[:20]},
		"somebody else's":  {Session: other.SID, Secret: joined.Str("secret")},
		"long secret":      {Session: joined.Str("session"), Secret: joined.Str("secret") + "AAAA"},
		"not even base 64": {Session: joined.Str("session"), Secret: "§"},
	} {
		m.Type = "resume"
		if code := s.Dial(nil).Refused(m); code != wire.SessionNotFound {
			t.Errorf("%s: got %d, want %d", name, code, wire.SessionNotFound)
		}
	}
	bob.Sync() // none of which touched the session

	// A session that was replaced, and then one that was removed.
	bob2, joined2 := s.Join(token)
	bob.ExpectClose(wire.DuplicateIdentity)
	resume(s, joined, 0).ExpectClose(wire.DuplicateIdentity)
	bob2.Sync()
	if err := room.remove("bob"); err != nil {
		t.Fatal(err)
	}
	bob2.ExpectClose(wire.Removed)
	resume(s, joined2, 0).ExpectClose(wire.Removed)
	wrong := joined2
	wrong.Fields = map[string]any{"session": joined2.Str("session"), "secret": joined.Str("secret")}
	resume(s, wrong, 0).ExpectClose(wire.SessionNotFound)

	// One that left.
	cem, joined3 := s.Join(s.Token("lobby", "cem"))
	leave(cem)
	resume(s, joined3, 0).ExpectClose(wire.Left)
	ada.Sync()
}

func target(identity string) room.Target { return room.Target{Identity: identity} }

// Without a connection, too, a participant can be removed, and learns it when
// it comes back.
func TestResumeAfterRemovalWhileAway(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	bob, joined := s.Join(s.Token("lobby", "bob"))
	hangUp(bob, ada)
	if err := newAdmin(s, "lobby").remove("bob"); err != nil {
		t.Fatal(err)
	}
	ada.Expect("participantLeft")
	resume(s, joined, bob.Received()).ExpectClose(wire.Removed)
}

// A resume fences the old connection, which hears 4507 and is not listened to
// any more.
func TestResumeFencesTheOldConnection(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	bob, joined := s.Join(s.Token("lobby", "bob"))
	say(ada, 1)
	bob.Expect("data")
	bob.Sync()
	again := resume(s, joined, bob.Received())
	if e := again.Expect("joined"); e.Get("recovered") != true {
		t.Fatalf("got %s", e.Text)
	}
	bob.ExpectClose(wire.DuplicateIdentity)
	say(ada, 2)
	again.Expect("data")
	if got := fmt.Sprint(heard(again)); got != "[2]" {
		t.Errorf("the new connection heard %s, want what the old one has not", got)
	}
	for _, e := range ada.Seen() {
		if e.Type() == "participantUpdated" {
			t.Errorf("ada was told %s", e.Text)
		}
	}
}

// Of two resumes the one that was sent later holds, whichever comes first.
func TestResumeOvertaken(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	_, joined := s.Join(s.Token("lobby", "bob"))
	attempt := func(n uint64) *sessiontest.Client {
		c := s.Dial(nil)
		c.Send(wire.Message{Type: "resume", Session: joined.Str("session"), Secret: joined.Str("secret"), Attempt: n})
		return c
	}
	second := attempt(2)
	second.Expect("joined")
	attempt(1).ExpectClose(wire.DuplicateIdentity)
	attempt(2).ExpectClose(wire.DuplicateIdentity)
	second.Sync()
	attempt(3).Expect("joined")
	second.ExpectClose(wire.DuplicateIdentity)
}

func TestResumeKeepsItsSlot(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) { c.MaxParticipants = 2 }})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	bob, joined := s.Join(s.Token("lobby", "bob"))
	hangUp(bob, ada)
	refused(s, s.Token("lobby", "cem"), wire.RoomFull)
	resume(s, joined, bob.Received()).Expect("joined")
}

// A token that has run out does not matter to a session that goes on. Neither
// does one that names a key which is only retired.
func TestResumeWithAnExpiredToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sessiontest.Serve(t, sessiontest.Options{Listener: sessiontest.NewMemory()})
		ada, _ := s.Join(s.Token("lobby", "ada"))
		bob, joined := s.Join(s.Token("lobby", "bob"))
		time.Sleep(3 * time.Hour)
		keys, err := auth.NewKeys([]auth.Key{{ID: "newer", Secret: auth.Secret(sessiontest.Secret), Project: "test", Format: livekit.Format{}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Verifier.SetKeys(keys)
		s.Sessions.KeysChanged()
		hangUp(bob, ada)
		again := resume(s, joined, bob.Received())
		if e := again.Expect("joined"); e.Get("recovered") != true {
			t.Fatalf("got %s", e.Text)
		}
		token := again.Expect("refreshToken").Str("token")
		if g, err := s.Verifier.Verify(token); err != nil || g.KeyID != "newer" {
			t.Errorf("the refreshed token: %v", err)
		}
	})
}

func TestResumeAfterTheKeyWasRevoked(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	bob, joined := s.Join(s.Token("lobby", "bob"))
	hangUp(bob, ada)
	keys, err := auth.NewKeys(nil, []string{sessiontest.Key})
	if err != nil {
		t.Fatal(err)
	}
	s.Verifier.SetKeys(keys)
	resume(s, joined, 0).ExpectClose(wire.TokenRevoked) // the key is gone, the sessions are not ended yet
	s.Sessions.KeysChanged()
	ada.ExpectClose(wire.KeyRevoked)
	resume(s, joined, 0).ExpectClose(wire.KeyRevoked)
}

// What may be lost is not replayed; presence comes as it is now.
func TestResumeReplaysOnlyWhatIsReliable(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	cem, _ := s.Join(s.Token("lobby", "cem"))
	bob, joined := s.Join(s.Token("lobby", "bob"))
	present := func(c *sessiontest.Client, n int) {
		c.OK(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{"at": fmt.Append(nil, n)}})
	}
	present(ada, 1)
	present(cem, 1)
	bob.Expect("presence")
	bob.Expect("presence")
	hangUp(bob, ada)
	present(ada, 2)
	present(ada, 3)
	cem.SendText(`{"type":"updatePresence","full":true,"presence":{}}`)
	cem.Sync()
	ada.OK(wire.Message{Type: "publishData", Payload: json.RawMessage("1"), Reliable: ptr(false)})
	say(ada, 2)
	again := resume(s, joined, bob.Received())
	e := again.Expect("joined")
	if e.Get("recovered") != true || e.Get("participants") != nil {
		t.Fatalf("got %s", e.Text)
	}
	if got := fmt.Sprint(e.Get("presence")); !strings.HasPrefix(got, "map[PA_") || !strings.HasSuffix(got, ":map[at:3]]") {
		t.Errorf("presence is %s, want ada's alone", got)
	}
	again.Sync()
	if got := fmt.Sprint(heard(again)); got != "[2]" {
		t.Errorf("replayed was %s, want the reliable one", got)
	}
	for _, e := range again.Seen() {
		if e.Type() == "presence" {
			t.Errorf("got %s", e.Text)
		}
	}
}

// Past the bounds of what is kept, the client is told so and given all there is.
func TestResumeBeyondWhatIsKept(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) {
		c.Outbox = room.DefaultOutboxLimits
		c.Outbox.ReplayFrames = 10
	}})
	ada, _ := s.Join(s.Token("lobby", "ada", func(c *livekit.Claims) { c.Video.CanUpdateOwnMetadata = ptr(true) }))
	bob, joined := s.Join(s.Token("lobby", "bob"))
	bob.Sync()
	hangUp(bob, ada)
	for i := range 11 {
		say(ada, i)
	}
	ada.OK(wire.Message{Type: "updateMetadata", Metadata: ptr("new")})
	track := ada.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"}).Str("track.sid")
	again := resume(s, joined, bob.Received())
	e := again.Expect("joined")
	if e.Get("recovered") != false {
		t.Fatalf("got %s", e.Text)
	}
	people := e.Get("participants").([]any)
	if p := (sessiontest.Event{Fields: people[0].(map[string]any)}); len(people) != 1 || p.Str("metadata") != "new" {
		t.Errorf("the snapshot is %s", e.Text)
	}
	if e := again.Expect("trackSubscribed"); e.Str("track.sid") != track {
		t.Errorf("got %s", e.Text)
	}
	if got := len(heard(again)); got != 0 {
		t.Errorf("%d messages were replayed", got)
	}

	// The count begins anew, and the secret is another one. The old one, with
	// any count, is never taken for the new.
	again.Sync()
	if e.Str("secret") == joined.Str("secret") {
		t.Error("the secret is the same")
	}
	for received := range again.Received() + 3 {
		r := resume(s, joined, received)
		if e := r.Expect("joined"); e.Get("recovered") != false {
			t.Errorf("with the secret of the count before, and %d: %s", received, e.Text)
		}
		r.Sync()
	}
}

// A client whose connection is cut before it has read that it was not
// recovered comes back with the count of before. Whatever has happened since,
// that must not be taken for a count of now.
func TestResumeTwiceWithoutReadingTheAnswer(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) {
		c.Outbox = room.DefaultOutboxLimits
		c.Outbox.ReplayFrames = 10
	}})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	bob, joined := s.Join(s.Token("lobby", "bob"))
	bob.Sync()
	received := bob.Received() // a few
	hangUp(bob, ada)
	for i := range 11 {
		say(ada, i)
	}
	unread := resume(s, joined, received) // not recovered, but bob will not know
	unread.Expect("joined")
	for i := range 8 {
		say(ada, 100+i)
	}
	unread.Sync()
	again := resume(s, joined, received)
	if e := again.Expect("joined"); e.Get("recovered") != false {
		t.Fatalf("got %s: frames of another count were taken for those that were missed", e.Text)
	}
}

// What a client has need not be kept, acknowledged or not.
func TestResumeCountsWhatTheClientHas(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) {
		c.Outbox = room.DefaultOutboxLimits
		c.Outbox.ReplayFrames = 10
	}})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	for i, test := range []struct {
		ack       bool
		away      int
		recovered bool
	}{{true, 9, true}, {false, 9, true}, {true, 12, false}, {false, 12, false}} {
		bob, joined := s.Join(s.Token("lobby", fmt.Sprint("bob", i)))
		for n := range 9 {
			say(ada, n)
		}
		bob.Sync()
		if test.ack {
			bob.Send(wire.Message{Type: "ack", Received: bob.Received()})
			bob.Sync()
		}
		hangUp(bob, ada)
		for n := range test.away {
			say(ada, n)
		}
		again := resume(s, joined, bob.Received())
		if e := again.Expect("joined"); e.Get("recovered") != test.recovered {
			t.Errorf("%+v: got %s", test, e.Text)
		}
		leave(again)
		ada.Expect("participantLeft")
	}
}

// A count that cannot be is no reason to believe it.
func TestBogusCounts(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	bob, joined := s.Join(s.Token("lobby", "bob"))
	for i := range 20 {
		say(ada, i)
	}
	bob.Sync()
	count := bob.Received()
	for _, n := range []uint64{count + 1, count + 1000, math.MaxUint64} {
		bob.Send(wire.Message{Type: "ack", Received: n})
		if e := bob.Expect("error"); e.Str("code") != "invalid_request" {
			t.Errorf("ack of %d: got %s", n, e.Text)
		}
		bob.Sync()
		count++ // the error
	}
	bob.Send(wire.Message{Type: "ack", Received: 5})
	bob.Send(wire.Message{Type: "ack", Received: 3}) // an old one, late
	bob.Sync()
	for _, test := range []struct {
		received  uint64
		recovered bool
	}{{math.MaxUint64, false}, {1 << 40, false}} {
		hangUp(bob, ada)
		bob = resume(s, joined, test.received)
		e := bob.Expect("joined")
		if e.Get("recovered") != test.recovered {
			t.Errorf("resuming with %d: got %s", test.received, e.Text)
		}
		joined = e
		bob.Sync()
	}
	say(ada, 20)
	bob.Expect("data")
	bob.Sync()
	count = bob.Received()
	bob.Send(wire.Message{Type: "ack", Received: 2})
	bob.Sync()
	hangUp(bob, ada)
	for _, test := range []struct {
		received  uint64
		recovered bool
	}{{1, false}, {0, false}} { // less than was acknowledged
		bob = resume(s, joined, test.received)
		e := bob.Expect("joined")
		if e.Get("recovered") != test.recovered {
			t.Errorf("resuming with %d: got %s", test.received, e.Text)
		}
		bob.Sync()
		hangUp(bob, ada)
	}
	_ = count
}

// The beginning of a message is no message, also when the connection ends there.
func TestCutWithinAMessage(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	for i, cut := range []func(whole []byte) []byte{
		func(whole []byte) []byte { return whole[:len(whole)-4] },
		func(whole []byte) []byte { return whole[:6] },              // the header alone
		func(whole []byte) []byte { whole[0] = 0x02; return whole }, // the first fragment alone
	} {
		bob := s.JoinRaw(s.Token("lobby", fmt.Sprint("bob", i)))
		bob.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"publishTrack","id":1,"kind":"audio","source":"microphone"}`)))
		handle := handleOf(eventOf(t, []byte(bob.Reply("1"))))
		whole := sessiontest.MaskedFrame(0x82, append(wire.FrameHeader{Handle: handle, Last: true}.Append(nil), "all of it"...))
		bob.Send(whole)
		bob.Send(cut(whole))
		_ = bob.Conn.Close()
		ada.ExpectWhere("reconnecting", func(e sessiontest.Event) bool { return e.Str("participant.state") == "reconnecting" })
		ada.Sync()
		frames := 0
		for _, e := range ada.Seen() {
			if e.Binary != nil {
				frames++
			}
		}
		if frames != i+1 {
			t.Errorf("%d frames were passed on, want the whole ones, %d", frames, i+1)
		}
	}
}
