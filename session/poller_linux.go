package session

import (
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"usher/room"
)

const (
	// turnBytes is what one read of a polled connection takes at most, and what
	// a session may have handled in one turn.
	turnBytes = 64 << 10
	// roundEvents is how many connections have their turn before what that left
	// to be written is written.
	roundEvents = 64
)

// pollers are the server's pollers, one for each core that Go uses. They begin
// with the first connection.
type pollers struct {
	server *Server

	mu     sync.Mutex // guards the following fields
	all    []*poller
	count  uint // connections given out
	closed bool
	done   sync.WaitGroup // their goroutines
}

// next returns the poller for the next connection, or nil when there is none.
func (ps *pollers) next() *poller {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.closed {
		return nil
	}
	if ps.all == nil {
		for range runtime.GOMAXPROCS(0) {
			p, err := newPoller(ps)
			if err != nil {
				ps.server.cfg.Log.Error("cannot poll; each connection gets a goroutine", "error", err)
				break
			}
			ps.all = append(ps.all, p)
			ps.done.Go(func() { p.lead(p.newLead()) }) // ends when the poller is closed
		}
		if len(ps.all) == 0 {
			ps.closed = true
			return nil
		}
	}
	ps.count++
	return ps.all[ps.count%uint(len(ps.all))]
}

// start runs f in a goroutine that close waits for. Once the pollers are closed it
// does not, and reports false.
func (ps *pollers) start(f func()) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.closed {
		return false
	}
	ps.done.Go(f)
	return true
}

// close ends the pollers. The sessions have ended: what is left are connections
// that have not said what they want, or are being told that they do not get it.
func (ps *pollers) close() {
	ps.mu.Lock()
	ps.closed = true
	all := ps.all
	ps.mu.Unlock()
	for _, p := range all {
		p.close()
	}
	ps.done.Wait()
	for _, p := range all {
		for _, s := range p.all() {
			_ = s.Close()
		}
	}
}

// A poller waits for many connections and gives the session of each that has
// something to read a turn. One goroutine leads it: it waits for events, runs the
// turns itself, and after a round of them writes what they left to be written, so
// that messages of many senders to one receiver become one write. Before a turn
// waits for anything, its goroutine hands the lead over to another one.
type poller struct {
	pollers *pollers        // static
	file    *os.File        // static; the epoll instance, which Go's runtime watches
	raw     syscall.RawConn // static; of file
	fd      int             // static; of file
	leads   sync.Pool

	mu      sync.RWMutex // guards the following fields
	closed  bool         // fd is no longer ours
	serial  int32        // counts the sockets
	sockets map[int32]*socket
}

func newPoller(ps *pollers) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // else the runtime would not watch it
		_ = unix.Close(fd)
		return nil, err
	}
	p := &poller{pollers: ps, file: os.NewFile(uintptr(fd), "epoll"), fd: fd, sockets: make(map[int32]*socket)}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, err
	}
	return p, nil
}

// interest is what a poller is told of: each arrival once.
const interest = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

// add begins to report events of s.
func (p *poller) add(s *socket) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.serial++
	s.serial = p.serial
	p.sockets[int32(s.fd)] = s
	err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, s.fd, s.event(interest))
	if err != nil {
		delete(p.sockets, int32(s.fd))
	}
	return os.NewSyscallError("epoll_ctl", err)
}

// modify has the next moment reported at which s takes more, too.
func (p *poller) modify(s *socket) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return net.ErrClosed
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, s.fd, s.event(interest|unix.EPOLLOUT)))
}

// event is what the kernel keeps of s and gives back. The serial number tells s
// from a later socket with the same descriptor: of a closed one there may still be
// an event on its way, and to the other it would say that its peer has hung up.
func (s *socket) event(events uint32) *unix.EpollEvent {
	return &unix.EpollEvent{Events: events, Fd: int32(s.fd), Pad: s.serial}
}

// remove forgets s. Closing its descriptor takes it out of the epoll instance.
func (p *poller) remove(s *socket) {
	p.mu.Lock()
	if p.sockets[int32(s.fd)] == s {
		delete(p.sockets, int32(s.fd))
	}
	p.mu.Unlock()
}

