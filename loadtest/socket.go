package loadtest

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// A peer is what a socket tells of itself. The calls for one socket come one
// after the other.
type peer interface {
	// connected comes once, before anything is received.
	connected()
	// received brings bytes, good until it returns, and when they were read. An
	// error ends the socket.
	received(chunk []byte, at int64) error
	// ended comes once, last.
	ended(err error)
}

// A socket is one TCP connection. Its methods may be called concurrently, and
// never wait for the network.
type socket interface {
	// send writes what the system takes now, and keeps the rest for later.
	send(b []byte)
	// hold stops or resumes reading.
	hold(stop bool)
	// end closes the socket. An abrupt one is reset: nothing that is on its way
	// arrives, no close frame is exchanged.
	end(abrupt bool)
}

// A transport makes sockets.
type transport interface {
	// dial returns at once; p hears of what becomes of it. loop says which
	// sockets share a thread.
	dial(p peer, loop int) socket
	loops() int
	// waited is how long, in nanoseconds, each thread has had nothing to do so far;
	// nil when there are none.
	waited() []int64
	// shut ends all sockets and waits for whatever the transport runs.
	shut()
}

// An endpoint is where to dial.
type endpoint struct {
	addr *net.TCPAddr
	tls  *tls.Config // nil: none
	// sources are addresses to dial from, in turn; a loopback target has enough
	// of them for any number of ports.
	sources []net.IP
}

// perSource is how many sockets share a source address. The system has 28 000
// ports for them, of which some are still waiting from the run before.
const perSource = 8000

var (
	errCut    = errors.New("cut by the load test")
	errClosed = errors.New("closed by the load test")
)

// started is the origin of all times of this process that are compared.
var started = time.Now()

// clock is the time since then in nanoseconds.
func clock() int64 { return int64(time.Since(started)) }

// portable is a transport with a goroutine for each connection: for TLS, and
// for systems without epoll.
type portable struct {
	at endpoint

	mu   sync.Mutex // guards the following fields
	open map[*portableSocket]struct{}
	down bool
	wg   sync.WaitGroup
}

func newPortable(at endpoint) *portable {
	return &portable{at: at, open: map[*portableSocket]struct{}{}}
}

func (t *portable) loops() int      { return 1 }
func (t *portable) waited() []int64 { return nil }

func (t *portable) dial(p peer, _ int) socket {
	s := &portableSocket{}
	s.wake.L = &s.mu
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[s] = struct{}{}
	t.wg.Go(func() {
		err := s.run(t.at, p)
		t.mu.Lock()
		delete(t.open, s)
		t.mu.Unlock()
		p.ended(err)
	})
	if t.down {
		s.end(true)
	}
	return s
}

func (t *portable) shut() {
	t.mu.Lock()
	t.down = true
	for s := range t.open {
		s.end(true)
	}
	t.mu.Unlock()
	t.wg.Wait()
}

// portableSocket is one connection of it.
type portableSocket struct {
	mu   sync.Mutex // guards the following fields
	wake sync.Cond  // on mu: something below changed
	conn net.Conn   // nil until connected
	out  []byte     // not yet written
	held bool
	err  error // why it is to end; nil: it is not
}

const portableDialTimeout = 10 * time.Second

func (s *portableSocket) run(at endpoint, p peer) error {
	conn, err := net.DialTimeout("tcp", at.addr.String(), portableDialTimeout)
	if err != nil {
		return err
	}
	if at.tls != nil {
		secured := tls.Client(conn, at.tls)
		_ = conn.SetDeadline(time.Now().Add(portableDialTimeout))
		if err := secured.Handshake(); err != nil {
			_ = conn.Close()
			return err
		}
		_ = conn.SetDeadline(time.Time{})
		conn = secured
	}
	s.mu.Lock()
	s.conn = conn
	ended := s.err
	s.mu.Unlock()
	if ended != nil {
		_ = conn.Close()
		return ended
	}
	p.connected()
	var writing sync.WaitGroup
	writing.Go(func() { s.write(conn) })
	err = s.read(conn, p)
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	err = s.err
	s.wake.Broadcast()
	s.mu.Unlock()
	_ = conn.Close()
	writing.Wait()
	return err
}

func (s *portableSocket) read(conn net.Conn, p peer) error {
	buffer := make([]byte, 16<<10)
	for {
		n, err := conn.Read(buffer)
		s.mu.Lock()
		for s.held && s.err == nil {
			s.wake.Wait()
		}
		s.mu.Unlock()
		if n > 0 {
			if err := p.received(buffer[:n], clock()); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// write sends what is queued, until the socket ends.
func (s *portableSocket) write(conn net.Conn) {
	for {
		s.mu.Lock()
		for len(s.out) == 0 && s.err == nil {
			s.wake.Wait()
		}
		b := s.out
		s.out = nil
		ended := s.err != nil
		s.mu.Unlock()
		if ended {
			return
		}
		if _, err := conn.Write(b); err != nil {
			return // the reader hears of it, too
		}
	}
}

func (s *portableSocket) send(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.out = append(s.out, b...)
		s.wake.Broadcast()
	}
}

func (s *portableSocket) hold(stop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = stop
	s.wake.Broadcast()
}

func (s *portableSocket) end(abrupt bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = errClosed
	if abrupt {
		s.err = errCut
	}
	s.wake.Broadcast()
	if s.conn == nil {
		return
	}
	raw := s.conn
	if secured, ok := raw.(*tls.Conn); ok {
		raw = secured.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok && abrupt {
		_ = tcp.SetLinger(0)
		_ = tcp.Close() // beneath TLS, whose close would say goodbye
		return
	}
	_ = s.conn.SetReadDeadline(time.Now()) // run closes it
	if !abrupt && len(s.out) > 0 {
		_ = s.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = s.conn.Write(s.out) // a close frame, as a rule: small
		s.out = nil
	}
}
