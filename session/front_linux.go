package session

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// requestTime is how long a connection may take to say what it wants.
	requestTime = 10 * time.Second
	// requestBytes is the longest request that is served here.
	requestBytes = 16 << 10
	// acceptAtOnce is how many connections are accepted before others run.
	acceptAtOnce = 64
)

// A front stands before an HTTP server and does for the requests that become
// WebSockets what that server would, with a tenth of its memory: the server
// makes a goroutine, two buffers and a context for each connection before it is
// known what it wants. A request that has come whole, asks for an upgrade and has
// nothing unusual about it gets to the handler from here; every other connection
// is handed to the HTTP server as it is, with what was read of it.
type front struct {
	net.Listener // of the HTTP server that gets the others
	server       *Server
	handler      http.Handler
	paths        []string
	others       chan net.Conn
	file         *os.File        // the listening socket
	raw          syscall.RawConn // of file
	closed       chan struct{}
	once         sync.Once
	accepting    sync.WaitGroup
}

// Front returns the listener that an HTTP server with that handler should serve:
// what l accepts, but for requests for a WebSocket at one of the paths, which take
// a shorter way to the handler. The handler is called where it must not wait for
// long. It returns l itself where there is no shorter way, for TLS and elsewhere
// than on Linux.
func (s *Server) Front(l net.Listener, h http.Handler, paths ...string) net.Listener {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return l
	}
	file, err := tcp.File() // of a listener itself, package net lets nobody accept
	if err != nil {
		return l
	}
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return l
	}
	f := &front{Listener: l, file: file, server: s, handler: h, paths: paths, others: make(chan net.Conn), raw: raw, closed: make(chan struct{})}
	f.accepting.Go(f.accept) // ends when the listener is closed
	return f
}

// prefixed is a connection of which some bytes have been read already.
type prefixed struct {
	*net.TCPConn
	early []byte // owned by the reader
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.early) > 0 {
		n := copy(b, p.early)
		p.early = p.early[n:]
		return n, nil
	}
	return p.TCPConn.Read(b)
}

// Accept returns the next connection that is for the HTTP server.
func (f *front) Accept() (net.Conn, error) {
	select {
	case c := <-f.others:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close stops accepting.
func (f *front) Close() error {
	err := errors.Join(f.Listener.Close(), f.file.Close())
	f.once.Do(func() { close(f.closed) })
	f.accepting.Wait()
	return err
}

// accept takes connections until the listener is closed.
func (f *front) accept() {
	defer f.once.Do(func() { close(f.closed) })
	for pause := time.Duration(0); ; {
		var problem error
		err := f.raw.Read(func(fd uintptr) bool {
			for range acceptAtOnce {
				conn, from, err := unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
				switch {
				case err == unix.EAGAIN:
					return problem != nil
				case err == unix.EINTR, err == unix.ECONNABORTED:
					continue
				case err != nil:
					problem = os.NewSyscallError("accept4", err)
					return true
				}
				f.welcome(conn, from)
			}
			problem = errMoreToAccept
			return true
		})
		switch {
		case err != nil:
			return // closed
		case errors.Is(problem, errMoreToAccept):
			pause = 0
			continue
		case problem != nil: // out of descriptors, as a rule
			pause = min(max(5*time.Millisecond, 2*pause), time.Second)
			f.server.cfg.Log.Error("cannot accept; trying again", "error", problem, "in", pause)
			select {
			case <-time.After(pause):
			case <-f.closed:
				return
			}
		}
	}
}

var errMoreToAccept = errors.New("session: there may be more to accept")

// welcome waits for what a connection wants.
func (f *front) welcome(fd int, from unix.Sockaddr) {
	poller := f.server.pollers.next()
	if poller == nil {
		f.pass(os.NewFile(uintptr(fd), "connection"), nil)
		return
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	s := &socket{fd: fd, poller: poller}
	_ = s.SetReadDeadline(time.Now().Add(requestTime))
	if err := s.watch(&door{front: f, socket: s, from: from}); err != nil {
		f.server.cfg.Log.Error("cannot watch a connection", "error", err)
		_ = s.Close()
	}
}

// A door is a connection of which nobody knows yet what it wants. It has one turn.
type door struct {
	front  *front
	socket *socket
	from   unix.Sockaddr
	answer *answer // once there is a request
}

// turn implements [reader].
func (d *door) turn(l *lead) {
	buf := l.buffer()
	n, err := d.socket.readNow(buf)
	for errors.Is(err, syscall.EAGAIN) {
		if d.socket.park() {
			return
		}
		n, err = d.socket.readNow(buf)
	}
	select {
	case <-d.front.closed:
		err = net.ErrClosed
	default:
	}
	if err != nil {
		_ = d.socket.Close() // it went, or wanted nothing for too long
		return
	}
	defer d.contain()
	if r := upgradeIn(buf[:n]); r != nil && slices.Contains(d.front.paths, r.URL.Path) {
		d.serve(r)
		return
	}
	early := append([]byte(nil), buf[:n]...)
	if file, err := d.socket.release(); err == nil {
		d.front.pass(file, early)
	}
}

// contain keeps a defect in handling one request from ending the others.
func (d *door) contain() {
	if problem := recover(); problem != nil {
		if problem != http.ErrAbortHandler {
			d.front.server.cfg.Log.Error("a request failed", "panic", fmt.Sprintf("%T", problem))
		}
		if d.answer != nil && d.answer.hijacked && d.socket.turnOf() != d {
			d.socket.cut() // a session has it, and closes it
			return
		}
		_ = d.socket.Close()
	}
}

// pass hands a connection to the HTTP server, which has not seen any of it, with
// what was read of it.
func (f *front) pass(file *os.File, early []byte) {
	defer file.Close() // net has a descriptor of its own
	conn, err := net.FileConn(file)
	if err != nil {
		return
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_ = conn.Close()
		return
	}
	go func() { // ends when the HTTP server accepts, or is closed
		select {
		case f.others <- &prefixed{TCPConn: tcp, early: early}:
		case <-f.closed:
			_ = tcp.Close()
		}
	}()
}

// serve has the request handled.
func (d *door) serve(r *http.Request) {
	r.RemoteAddr = address(d.from)
	a := &answer{socket: d.socket, header: make(http.Header, 6)}
	d.answer = a
	_ = d.socket.SetReadDeadline(time.Time{})
	d.front.handler.ServeHTTP(a, r)
	if !a.hijacked && !d.front.server.pollers.start(a.finish) {
		_ = d.socket.Close()
	}
}

func address(from unix.Sockaddr) string {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)).String()
	}
	return ""
}

