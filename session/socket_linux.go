package session

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tuneSocket bounds what the kernel queues: otherwise it takes megabytes for a
// receiver that has stopped reading, and a video is minutes old when it arrives.
func tuneSocket(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) { tune(int(fd)) })
}

func tune(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 16<<10)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 30_000)
}

// A socket is a TCP connection that a [poller] watches in place of Go's runtime,
// so that one with nothing to read costs no goroutine, no stack and no buffer.
//
// One goroutine reads at a time, and one writes: the read loop's turn, and
// whoever writes for the outbox. Everything else may be called concurrently. It
// implements net.Conn, but for the addresses, which nobody asks for.
type socket struct {
	fd     int     // static; good until closed
	poller *poller // static
	serial int32   // static once the poller has it

	// Owned by the reader.
	watched bool // the poller reports events
	dry     bool // the last read took all there was

	mu       sync.Mutex // guards the following fields; a leaf
	reader   reader     // whose turn it is when there is something to read
	parked   bool       // nobody reads: the next event gives the reader a turn
	ready    bool       // there was an event since the last read began
	hungUp   bool       // the peer has said that nothing follows, or the connection broke
	gone     bool       // nothing is read or written any more
	reading  deadline
	late     bool // reading.passed, and nothing was read since
	sending  deadline
	readable chan struct{} // of the reader that waits; nil: nobody has yet
	writable chan struct{}

	writing sync.Mutex // held over system calls that write, and to close
	closed  bool       // guarded by writing
}

// A reader handles what arrives at a socket, in turns: it reads until nothing is
// left and then parks the socket, or goes on with it in some other way.
type reader interface{ turn(l *lead) }

// adopt takes a connection away from Go's runtime and gives it to a poller. It
// returns what of it was read already, too. It reports false, and has touched
// nothing, when that cannot be.
func (ps *pollers) adopt(nc net.Conn) (s *socket, early []byte, ok bool) {
	switch c := nc.(type) {
	case *socket:
		tune(c.fd)
		return c, nil, true
	case *prefixed:
		s, _, ok = ps.adopt(c.TCPConn)
		return s, c.early, ok
	case *net.TCPConn:
		raw, err := c.SyscallConn()
		if err != nil {
			return nil, nil, false
		}
		poller := ps.next()
		if poller == nil {
			return nil, nil, false
		}
		s := &socket{fd: -1, poller: poller}
		err = raw.Control(func(fd uintptr) {
			if s.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
				tune(s.fd)
			}
		})
		if err != nil || s.fd < 0 {
			return nil, nil, false
		}
		_ = c.Close() // the runtime's descriptor; the connection lives on in ours
		return s, nil, true
	}
	return nil, nil, false
}

// readNow reads what has arrived. With nothing there it returns EAGAIN.
func (s *socket) readNow(b []byte) (int, error) {
	s.mu.Lock()
	switch {
	case s.gone:
		s.mu.Unlock()
		return 0, net.ErrClosed
	case s.reading.passed && !s.late:
		s.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	case s.dry && !s.late && !s.ready && !s.hungUp:
		s.mu.Unlock()
		return 0, unix.EAGAIN
	}
	late := s.late
	s.ready, s.late = false, false
	s.mu.Unlock()
	for {
		n, err := rawRead(s.fd, b)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN && late:
			return 0, os.ErrDeadlineExceeded
		case err == unix.EAGAIN:
			s.dry = true
			s.mu.Lock()
			s.hungUp = false // at its end, a read says so
			s.mu.Unlock()
			return 0, err
		case err != nil:
			return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
		case n == 0:
			return 0, io.EOF
		}
		s.dry = n < len(b)
		return n, nil
	}
}

// drained reports whether a read would find nothing, as far as is known.
func (s *socket) drained() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dry && !s.ready && !s.hungUp && !s.gone && !s.reading.passed
}

// Read waits until something has arrived, the connection has ended or the
// deadline has passed.
func (s *socket) Read(b []byte) (int, error) {
	for {
		n, err := s.readNow(b)
		if err != unix.EAGAIN {
			return n, err
		}
		s.mu.Lock()
		if s.readable == nil {
			s.readable = make(chan struct{}, 1)
		}
		wait := s.readable
		again := s.ready || s.gone || s.reading.passed
		s.mu.Unlock()
		if !again {
			<-wait
		}
	}
}

// park gives the reading up until there is something to read: then the session
// gets a turn. It reports false when there is already.
func (s *socket) park() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready || s.hungUp || s.gone || s.reading.passed {
		return false
	}
	s.parked = true
	return true
}

// watch gives r a turn whenever there is something to read.
// It is called by the reader, who reads no more.
func (s *socket) watch(r reader) error {
	if err := s.attend(); err != nil {
		return err
	}
	s.mu.Lock()
	s.reader = r
	due := s.ready || s.hungUp || s.gone || s.reading.passed
	s.parked = !due
	s.mu.Unlock()
	if due {
		s.poller.turn(s)
	}
	return nil
}

// begin is watch for a reader that has something to do before anything is read: it
// gets a turn at once.
func (s *socket) begin(r reader) error {
	if err := s.attend(); err != nil {
		return err
	}
	s.mu.Lock()
	s.reader, s.parked = r, false
	s.mu.Unlock()
	s.poller.turn(s)
	return nil
}

// attend has a Read that waits return when there is something to read.
func (s *socket) attend() error {
	if s.watched {
		return nil
	}
	s.watched = true
	return s.poller.add(s)
}

