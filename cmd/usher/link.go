package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"usher/session/wire"
)

// A link is one session in a room, over as many connections as it takes. It
// joins, acknowledges, resumes, and leaves; what is said in between is the
// business of its face. Everything of it and of the face runs on the goroutine
// of run.
type link struct {
	// Static.
	url       string
	publicKey string // in place of a token
	room      string // these two count without a token only
	name      string
	muteAll   bool // subscribe to nothing by itself
	comeBack  bool // resume or join again when the close code says so
	face      face
	lines     <-chan []byte // input; closed at its end

	// Owned by run.
	token           string // the newest one
	session, secret string // of the session to resume; empty: join
	received, acked uint64 // reliable frames, since the last full snapshot
	attempt         uint64 // resumes sent
	waiting         []request
	unanswered      []request // sent, in order of their ids
	leaving         bool
	joinedOnce      bool
	tries           int           // since the last joined
	notBefore       time.Time     // when the server asked to be joined again
	patience        time.Duration // silence after which the connection is given up
}

// A face shows a session to whoever is in front of it.
type face interface {
	// message and frame show what the server sent.
	message(m message)
	frame(b []byte)
	// line turns a line of input into what to send.
	line(text []byte) []request
	// endOfInput says whether to leave now that nothing can be typed any more.
	endOfInput() (leave bool)
	// notice tells what happens to the connection.
	notice(format string, args ...any)
	// closed tells how it all ended.
	closed(end closing)
}

// A request is something to send.
type request struct {
	id     uint64 // 0: it has none
	binary bool
	leave  bool
	text   []byte
}

// A message is one of the server's, with the fields a link needs.
type message struct {
	text []byte // as it came

	Type           string `json:"type"`
	ID             uint64 `json:"id"`
	Session        string `json:"session"`
	Secret         string `json:"secret"`
	Recovered      bool   `json:"recovered"`
	LastRequest    uint64 `json:"lastRequest"`
	PingIntervalMs int64  `json:"pingIntervalMs"`
	Token          string `json:"token"`
	AfterMs        int64  `json:"afterMs"`
	Reliable       *bool  `json:"reliable"`
}

// reliable reports whether the message is one of those that the resume
// position counts.
func (m *message) reliable() bool {
	switch m.Type {
	case "joined", "waiting", "pong", "presence", "sessionData", "reconnect":
		return false
	case "data":
		return m.Reliable == nil || *m.Reliable
	}
	return true
}

// A closing is how a session, or one of its connections, ended.
type closing struct {
	Code      wire.CloseCode `json:"code"`
	Reason    string         `json:"reason"`
	Reconnect bool           `json:"reconnect"`

	err error // why there was no connection at all
}

// noCode stands for the end of a connection without a close code.
const noCode = wire.CloseCode(websocket.StatusAbnormalClosure)

// cut is such an end.
func cut(err error) closing {
	return closing{Code: noCode, Reconnect: true, err: err}
}

const (
	dialTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
	leaveTimeout = 5 * time.Second // for the answer to a leave

	// waitingPatience is the silence after which a connection is given up whose server
	// has not said how often it pings: somebody waits to be let in.
	waitingPatience = 5 * time.Minute
	ackEvery        = 32
	ackInterval     = 5 * time.Second
	maxWaiting      = 64 // requests not yet written; above it input is not read
	firstDelay      = 250 * time.Millisecond
	maxDelay        = 10 * time.Second
)

// run keeps the session until it ends. When ctx does, it leaves. clean says
// that it ended by its own wish.
func (l *link) run(ctx context.Context) (end closing, clean bool) {
	for {
		end = l.connect(ctx)
		if l.leaving && (end.Code == wire.Left || end.Code == noCode) || ctx.Err() != nil && end.Code == noCode {
			return end, true
		}
		if !l.comeBack || !end.Reconnect || !l.joinedOnce && end.err != nil {
			return end, false
		}
		if end.Code == wire.SessionNotFound {
			l.session, l.secret = "", ""
		}
		delay := l.delay()
		l.face.notice("the connection ended (%s); coming back in %v", end.words(), delay.Round(10*time.Millisecond))
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return end, true
		}
	}
}

// delay is how long to wait before the next connection: longer each time, and
// at random, so that a server that comes back is not met by all at once.
func (l *link) delay() time.Duration {
	d := min(maxDelay, firstDelay<<min(l.tries, 10))
	l.tries++
	d = d/2 + rand.N(d)
	return max(d, time.Until(l.notBefore))
}

