package loadtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// newTransport returns the transport of this system. On Linux that is a few
// threads that wait for events of all sockets, each with one buffer: twenty
// thousand idle connections cost little more than their descriptors.
func newTransport(at endpoint, threads int) (transport, error) {
	if at.tls != nil {
		return newPortable(at), nil
	}
	t := &polled{at: at}
	if threads <= 0 {
		// Half of the processors are left to a server on the same machine.
		threads = max(1, min(4, runtime.GOMAXPROCS(0)/2))
	}
	for range threads {
		l, err := newLoop()
		if err != nil {
			t.shut()
			return nil, err
		}
		t.all = append(t.all, l)
		t.wg.Go(l.run)
	}
	return t, nil
}

// polled is a transport of epoll loops.
type polled struct {
	at  endpoint
	all []*loop
	wg  sync.WaitGroup

	mu     sync.Mutex // guards the following field
	dialed int
}

func (t *polled) loops() int { return len(t.all) }

func (t *polled) waited() []int64 {
	var all []int64
	for _, l := range t.all {
		n := l.waited.Load()
		if since := l.since.Load(); since != 0 {
			n += clock() - since
		}
		all = append(all, n)
	}
	return all
}

func (t *polled) shut() {
	for _, l := range t.all {
		l.post(func() { l.stop = true })
	}
	t.wg.Wait()
}

// dial runs on the caller's goroutine as far as that does not wait, so that
// dialling many does not hold up the loops.
func (t *polled) dial(p peer, index int) socket {
	t.mu.Lock()
	count := t.dialed
	t.dialed++
	t.mu.Unlock()
	s := &polledSocket{loop: t.all[index%len(t.all)], peer: p, connecting: true, fd: -1}
	fd, err := t.connect(count)
	if err != nil {
		s.loop.post(func() { s.finish(err) })
		return s
	}
	s.fd = fd
	s.loop.mu.Lock()
	s.loop.sockets[int32(fd)] = s
	s.loop.mu.Unlock()
	if err := unix.EpollCtl(s.loop.poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(fd)}); err != nil {
		s.loop.post(func() { s.finish(err) })
	}
	return s
}

// connect begins a connection.
func (t *polled) connect(count int) (int, error) {
	family, target := unix.AF_INET6, unix.Sockaddr(nil)
	if ip := t.at.addr.IP.To4(); ip != nil {
		family, target = unix.AF_INET, &unix.SockaddrInet4{Port: t.at.addr.Port, Addr: [4]byte(ip)}
	} else {
		target = &unix.SockaddrInet6{Port: t.at.addr.Port, Addr: [16]byte(t.at.addr.IP.To16())}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if len(t.at.sources) > 0 && family == unix.AF_INET {
		// The port is chosen when it is connected: then only the pair of both
		// addresses has to be free.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		source := t.at.sources[count/perSource%len(t.at.sources)]
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte(source.To4())}); err != nil {
			_ = unix.Close(fd)
			return -1, os.NewSyscallError("bind", err)
		}
	}
	if err := unix.Connect(fd, target); err != nil && err != unix.EINPROGRESS {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// A loop serves the events of its sockets on one goroutine.
type loop struct {
	poll, bell int // epoll and the eventfd that wakes it
	stop       bool
	waited     atomic.Int64 // for events, in nanoseconds
	since      atomic.Int64 // when it began to wait; 0: it works

	mu      sync.Mutex // guards the following fields
	sockets map[int32]*polledSocket
	posted  []func()
	dead    bool
}

func newLoop() (*loop, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(poll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, bell, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(bell)}); err != nil {
		_ = unix.Close(poll)
		_ = unix.Close(bell)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return &loop{poll: poll, bell: bell, sockets: map[int32]*polledSocket{}}, nil
}

// post has f run on the loop, soon. Once the loop has ended nothing runs.
func (l *loop) post(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return
	}
	l.posted = append(l.posted, f)
	if len(l.posted) == 1 {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(l.bell, one[:])
	}
}

// run serves until stop is set, then ends every socket that is left.
func (l *loop) run() {
	buffer := make([]byte, 256<<10)
	events := make([]unix.EpollEvent, 512)
	ready := make([]*polledSocket, len(events))
	for !l.stop {
		began := clock()
		l.since.Store(began)
		n, err := unix.EpollWait(l.poll, events, -1)
		l.since.Store(0)
		l.waited.Add(clock() - began)
		if err != nil && err != unix.EINTR {
			panic(fmt.Sprint("loadtest: epoll_wait: ", err)) // cannot occur
		}
		l.mu.Lock()
		posted := l.posted
		l.posted = nil
		for i := range max(n, 0) {
			ready[i] = l.sockets[events[i].Fd]
			if int(events[i].Fd) == l.bell {
				var drained [8]byte
				_, _ = unix.Read(l.bell, drained[:])
			}
		}
		l.mu.Unlock()
		for i := range max(n, 0) {
			if s := ready[i]; s != nil {
				s.ready(events[i].Events, buffer)
			}
		}
		for _, f := range posted {
			f()
		}
	}
	l.mu.Lock()
	l.dead = true
	left := l.sockets
	l.sockets = nil
	l.mu.Unlock()
	for _, s := range left {
		s.finish(errCut)
	}
	_ = unix.Close(l.poll)
	_ = unix.Close(l.bell)
}