// happened takes an event. It returns the reader if it is to get a turn.
func (s *socket) happened(events uint32) (turn reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if events&^unix.EPOLLOUT != 0 {
		s.ready = true
		s.hungUp = s.hungUp || events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
		if s.wakeLocked() {
			turn = s.reader
		}
	}
	if events&^unix.EPOLLIN != 0 {
		signal(s.writable)
	}
	return turn
}

// wakeLocked tells the reader that waits to look again, or reports that nobody
// reads and a turn is due.
func (s *socket) wakeLocked() (turn bool) {
	if s.parked {
		s.parked = false
		return true
	}
	signal(s.readable)
	return false
}

// turnOf is the reader, whose turn it is.
func (s *socket) turnOf() reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reader
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // nobody has waited yet, or it is signalled already
	}
}

// write writes in one system call what the connection takes at once.
func (s *socket) write(frames [][]byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return 0, net.ErrClosed
	}
	for {
		if len(frames) == 1 {
			n, err = rawWrite(s.fd, frames[0])
		} else {
			n, err = unix.Writev(s.fd, frames)
		}
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return 0, nil
		}
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", err)}
	}
}

// writeSome waits until the connection has taken at least a byte.
func (s *socket) writeSome(frames [][]byte) (int, error) {
	for {
		s.mu.Lock()
		if s.writable == nil {
			s.writable = make(chan struct{}, 1)
		}
		wait, gone, expired := s.writable, s.gone, s.sending.passed
		s.mu.Unlock()
		switch {
		case gone:
			return 0, net.ErrClosed
		case expired:
			return 0, os.ErrDeadlineExceeded
		}
		if n, err := s.write(frames); n > 0 || err != nil {
			return n, err
		}
		if err := s.askForSpace(); err != nil {
			return 0, err
		}
		<-wait
	}
}

// askForSpace has the poller report when the connection takes more.
func (s *socket) askForSpace() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	return s.poller.modify(s)
}

// Write writes all of b.
func (s *socket) Write(b []byte) (n int, err error) {
	for n < len(b) {
		m, err := s.writeSome([][]byte{b[n:]})
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// cut ends the connection in both directions. The reader closes it.
func (s *socket) cut() {
	s.mu.Lock()
	s.gone = true
	turn := s.wakeLocked()
	signal(s.writable)
	s.mu.Unlock()
	s.writing.Lock()
	if !s.closed {
		_ = unix.Shutdown(s.fd, unix.SHUT_RDWR)
	}
	s.writing.Unlock()
	if turn {
		s.poller.turn(s)
	}
}

// Close gives the descriptor back. It is called by the reader.
func (s *socket) Close() error {
	s.mu.Lock()
	s.gone = true
	s.reading.stop()
	s.sending.stop()
	signal(s.readable)
	signal(s.writable)
	s.mu.Unlock()
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.closed = true
	s.poller.remove(s)
	return unix.Close(s.fd)
}

// release takes the connection away from the poller: it is the caller's file now.
// It is called by the reader.
func (s *socket) release() (*os.File, error) {
	s.mu.Lock()
	s.gone = true
	s.reading.stop()
	s.mu.Unlock()
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return nil, net.ErrClosed
	}
	s.closed = true
	s.poller.remove(s)
	_ = unix.EpollCtl(s.poller.fd, unix.EPOLL_CTL_DEL, s.fd, nil) // if not, its events find nobody
	return os.NewFile(uintptr(s.fd), "connection"), nil
}

// CloseWrite tells the peer that nothing follows.
func (s *socket) CloseWrite() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	return unix.Shutdown(s.fd, unix.SHUT_WR)
}

// A deadline is a moment after which reading or writing fails.
type deadline struct {
	passed bool
	timer  *time.Timer
	set    uint32 // counts how often it was: what was set before no longer counts
}

// to moves the deadline; then is called, with nothing locked, when it passes.
//
// The socket's mutex must be held.
func (d *deadline) to(t time.Time, then func(set uint32)) {
	d.stop()
	d.set++
	d.passed = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.passed = true
		return
	}
	set := d.set
	d.timer = time.AfterFunc(left, func() { then(set) })
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// SetReadDeadline implements net.Conn. A session that is parked gets a turn when
// the deadline passes.
func (s *socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	s.late = false
	s.reading.to(t, s.readTimedOut)
	turn := s.reading.passed && s.wakeLocked()
	s.mu.Unlock()
	if turn {
		s.poller.turn(s)
	}
	return nil
}

func (s *socket) readTimedOut(set uint32) {
	s.mu.Lock()
	turn := false
	if s.reading.set == set {
		// What came in time counts, however late this process gets to read it.
		s.reading.passed, s.late = true, true
		turn = s.wakeLocked()
	}
	s.mu.Unlock()
	if turn {
		s.poller.turn(s)
	}
}

// SetWriteDeadline implements net.Conn.
func (s *socket) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending.to(t, s.writeTimedOut)
	if s.sending.passed {
		signal(s.writable)
	}
	return nil
}

func (s *socket) writeTimedOut(set uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sending.set == set {
		s.sending.passed = true
		signal(s.writable)
	}
}

// SetDeadline implements net.Conn.
func (s *socket) SetDeadline(t time.Time) error {
	_ = s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

// LocalAddr implements net.Conn.
func (s *socket) LocalAddr() net.Addr { return nil }

// RemoteAddr implements net.Conn.
func (s *socket) RemoteAddr() net.Addr { return nil }
