package yardstick

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"usher/session/wire"
)

const (
	sendBuffer   = 256 // messages that wait for a client at most
	writeTimeout = 5 * time.Second
	partingTime  = time.Second // that clients have to hear of the end
)

// naiveServer is the HTTP side: a handler for each connection, which reads, and
// a goroutine beside it, which writes.
type naiveServer struct {
	hub  *naiveHub
	base context.Context // of all connections

	mu      sync.Mutex // guards the following field and what is added to handlers
	ended   bool
	running sync.WaitGroup // handlers
}

func serveNaive(ctx context.Context, addr string, d *door, ready func(string)) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("yardstick: %w", err)
	}
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	s := &naiveServer{hub: &naiveHub{door: d, rooms: make(map[string]*naiveRoom)}, base: base}
	mux := http.NewServeMux()
	mux.Handle("/session", s)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: joinTime, MaxHeaderBytes: maxHeader}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }() // ends with server.Close
	ready(l.Addr().String())
	select {
	case err = <-served:
	case <-ctx.Done():
		_ = server.Close() // connections that were upgraded are not its any more
		err = <-served
	}
	s.stop(cut)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// stop ends all connections and waits for their handlers.
func (s *naiveServer) stop(cut context.CancelFunc) {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.hub.shutDown()
	late := time.AfterFunc(partingTime, cut)
	s.running.Wait()
	late.Stop()
}

// begin counts a handler, unless the server has ended.
func (s *naiveServer) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.running.Add(1)
	}
	return !s.ended
}

func (s *naiveServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		http.Error(w, "the server stops", http.StatusServiceUnavailable)
		return
	}
	defer s.running.Done()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{wire.Subprotocol}, InsecureSkipVerify: true, // every origin, as usher serve --dev
	})
	if err != nil {
		return // Accept has answered
	}
	defer ws.CloseNow()
	ws.SetReadLimit(maxMessage)
	var ours, any bool
	token := bearer(r.Header.Get("Authorization"))
	for _, offered := range r.Header.Values("Sec-WebSocket-Protocol") {
		o, a, t := offer(offered)
		ours, any = ours || o, any || a
		if token == "" {
			token = t
		}
	}
	if any && !ours {
		refuseNaive(ws, wire.ProtocolError)
		return
	}
	p, refusal, err := s.admit(ws, token)
	switch {
	case err != nil: // the library has ended the connection, or what comes is no WebSocket
	case refusal != 0:
		refuseNaive(ws, refusal)
	default:
		s.serve(ws, p)
	}
}

func refuseNaive(ws *websocket.Conn, code wire.CloseCode) {
	_ = ws.Close(websocket.StatusCode(code), code.Reason())
}

// admit reads the first message, and returns who comes or why they may not. Its
// error is that of reading.
func (s *naiveServer) admit(ws *websocket.Conn, token string) (p person, refusal wire.CloseCode, err error) {
	ctx, cancel := context.WithTimeout(s.base, joinTime)
	defer cancel()
	typ, message, err := ws.Read(ctx)
	if err != nil {
		return p, 0, err
	}
	var q naiveRequest
	if typ != websocket.MessageText || json.Unmarshal(message, &q) != nil {
		return p, wire.ProtocolError, nil
	}
	switch q.Type {
	case "join":
	case "resume":
		return p, wire.SessionNotFound, nil
	default:
		return p, wire.ProtocolError, nil
	}
	if q.Token != "" {
		token = q.Token
	}
	p, refusal = s.hub.door.admit(token)
	return p, refusal, nil
}

// serve is a connection that has joined. When it returns its writer has ended.
func (s *naiveServer) serve(ws *websocket.Conn, p person) {
	ctx, cancel := context.WithCancel(s.base)
	c := &naiveClient{ws: ws, send: make(chan naiveOut, sendBuffer), cancel: cancel}
	var writer sync.WaitGroup
	writer.Go(func() { c.write(ctx) })
	defer writer.Wait()
	defer cancel()
	s.hub.join(c, p)
	reason := timedOut
	if websocket.CloseStatus(s.read(ctx, c)) != -1 {
		reason = leftByItself
	}
	s.hub.leave(c, reason)
}

// write writes what is sent to c until ctx ends.
func (c *naiveClient) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-c.send:
			if m.code != 0 {
				refuseNaive(c.ws, m.code)
				return
			}
			timely, done := context.WithTimeout(ctx, writeTimeout)
			err := c.ws.Write(timely, m.typ, m.data)
			done()
			if err != nil {
				c.cancel()
				return
			}
		}
	}
}

// read handles messages until the connection ends.
func (s *naiveServer) read(ctx context.Context, c *naiveClient) error {
	for {
		typ, message, err := c.ws.Read(ctx)
		if err != nil {
			return err
		}
		if typ == websocket.MessageBinary {
			h, ok := wire.ParseFrameHeader(message)
			if !ok || len(message) > wire.FrameHeaderBytes+wire.MaxFragmentBytes {
				c.fail(0, "a binary message is a track frame: a header of 15 bytes, and at most 16 KiB")
				continue
			}
			s.hub.passFrame(c, h.Handle, message)
			continue
		}
		var q naiveRequest
		if err := json.Unmarshal(message, &q); err != nil {
			c.fail(q.ID, "the message is not valid JSON")
			continue
		}
		s.handle(c, &q)
	}
}

func (s *naiveServer) handle(c *naiveClient, q *naiveRequest) {
	switch q.Type {
	case "publishData":
		switch {
		case q.Payload == nil:
			c.fail(q.ID, "payload is missing")
		case q.Encoding != "" && q.Encoding != "base64":
			c.fail(q.ID, `encoding is "base64" or absent`)
		case q.DestinationIdentities != nil || q.DestinationSIDs != nil:
			c.fail(q.ID, "a yardstick knows no destinations")
		default:
			s.hub.publishData(c, q)
		}
	case "publishTrack":
		if problem := trackProblem(q.Kind, q.Source); problem != "" {
			c.fail(q.ID, problem)
			return
		}
		s.hub.publishTrack(c, q)
	case "ping":
		c.tell(replyMessage{Type: "pong", ID: q.ID, Time: time.Now().UnixMilli()})
	case "leave":
		s.hub.leave(c, leftByItself)
		c.put(naiveOut{code: wire.Left}) // after what it has been sent
	case "ack":
	case "":
		c.fail(q.ID, "type is missing")
	case "join", "resume":
		c.fail(q.ID, q.Type+" comes first, and once")
	default:
		if q.ID != 0 {
			c.tell(replyMessage{Type: "ok", ID: q.ID})
		}
	}
}

func (c *naiveClient) fail(id uint64, problem string) {
	c.tell(replyMessage{Type: "error", ID: id, Code: "invalid_request", Message: problem})
}
