package sessiontest

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/coder/websocket"

	"usher/session/wire"
)

// A Tap keeps every byte that a client read from its connection: the answer to
// the handshake, text, binary and control frames. The server neither masks nor
// compresses, so what it said stands there as it was said.
type Tap struct {
	mu   sync.Mutex
	read bytes.Buffer
}

// Bytes returns what was read so far.
func (t *Tap) Bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.read.Bytes())
}

type tapped struct {
	net.Conn
	tap *Tap
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	c.tap.read.Write(b[:n])
	return n, err
}

// DialTapped connects without joining, and keeps every byte that comes.
func (s *Server) DialTapped() (*Client, *Tap) {
	s.T.Helper()
	tap, transport := newTap()
	return s.Dial(&websocket.DialOptions{
		Subprotocols: []string{wire.Subprotocol},
		HTTPClient:   &http.Client{Transport: transport},
	}), tap
}

// newTap returns a tap, and what dials the connection that it is on.
func newTap() (*Tap, *http.Transport) {
	tap := new(Tap)
	return tap, &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &tapped{c, tap}, nil
	}}
}

// JoinTapped is [Server.Join] with a [Server.DialTapped] connection.
func (s *Server) JoinTapped(token string) (*Client, Event, *Tap) {
	s.T.Helper()
	c, tap := s.DialTapped()
	c.Send(wire.Message{Type: "join", Token: token})
	return c, c.Expect("joined"), tap
}