// find returns the socket that e is of, unless that has been closed.
func (p *poller) find(e unix.EpollEvent) *socket {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if s := p.sockets[e.Fd]; s != nil && s.serial == e.Pad {
		return s
	}
	return nil
}

// close ends the poller's goroutine and cuts its connections.
func (p *poller) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for _, s := range p.all() {
		s.cut()
	}
	_ = p.file.Close()
}

func (p *poller) all() []*socket {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Collect(maps.Values(p.sockets))
}

// A lead is what a goroutine needs to run turns. It leads the poller until it
// hands that over.
type lead struct {
	poller  *poller // static
	leading bool
	batch   *room.Batch
	buf     []byte // see buffer
	events  []unix.EpollEvent
	left    []unix.EpollEvent // of events, that are still to be looked at
	due     []*socket         // that have another turn in this round
	again   []*socket         // whose turn ended before all that came was handled
}

var turnBuffers = sync.Pool{New: func() any { return new([turnBytes]byte) }}

// buffer is what a turn reads into.
func (l *lead) buffer() []byte {
	if l.buf == nil {
		l.buf = turnBuffers.Get().(*[turnBytes]byte)[:]
	}
	return l.buf
}

// giveBuffer lets others have the buffer, for this goroutine may wait for long.
func (l *lead) giveBuffer() {
	turnBuffers.Put((*[turnBytes]byte)(l.buf))
	l.buf = nil
}

func (p *poller) newLead() *lead {
	l, ok := p.leads.Get().(*lead)
	if !ok {
		l = &lead{poller: p, batch: p.pollers.server.cfg.Rooms.Batch(), events: make([]unix.EpollEvent, roundEvents)}
		l.batch.BeforeWait(l.handOver)
	}
	l.leading = true
	return l
}

// handOver lets another goroutine lead, for this one is about to wait.
func (l *lead) handOver() {
	if !l.leading {
		return
	}
	l.leading = false
	next := l.poller.newLead()
	next.left = next.events[:copy(next.events, l.left)]
	next.again = append(append(next.again[:0], l.due...), l.again...)
	l.left, l.due, l.again = nil, nil, nil
	// Once the pollers are closed nobody need lead.
	l.poller.pollers.start(func() { l.poller.lead(next) })
}

// lead runs rounds until the poller is closed or the lead was handed over.
func (p *poller) lead(l *lead) {
	defer p.leads.Put(l)
	for l.leading {
		if len(l.left) == 0 && !p.wait(l) {
			l.leading = false
			return
		}
		began := time.Now()
		l.due, l.again = l.again, l.due[:0]
		for len(l.left) > 0 && l.leading {
			e := l.left[0]
			l.left = l.left[1:]
			if s := p.find(e); s != nil {
				if r := s.happened(e.Events); r != nil {
					r.turn(l)
				}
			}
		}
		for len(l.due) > 0 && l.leading {
			s := l.due[0]
			l.due = l.due[1:]
			s.turnOf().turn(l)
		}
		p.pollers.server.flush(l.batch, (*room.Batch).FlushHere)
		p.pollers.server.metrics.batches.Observe(time.Since(began).Seconds())
	}
	for _, s := range l.again {
		p.turn(s)
	}
	l.again = nil
}

// wait fills l.left. Without anything that is to go on it waits for an event. It
// reports false once the poller is closed.
func (p *poller) wait(l *lead) bool {
	n := 0
	err := p.raw.Read(func(fd uintptr) bool {
		var err error
		for {
			if n, err = rawEpollNow(int(fd), l.events); err == nil {
				break
			} else if n = 0; err != unix.EINTR {
				break
			}
		}
		return n > 0 || len(l.again) > 0
	})
	l.left = l.events[:n]
	return err == nil
}

// turn gives the reader of s, which is not parked any more, a turn in a goroutine
// of its own. Once the pollers are closed, they close s.
func (p *poller) turn(s *socket) {
	p.pollers.start(func() {
		l := p.newLead()
		l.leading = false
		defer p.leads.Put(l)
		s.turnOf().turn(l)
		for len(l.again) > 0 { // there is more, of this one alone
			l.again = l.again[:0]
			p.pollers.server.flush(l.batch, (*room.Batch).Flush)
			s.turnOf().turn(l)
		}
		p.pollers.server.flush(l.batch, (*room.Batch).Flush)
	})
}