// connect opens a connection and stays with it until it ends.
func (l *link) connect(ctx context.Context) closing {
	heard := make(chan struct{}, 1)
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	c, res, err := websocket.Dial(dialing, l.url, &websocket.DialOptions{
		Subprotocols: []string{wire.Subprotocol},
		OnPingReceived: func(context.Context, []byte) bool {
			select {
			case heard <- struct{}{}:
			default:
			}
			return true
		},
	})
	cancel()
	if err != nil {
		return cut(dialError(l.url, res, err))
	}
	c.SetReadLimit(-1)

	// Ending ctx must not cut the connection: there is a leave to say. Both
	// goroutines end when the connection does, at the latest with this function.
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := pipe{frames: make(chan inbound), writes: make(chan request), heard: heard}
	var wg sync.WaitGroup
	wg.Go(func() { p.read(alive, c) })
	wg.Go(func() { p.write(alive, c) })
	defer wg.Wait()
	defer func() {
		_ = c.CloseNow()
		stop()
	}()
	return l.converse(ctx, &p)
}

// A pipe connects the loop of converse with the goroutines that block.
type pipe struct {
	frames chan inbound
	writes chan request
	heard  chan struct{} // pings
}

type inbound struct {
	kind websocket.MessageType
	text []byte
	err  error
}