// upgradeIn returns the request that b is, if it asks for a WebSocket and is one
// that the HTTP server would take without any ado. Everything else is for that
// server to judge.
func upgradeIn(b []byte) *http.Request {
	if len(b) > requestBytes || !bytes.HasPrefix(b, []byte("GET /")) || !plainHeader(b) {
		return nil
	}
	br := requests.Get().(*bufio.Reader)
	defer requests.Put(br)
	br.Reset(bytes.NewReader(b))
	r, err := http.ReadRequest(br)
	if err != nil || !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1 || r.ContentLength != 0 || len(r.TransferEncoding) > 0 ||
		!strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.Header.Get("Expect") != "" || !plainHost(r.Host) {
		return nil
	}
	r.Body = http.NoBody
	return r
}

// plainHeader reports whether b is one header, whole and with nothing behind it,
// in which there is nothing that a server may not let pass but http.ReadRequest
// does: no control characters, no odd names, and one host.
func plainHeader(b []byte) bool {
	if bytes.Index(b, endOfHeader) != len(b)-len(endOfHeader) {
		return false
	}
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f {
			return false
		}
	}
	_, rest, _ := bytes.Cut(b[:len(b)-2], endOfHeader[:2])
	hosts := 0
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, endOfHeader[:2])
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 || bytes.ContainsAny(value, "\r\n") {
			return false
		}
		for _, c := range name {
			if !letter(c) && c != '-' {
				return false
			}
		}
		if bytes.EqualFold(name, []byte("host")) {
			hosts++
		}
	}
	return hosts == 1
}

func letter(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

var endOfHeader = []byte("\r\n\r\n")

// plainHost reports whether nothing is wrong with a host's name.
func plainHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; !letter(c) && !strings.ContainsRune("-._:[]", rune(c)) {
			return false
		}
	}
	return host != ""
}

// requests are what requests are read through.
var requests = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

// An answer is the http.ResponseWriter of a request that came through a [door].
type answer struct {
	socket   *socket
	header   http.Header
	status   int
	body     bytes.Buffer
	hijacked bool
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		a.status = status
	}
}

// Write implements http.ResponseWriter. What is answered in place of a WebSocket
// is short: it is kept until the handler is done.
func (a *answer) Write(b []byte) (int, error) {
	if a.hijacked {
		return 0, http.ErrHijacked
	}
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// Hijack implements http.Hijacker: it sends the header. The reader and writer are
// nil, since nothing has been read or is to be written.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if a.hijacked {
		return nil, nil, http.ErrHijacked
	}
	a.hijacked = true
	head := a.head()
	if n, err := a.socket.write([][]byte{head}); err != nil || n < len(head) {
		_ = a.socket.Close()
		return nil, nil, errors.Join(err, io.ErrShortWrite)
	}
	return a.socket, nil, nil
}

// head is the status line and the header.
func (a *answer) head() []byte {
	b := make([]byte, 0, 512)
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.status), 10)
	b = append(append(b, ' '), http.StatusText(a.status)...)
	b = append(b, "\r\n"...)
	for name, values := range a.header {
		for _, v := range values {
			b = append(append(b, name...), ": "...)
			b = append(append(b, oneLine.Replace(v)...), "\r\n"...)
		}
	}
	return append(b, "\r\n"...)
}

var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// finish answers a request that was not upgraded, and ends the connection. It
// waits until the peer has hung up, or for the deadline.
func (a *answer) finish() {
	defer a.socket.Close()
	a.WriteHeader(http.StatusOK)
	if a.header.Get("Connection") != "close" {
		a.header.Add("Connection", "close") // with what an upgrade would take, perhaps
	}
	a.header.Set("Content-Length", strconv.Itoa(a.body.Len()))
	if a.header.Get("Date") == "" {
		a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	_ = a.socket.SetDeadline(time.Now().Add(refusalTime))
	if _, err := a.socket.Write(append(a.head(), a.body.Bytes()...)); err != nil {
		return
	}
	// Unread bytes would make the kernel reset the connection.
	if a.socket.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, a.socket)
	}
}
