package session

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"usher/room"
	"usher/session/wire"
)

const (
	// readBufferBytes is what one read of a connection with a goroutine of its
	// own takes at most. A run of messages in it is handled before anything is
	// written.
	readBufferBytes = 4 << 10
	// headBufferBytes is what the library reads through: enough for the header
	// of a frame.
	headBufferBytes = 16
	// writeBufferBytes holds the largest control frame, so that the library
	// hands each to the connection in one piece.
	writeBufferBytes = 256
	// farewellTime is how long a connection that ends may take to write its
	// close frame and hear the peer's.
	farewellTime = 5 * time.Second
	// hurryTime is what a TLS connection that is to end gets for the write it
	// is at, of at most writeSomeBytes.
	hurryTime      = time.Second
	writeSomeBytes = 16 << 10
)

// WebSocket opcodes with the fin bit.
const (
	opText   = 0x81
	opBinary = 0x82
	opClose  = 0x88
	opPing   = 0x89
	opPong   = 0x8a
	finBit   = 0x80
)

// conn is one connection beneath the WebSocket library. The library reads from
// it and writes its control frames to it; all data frames are made here and
// written by the session's outbox. It implements [room.Conn].
//
// It ends in one way: a farewell writes the close frame, after which nothing is
// written; the read loop hears the peer's close, or the deadline passes; then
// the read loop closes the socket. Once a session has joined, the farewell is
// the outbox's alone to say: it knows of a half-written frame.
type conn struct {
	net.Conn              // static
	peer     Peer         // static
	socket   net.Conn     // static; beneath TLS, else the same
	polled   *socket      // static; nil: the read loop has a goroutine, which waits in Read
	heard    atomic.Int64 // when the peer was last heard, Unix ns

	// Owned by the read loop.
	input
	control func(frame []byte) // takes the library's control frames once a session has joined

	parted chan struct{} // closed when the farewell is over: written, or in vain

	mu        sync.Mutex     // guards the following fields
	closing   bool           // the close frame is written or on its way
	peerClose []byte         // the library's own close frame: an echo, or a protocol error
	wish      wire.CloseCode // what the read loop's end calls for
	words     string         // more about wish
	code      wire.CloseCode // of the farewell
}

// hijacker hands the library our connection in place of the server's.
type hijacker struct {
	http.ResponseWriter
	server *Server
	conn   *conn
}

// Hijack implements http.Hijacker. Bytes that the server has read already are kept.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	c := &conn{Conn: nc, socket: nc, parted: make(chan struct{})}
	if brw != nil {
		if early, _ := brw.Reader.Peek(brw.Reader.Buffered()); len(early) > 0 {
			c.pending = append([]byte(nil), early...)
		}
	}
	c.heard.Store(time.Now().UnixNano())
	if secure, ok := nc.(*tls.Conn); ok {
		c.socket = secure.NetConn()
	}
	if s, early, ok := h.server.pollers.adopt(nc); ok {
		c.polled, c.Conn, c.socket = s, s, s
		c.pending = append(c.pending, early...)
	} else if sc, ok := c.socket.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			tuneSocket(raw)
		}
	}
	h.conn = c
	return c, bufio.NewReadWriter(bufio.NewReaderSize(c, headBufferBytes), bufio.NewWriterSize(c, writeBufferBytes)), nil
}

// Unwrap lets http.ResponseController find the server's writer.
func (h *hijacker) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Write takes a control frame of the library, which writes nothing else. A
// close frame is kept for the farewell; other frames go into the outbox.
func (c *conn) Write(frame []byte) (int, error) {
	c.mu.Lock()
	closing := c.closing
	if len(frame) > 0 && frame[0] == opClose && !closing {
		c.peerClose = append([]byte(nil), frame...)
		closing = true
	}
	c.mu.Unlock()
	switch {
	case closing:
	case c.control != nil:
		c.control(append([]byte(nil), frame...))
	default:
		// Before the join nobody else writes.
		_ = c.SetWriteDeadline(time.Now().Add(farewellTime))
		n, err := c.Conn.Write(frame)
		_ = c.SetWriteDeadline(time.Time{})
		return n, err
	}
	return len(frame), nil
}

// Close is called by the library when it is done. The read loop closes the
// socket itself, after the farewell.
func (c *conn) Close() error { return nil }

// TryWrite implements [room.Conn].
func (c *conn) TryWrite(frames [][]byte) (int, error) {
	if c.polled == nil {
		return 0, nil // a goroutine of the outbox will wait
	}
	return c.polled.write(frames)
}

// WriteSome implements [room.Conn].
func (c *conn) WriteSome(frames [][]byte) (int, error) {
	if c.polled != nil {
		return c.polled.writeSome(frames)
	}
	// Little at a time: what has been handed over can no longer be dropped.
	return c.Conn.Write(frames[0][:min(len(frames[0]), writeSomeBytes)])
}