func (p *pipe) read(ctx context.Context, c *websocket.Conn) {
	for {
		kind, text, err := c.Read(ctx)
		select {
		case p.frames <- inbound{kind, text, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (p *pipe) write(ctx context.Context, c *websocket.Conn) {
	for {
		select {
		case r := <-p.writes:
			kind := websocket.MessageText
			if r.binary {
				kind = websocket.MessageBinary
			}
			timed, cancel := context.WithTimeout(ctx, writeTimeout)
			err := c.Write(timed, kind, r.text)
			cancel()
			if err != nil {
				_ = c.CloseNow() // the reader tells why
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// converse joins or resumes, and passes messages both ways until the
// connection ends.
func (l *link) converse(ctx context.Context, p *pipe) closing {
	first := l.first()
	joined := false
	l.patience = dialTimeout
	silence := time.NewTimer(l.patience)
	defer silence.Stop()
	acks := time.NewTicker(ackInterval)
	defer acks.Stop()
	interrupted := ctx.Done()
	var gaveUp <-chan time.Time // runs once leaving
	for {
		// What is nil blocks: before the answer nothing else is sent, and
		// nothing is taken from the input that could not be sent soon.
		var (
			writes chan<- request
			head   request
			lines  <-chan []byte
		)
		switch {
		case first != nil:
			writes, head = p.writes, *first
		case (joined || interrupted == nil) && len(l.waiting) > 0:
			writes, head = p.writes, l.waiting[0]
		}
		if joined && !l.leaving && len(l.waiting) < maxWaiting {
			lines = l.lines
		}

		select {
		case writes <- head:
			if first != nil {
				first = nil
				break
			}
			l.waiting = l.waiting[1:]
			if head.id > 0 {
				l.unanswered = append(l.unanswered, head)
			}
			if head.leave {
				l.leaving = true
				gaveUp = time.After(leaveTimeout)
			}

		case in := <-p.frames:
			if in.err != nil {
				return closed(in.err)
			}
			silence.Reset(l.patience)
			if in.kind == websocket.MessageBinary {
				l.face.frame(in.text)
				break
			}
			m := message{text: in.text}
			if err := json.Unmarshal(in.text, &m); err != nil {
				l.face.notice("the server sent something that is not understood: %v", err)
				break
			}
			switch m.Type {
			case "joined":
				joined = true
			case "waiting": // for somebody's answer
				l.patience = waitingPatience
				silence.Reset(l.patience)
			}
			l.take(m)

		case <-p.heard:
			silence.Reset(l.patience)

		case line, more := <-lines:
			if more {
				l.waiting = append(l.waiting, l.face.line(line)...)
				break
			}
			l.lines = nil
			if l.face.endOfInput() {
				l.leave()
			}

		case <-acks.C:
			l.ack(1)

		case <-silence.C:
			return cut(errors.New("nothing was heard from the server for too long"))

		case <-interrupted:
			if first != nil {
				return cut(ctx.Err()) // nothing was joined, so there is nothing to leave
			}
			interrupted = nil
			l.leave()

		case <-gaveUp:
			return cut(errors.New("the server did not answer the leave"))
		}
	}
}

// first is the message that opens a connection.
func (l *link) first() *request {
	m := wire.Message{Type: "join", Token: l.token, PublicKey: l.publicKey, Room: l.room}
	if l.name != "" {
		m.Name = &l.name
	}
	if l.muteAll {
		m.AutoSubscribe = new(bool)
	}
	if l.session != "" {
		l.attempt++
		m = wire.Message{Type: "resume", Session: l.session, Secret: l.secret, Received: l.received, Attempt: l.attempt}
		l.acked = l.received
	}
	return &request{text: encode(m)}
}

// take notes what a message means for the session and shows it.
func (l *link) take(m message) {
	if m.reliable() {
		l.received++
		l.ack(ackEvery)
	}
	switch m.Type {
	case "joined":
		l.rejoined(m)
	case "moved":
		l.moved(m)
	case "ok", "error", "pong":
		// Replies come in the order of the requests.
		for len(l.unanswered) > 0 && l.unanswered[0].id <= m.ID {
			l.unanswered = l.unanswered[1:]
		}
	case "refreshToken":
		l.token = m.Token
	case "reconnect":
		l.notBefore = time.Now().Add(time.Duration(m.AfterMs) * time.Millisecond)
	}
	l.face.message(m)
}

// rejoined sends again what the server has not handled, and nothing that it has.
func (l *link) rejoined(m message) {
	l.joinedOnce, l.tries, l.notBefore = true, 0, time.Time{}
	if m.PingIntervalMs > 0 {
		l.patience = 2*time.Duration(m.PingIntervalMs)*time.Millisecond + ackInterval
	}
	same := m.Session == l.session
	l.session, l.secret = m.Session, m.Secret
	if !m.Recovered {
		l.received, l.acked = 0, 0
	}
	sent := l.unanswered
	l.unanswered = nil
	lost := 0
	var again []request
	for _, r := range sent {
		switch {
		case same && r.id > m.LastRequest:
			again = append(again, r)
		case m.Recovered:
			l.unanswered = append(l.unanswered, r) // its reply follows
		default:
			lost++
		}
	}
	l.waiting = append(again, l.waiting...)
	if lost > 0 {
		l.face.notice("no answer will come to the last %d requests; they may or may not have been done", lost)
	}
}

// moved goes on in another room. What was not sent yet is for that one, so the
// receipt goes first: until the server has it, it refuses every request.
func (l *link) moved(m message) {
	l.session, l.secret = m.Session, m.Secret
	if m.Token != "" { // else one follows
		l.token = m.Token
	}
	if !l.leaving {
		l.acked = l.received
		l.waiting = append([]request{l.receipt()}, l.waiting...)
	}
}

// ack tells the server how much has arrived, when that is at least n more than
// it was told.
func (l *link) ack(n uint64) {
	if l.session == "" || l.received < l.acked+n || l.leaving {
		return
	}
	l.acked = l.received
	l.waiting = append(l.waiting, l.receipt())
}

func (l *link) receipt() request {
	return request{text: encode(wire.Message{Type: "ack", Received: l.received})}
}

// leave asks the server to end the session, after what is waiting to be sent.
func (l *link) leave() {
	if !slices.ContainsFunc(l.waiting, func(r request) bool { return r.leave }) {
		l.waiting = append(l.waiting, leaveRequest())
	}
}

func leaveRequest() request {
	return request{leave: true, text: encode(wire.Message{Type: "leave"})}
}

// closed reads how a connection ended from its read error.
func closed(err error) closing {
	var c websocket.CloseError
	if errors.As(err, &c) {
		code := wire.CloseCode(c.Code)
		return closing{Code: code, Reason: c.Reason, Reconnect: code.Reconnect()}
	}
	return cut(errors.New("the connection was cut"))
}

// dialError says in words why there is no connection.
func dialError(url string, res *http.Response, err error) error {
	if res != nil {
		body, _ := io.ReadAll(res.Body) // the library keeps a little of it
		return &noWebSocketError{fmt.Sprintf("%s answers %q, which is no WebSocket", url, res.Status), string(body)}
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner // the outer ones only repeat the address
	}
	return fmt.Errorf("cannot connect to %s: %w", url, err)
}

// encode returns v as JSON. Only types that can be encoded are given.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
