package sessiontest

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Memory is a listener whose connections are memory, for tests in a bubble of
// testing/synctest. It has to be made inside the bubble.
type Memory struct {
	dialed chan net.Conn
	done   chan struct{}
	once   sync.Once
}

// NewMemory returns a listener that nobody has dialled yet.
func NewMemory() *Memory {
	return &Memory{dialed: make(chan net.Conn), done: make(chan struct{})}
}

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }

// Accept implements net.Listener.
func (m *Memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.dialed:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (m *Memory) Close() error {
	m.once.Do(func() { close(m.done) })
	return nil
}

// Addr implements net.Listener.
func (m *Memory) Addr() net.Addr { return memoryAddr{} }

// Dial connects. It can serve as http.Transport.DialContext.
func (m *Memory) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	up, down := newStream(), newStream()
	server := &memoryConn{read: up, write: down}
	select {
	case m.dialed <- server:
		return &memoryConn{read: down, write: up}, nil
	case <-m.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// client is an HTTP client of the listener.
func (m *Memory) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: m.Dial, DisableKeepAlives: true}}
}

// streamBytes is how much a stream holds, like the buffers of two sockets.
const streamBytes = 256 << 10

// A stream is one direction of a connection.
type stream struct {
	mu     sync.Mutex // guards the following fields
	change sync.Cond
	held   []byte
	ended  bool // by the writer: the reader gets what is held, then EOF
	broken bool // by the reader: writes fail
}

func newStream() *stream {
	s := new(stream)
	s.change.L = &s.mu
	return s
}

// memoryConn is one end of a connection.
type memoryConn struct {
	read, write *stream

	readDeadline, writeDeadline deadline
}

// A deadline wakes whoever waits on a stream when it passes.
type deadline struct {
	at    time.Time // guarded by the stream's mutex
	timer *time.Timer
}

func (d *deadline) set(s *stream, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = at
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.change.Broadcast()
		})
	}
	s.change.Broadcast()
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (c *memoryConn) Read(b []byte) (int, error) {
	s := c.read
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.broken:
			return 0, net.ErrClosed
		case c.readDeadline.passed():
			return 0, os.ErrDeadlineExceeded
		case len(s.held) > 0:
			n := copy(b, s.held)
			if s.held = s.held[n:]; len(s.held) == 0 {
				s.held = nil
			}
			s.change.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.change.Wait()
	}
}

func (c *memoryConn) Write(b []byte) (n int, err error) {
	s := c.write
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.ended:
			return n, net.ErrClosed
		case s.broken:
			return n, syscall.ECONNRESET
		case c.writeDeadline.passed():
			return n, os.ErrDeadlineExceeded
		}
		k := min(len(b), streamBytes-len(s.held))
		s.held = append(s.held, b[:k]...)
		n, b = n+k, b[k:]
		s.change.Broadcast()
		if len(b) == 0 {
			return n, nil
		}
		s.change.Wait()
	}
}

// Close implements net.Conn.
func (c *memoryConn) Close() error {
	_ = c.SetDeadline(time.Time{})
	for _, half := range []struct {
		s    *stream
		flag *bool
	}{{c.write, &c.write.ended}, {c.read, &c.read.broken}} {
		half.s.mu.Lock()
		*half.flag = true
		half.s.change.Broadcast()
		half.s.mu.Unlock()
	}
	return nil
}

func (c *memoryConn) LocalAddr() net.Addr  { return memoryAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr { return memoryAddr{} }

func (c *memoryConn) SetDeadline(t time.Time) error {
	c.readDeadline.set(c.read, t)
	c.writeDeadline.set(c.write, t)
	return nil
}

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.readDeadline.set(c.read, t)
	return nil
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.writeDeadline.set(c.write, t)
	return nil
}