// Hurry implements [room.Conn].
func (c *conn) Hurry() {
	if c.socket != c.Conn {
		// A TLS connection never writes again after a write that timed out.
		// The little that is being written gets its time.
		_ = c.SetWriteDeadline(time.Now().Add(hurryTime))
		return
	}
	_ = c.SetWriteDeadline(time.Unix(1, 0))
}

// Abort implements [room.Conn].
func (c *conn) Abort() {
	c.mu.Lock()
	if !c.closing {
		c.closing, c.code = true, noCode
		close(c.parted)
	}
	c.mu.Unlock()
	if c.polled != nil {
		c.polled.cut()
		return
	}
	_ = c.socket.Close() // TLS would take its time to say goodbye
}

// Farewell implements [room.Conn].
func (c *conn) Farewell(rest []byte, cause room.Cause, detail string) {
	c.mu.Lock()
	code := causes[cause]
	if cause == room.CauseLeft && c.wish != 0 {
		code, detail = c.wish, c.words // it left because the read loop ended
	}
	c.mu.Unlock()
	c.farewell(rest, code, detail)
}

// noCode stands for the end of a connection without a close frame.
const noCode wire.CloseCode = 1006

// farewell ends the connection with the code, as the dialect puts it, after what
// is left of a frame. The first one counts.
func (c *conn) farewell(rest []byte, code wire.CloseCode, detail string) {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return
	}
	c.closing, c.code = true, code
	last := c.peerClose
	if last == nil {
		last = closeFrame(c.peer.Closing(code, detail))
	}
	_ = c.SetDeadline(time.Now().Add(farewellTime))
	c.mu.Unlock()
	if code == noCode { // the peer is gone
		close(c.parted)
		return
	}
	bytes := append(rest[:len(rest):len(rest)], last...)
	n, err := c.TryWrite([][]byte{bytes})
	if err != nil || n == len(bytes) {
		close(c.parted)
		return
	}
	go func() { // ends with the deadline at the latest
		defer close(c.parted)
		_, _ = c.Conn.Write(bytes[n:])
	}()
}

// note keeps the code that the read loop's end calls for. The first one counts.
func (c *conn) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wish == 0 {
		c.wish, c.words = codeOf(err), detailOf(err)
	}
}

// hasten makes the read loop end with the code.
func (c *conn) hasten(code wire.CloseCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wish == 0 && !c.closing {
		c.wish = code
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
}

// readUntil sets when reading fails, unless the connection is on its way out
// and has its time for that.
func (c *conn) readUntil(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wish == 0 && !c.closing {
		_ = c.SetReadDeadline(t)
	}
}

// refuse says farewell before anybody has joined: for what ended the read loop,
// unless something else has been noted.
func (c *conn) refuse(err error) {
	c.note(err)
	c.mu.Lock()
	code, detail := c.wish, c.words
	c.mu.Unlock()
	c.farewell(nil, code, detail)
}

// ended reports whether the connection is on its way out.
func (c *conn) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// finish waits for the farewell, closes the socket and returns the code that
// the connection ended with. heardClose says that the peer has said its own.
func (c *conn) finish(heardClose bool) wire.CloseCode {
	late := time.NewTimer(2 * farewellTime)
	select {
	case <-c.parted:
	case <-late.C: // somebody has forgotten a batch; do not stay for ever
		c.Abort()
	}
	late.Stop()
	c.mu.Lock()
	code := c.code
	c.mu.Unlock()
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && !heardClose && code != noCode {
		// Unread bytes would make the kernel reset the connection and the
		// peer lose the close frame: read what comes until it hangs up.
		if half.CloseWrite() == nil {
			var sink [512]byte
			for {
				if _, err := c.Conn.Read(sink[:]); err != nil {
					break
				}
			}
		}
	}
	_ = c.Conn.Close()
	return code
}

// headerBytes is how long the header of an unmasked frame is.
func headerBytes(payload int) int {
	switch {
	case payload < 126:
		return 2
	case payload <= 0xffff:
		return 4
	}
	return 10
}

// appendHeader appends the header of an unmasked, final frame.
func appendHeader(b []byte, op byte, payload int) []byte {
	switch {
	case payload < 126:
		return append(b, op, byte(payload))
	case payload <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, op, 126), uint16(payload))
	}
	return binary.BigEndian.AppendUint64(append(b, op, 127), uint64(payload))
}

func closeFrame(code uint16, reason string) []byte {
	reason = wire.CutReason(reason)
	b := appendHeader(nil, opClose, 2+len(reason))
	b = binary.BigEndian.AppendUint16(b, code)
	return append(b, reason...)
}

// pingFrame is the same for everybody; any sound from the peer is life.
var pingFrame = []byte{opPing, 0}
