package sessiontest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"usher/session/wire"
)

// Pipe is a listener whose connections are in memory.
type Pipe struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

// NewPipe returns a listener that nobody has dialled.
func NewPipe() *Pipe { return &Pipe{conns: make(chan net.Conn), done: make(chan struct{})} }

// Accept implements net.Listener.
func (p *Pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *Pipe) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr implements net.Listener.
func (p *Pipe) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// Dial connects.
func (p *Pipe) Dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// A Raw is a connection past its handshake on which any bytes can be sent.
type Raw struct {
	s    *Server
	Conn net.Conn
	br   *bufio.Reader
}

// DialRaw connects without joining, with more header lines if wanted. A
// Sec-WebSocket-Protocol line replaces that of the native protocol.
func (s *Server) DialRaw(headers ...string) *Raw {
	s.T.Helper()
	return s.RawOver(s.dialConn(), headers...)
}

// dialConn connects and says nothing.
func (s *Server) dialConn() net.Conn {
	s.T.Helper()
	var c net.Conn
	var err error
	switch l := s.HTTP.Listener.(type) {
	case *Pipe:
		c, err = l.Dial()
	case *Memory:
		c, err = l.Dial(context.Background(), "", "")
	default:
		var d net.Dialer
		c, err = d.DialContext(context.Background(), "tcp", l.Addr().String())
	}
	if err != nil {
		s.T.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// RawLiveblocks joins as Liveblocks' client does, on a connection on which any
// bytes can be sent. ROOM_STATE is still to be read.
func (s *Server) RawLiveblocks(room, token string) *Raw {
	s.T.Helper()
	address := s.LiveblocksURL("/v8", room, LiveblocksVersion, url.Values{"tok": {token}})
	return s.rawAt(address[strings.Index(address, "/v8"):], s.dialConn())
}

// RawOver is DialRaw over a connection that has been dialled.
func (s *Server) RawOver(c net.Conn, headers ...string) *Raw {
	s.T.Helper()
	return s.rawAt("/session", c, headers...)
}

// rawAt asks for a WebSocket at a path, with its query.
func (s *Server) rawAt(target string, c net.Conn, headers ...string) *Raw {
	s.T.Helper()
	s.T.Cleanup(func() { _ = c.Close() })
	protocol := "Sec-WebSocket-Protocol: " + wire.Subprotocol + "\r\n"
	if target != "/session" {
		protocol = ""
	}
	for _, h := range headers {
		if strings.HasPrefix(h, "Sec-WebSocket-Protocol:") {
			protocol = ""
		}
		protocol += h + "\r\n"
	}
	if _, err := io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: "+s.HTTP.Listener.Addr().String()+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+protocol+"\r\n"); err != nil {
		s.T.Fatal(err)
	}
	r := &Raw{s, c, bufio.NewReader(c)}
	resp, err := http.ReadResponse(r.br, nil)
	if err != nil {
		s.T.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		s.T.Fatalf("the handshake was answered with %s", resp.Status)
	}
	return r
}

// JoinRaw is DialRaw with a join.
func (s *Server) JoinRaw(token string) *Raw {
	s.T.Helper()
	r := s.DialRaw()
	r.Send(MaskedFrame(0x81, []byte(`{"type":"join","token":"`+token+`"}`)))
	if _, payload, err := r.Next(); err != nil || !strings.HasPrefix(string(payload), `{"type":"joined"`) {
		s.T.Fatalf("joining: got %q, %v", payload, err)
	}
	return r
}

// KnockRaw is DialRaw with a join without a token, in a room where one waits.
func (s *Server) KnockRaw(room, name string) *Raw {
	s.T.Helper()
	r := s.DialRaw()
	r.Send(MaskedFrame(0x81, fmt.Appendf(nil, `{"type":"join","room":%q,"name":%q}`, room, name)))
	if _, payload, err := r.Next(); err != nil || !strings.HasPrefix(string(payload), `{"type":"waiting"`) {
		s.T.Fatalf("waiting: got %q, %v", payload, err)
	}
	return r
}

// MaskedFrame is a client's frame with that first byte: fin bit and opcode.
func MaskedFrame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

// Send sends bytes as they are.
func (r *Raw) Send(b []byte) {
	r.s.T.Helper()
	if _, err := r.Conn.Write(b); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		r.s.T.Logf("sending: %v", err) // the server may have had enough
	}
}

// Next reads a frame of the server, which does not fragment.
func (r *Raw) Next() (first byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r.br, head[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(r.br, b[:])
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(r.br, b[:])
		n = binary.BigEndian.Uint64(b[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r.br, payload)
	return head[0], payload, err
}

// Closed reads until the end and returns the close code, 1006 for none.
func (r *Raw) Closed() (code wire.CloseCode, reason string) {
	for {
		first, payload, err := r.Next()
		if err != nil {
			return 1006, err.Error()
		}
		if first == 0x88 && len(payload) >= 2 {
			return wire.CloseCode(binary.BigEndian.Uint16(payload)), string(payload[2:])
		}
	}
}

// Reply reads until the reply with that id.
func (r *Raw) Reply(id string) string {
	r.s.T.Helper()
	for {
		first, payload, err := r.Next()
		if err != nil || first == 0x88 {
			r.s.T.Fatalf("waiting for the reply to %s: got %q, %v", id, payload, err)
		}
		if strings.Contains(string(payload), `"id":`+id+`,`) || strings.Contains(string(payload), `"id":`+id+`}`) {
			return string(payload)
		}
	}
}