// A polledSocket is one of a loop's sockets.
type polledSocket struct {
	loop *loop
	peer peer

	mu         sync.Mutex // guards the following fields
	fd         int        // -1: it is closed, or never was open
	connecting bool
	held       bool
	out        []byte // not yet written
	finished   bool
}

// ready serves events. It runs on the loop.
func (s *polledSocket) ready(events uint32, buffer []byte) {
	s.mu.Lock()
	fd, connecting, held := s.fd, s.connecting, s.held
	s.mu.Unlock()
	if fd < 0 {
		return // ended earlier in the same batch
	}
	if connecting {
		if failure, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || failure != 0 {
			s.finish(errors.Join(err, os.NewSyscallError("connect", unix.Errno(failure))))
			return
		}
		s.mu.Lock()
		s.connecting = false
		s.watchLocked()
		s.mu.Unlock()
		s.peer.connected()
		return
	}
	if events&unix.EPOLLOUT != 0 {
		s.mu.Lock()
		s.flushLocked()
		s.mu.Unlock()
	}
	// Who is not reading reads on once the server has given up: what arrived
	// before may say why.
	gone := events&(unix.EPOLLHUP|unix.EPOLLERR) != 0
	if events&unix.EPOLLIN == 0 && !gone || held && !gone {
		return
	}
	n, err := unix.Read(fd, buffer)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != nil:
		s.finish(os.NewSyscallError("read", err))
	case n == 0:
		s.finish(io.EOF)
	default:
		if err := s.peer.received(buffer[:n], clock()); err != nil {
			s.finish(err)
		}
	}
}

// watchLocked tells epoll what to wait for.
func (s *polledSocket) watchLocked() {
	if s.fd < 0 || s.connecting {
		return
	}
	var events uint32
	if !s.held {
		events |= unix.EPOLLIN
	}
	if len(s.out) > 0 {
		events |= unix.EPOLLOUT
	}
	_ = unix.EpollCtl(s.loop.poll, unix.EPOLL_CTL_MOD, s.fd, &unix.EpollEvent{Events: events, Fd: int32(s.fd)})
}

func (s *polledSocket) send(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return
	}
	if s.connecting || len(s.out) > 0 {
		s.out = append(s.out, b...)
		return
	}
	n, err := unix.Write(s.fd, b)
	if err != nil {
		if err != unix.EAGAIN {
			return // the reading side hears of it, too
		}
		n = 0
	}
	if n < len(b) {
		s.out = append(s.out, b[n:]...)
		s.watchLocked()
	}
}

func (s *polledSocket) flushLocked() {
	if s.fd < 0 || len(s.out) == 0 {
		return
	}
	n, err := unix.Write(s.fd, s.out)
	if err != nil {
		return
	}
	if s.out = s.out[n:]; len(s.out) == 0 {
		s.out = nil
		s.watchLocked()
	}
}

func (s *polledSocket) hold(stop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = stop
	s.watchLocked()
}

func (s *polledSocket) end(abrupt bool) {
	s.mu.Lock()
	if s.fd >= 0 && abrupt {
		_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	s.mu.Unlock()
	err := errClosed
	if abrupt {
		err = errCut
	}
	s.loop.post(func() { s.finish(err) })
}

// finish closes the descriptor. It runs on the loop, so that none of its
// number is in a batch of events that is being served.
func (s *polledSocket) finish(err error) {
	s.mu.Lock()
	if s.finished {
		s.mu.Unlock()
		return
	}
	s.finished = true
	fd := s.fd
	s.fd, s.out = -1, nil
	if fd >= 0 {
		s.loop.mu.Lock()
		if s.loop.sockets[int32(fd)] == s {
			delete(s.loop.sockets, int32(fd))
		}
		s.loop.mu.Unlock()
		_ = unix.Close(fd)
	}
	s.mu.Unlock()
	s.peer.ended(err)
}

// raiseDescriptors makes room for so many connections, as far as the system
// lets it, and returns how many there may be.
func raiseDescriptors(want int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return want
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
		_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	}
	return int(min(limit.Cur, 1<<30))
}

// loopbackSources are the addresses that a loopback target can be dialled from.
func loopbackSources(target net.IP) []net.IP {
	if four := target.To4(); four == nil || four[0] != 127 {
		return nil
	}
	var all []net.IP
	for last := byte(1); last <= 8; last++ {
		all = append(all, net.IPv4(127, 0, 0, last))
	}
	return all
}
