package yardstick

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"usher/session/wire"
)

const (
	readBytes  = 64 << 10 // of one read
	roundSize  = 1024     // connections with something to do that one round takes
	acceptMost = 256      // connections accepted in one round
	backlog    = 4096
)

// floor is the server. One thread owns all of it.
//
// It works in rounds: what epoll says is ready is read and handled, which leaves
// frames with the connections they go to; then each of those is written to
// once. Nothing is written, and nobody removed, while a room is walked through,
// but for a queue that has grown large and is emptied on the way.
type floor struct {
	door *door

	epoll, listener, wake int
	paused                bool // the listener is not listened to: no descriptor is free

	conns []*conn // by descriptor
	rooms map[string]*room

	in     []byte  // what every read goes into
	frames []byte  // what this round's frames are made in
	dirty  []*conn // have frames to be written
	ended  []*conn // are to be removed at the end of the round

	deadlines []deadline // in order: all are joinTime long
	spare     [][]byte   // buffers for output
}

type deadline struct {
	c  *conn
	at int64 // Unix ms; holds while the connection's due says the same
}

func serveFloor(ctx context.Context, addr string, d *door, ready func(string)) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f := &floor{door: d, epoll: -1, listener: -1, wake: -1, rooms: make(map[string]*room), in: make([]byte, readBytes)}
	defer f.release()
	at, err := f.listen(addr)
	if err != nil {
		return fmt.Errorf("yardstick: listening on %s: %w", addr, err)
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(f.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		if !stop() {
			<-woken // before release closes what it writes to
		}
	}()
	ready(at)
	return f.run()
}

// listen opens the listener and what waits for it, and returns its address.
func (f *floor) listen(addr string) (string, error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return "", err
	}
	family, at := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: tcp.Port, Addr: [16]byte(net.IPv6zero)})
	if ip := tcp.IP.To4(); ip != nil {
		family, at = unix.AF_INET, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(ip)}
	} else if tcp.IP != nil {
		at = &unix.SockaddrInet6{Port: tcp.Port, Addr: [16]byte(tcp.IP)}
	}
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return "", err
	}
	if f.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return "", err
	}
	if f.listener, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return "", err
	}
	// Connections inherit the options of their listener: no call for each.
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 30_000},
	} {
		if err = unix.SetsockoptInt(f.listener, o.level, o.name, o.value); err != nil {
			return "", err
		}
	}
	if err = unix.Bind(f.listener, at); err != nil {
		return "", err
	}
	if err = unix.Listen(f.listener, backlog); err != nil {
		return "", err
	}
	for _, fd := range []int{f.listener, f.wake} {
		if err = f.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
			return "", err
		}
	}
	bound, err := unix.Getsockname(f.listener)
	if err != nil {
		return "", err
	}
	switch b := bound.(type) {
	case *unix.SockaddrInet4:
		return net.JoinHostPort(net.IP(b.Addr[:]).String(), strconv.Itoa(b.Port)), nil
	case *unix.SockaddrInet6:
		return net.JoinHostPort(net.IP(b.Addr[:]).String(), strconv.Itoa(b.Port)), nil
	}
	return "", errors.New("the address is not TCP")
}

func (f *floor) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(f.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// run makes rounds until it is woken to end.
func (f *floor) run() error {
	events := make([]unix.EpollEvent, roundSize)
	for {
		n, err := unix.EpollWait(f.epoll, events, f.patience())
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("yardstick: waiting: %w", err)
		}
		for _, e := range events[:n] {
			switch fd := int(e.Fd); fd {
			case f.wake:
				return nil
			case f.listener:
				f.accept()
			default:
				c := f.conns[fd] // not nil: descriptors are closed between rounds
				if e.Events&unix.EPOLLOUT != 0 {
					f.write(c)
				}
				if e.Events&^unix.EPOLLOUT != 0 {
					f.read(c)
				}
			}
		}
		f.expire()
		f.finish()
	}
}

// accept takes the connections that wait.
func (f *floor) accept() {
	for range acceptMost {
		fd, _, err := unix.Accept4(f.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EINTR, unix.ECONNABORTED:
			continue
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			// It would be ready in every round. The next connection that is
			// closed leaves a descriptor free.
			f.paused = f.watch(unix.EPOLL_CTL_DEL, f.listener, 0) == nil
			return
		default:
			return
		}
		if f.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN) != nil {
			_ = unix.Close(fd)
			continue
		}
		for len(f.conns) <= fd {
			f.conns = append(f.conns, nil)
		}
		c := &conn{fd: int32(fd)}
		f.conns[fd] = c
		f.remind(c)
	}
}

// finish ends a round: everybody who has something is written to, and those
// whose connection ended are removed, which others are told of.
func (f *floor) finish() {
	for len(f.dirty) > 0 || len(f.ended) > 0 {
		for i := 0; i < len(f.dirty); i++ {
			f.dirty[i].dirty = false
			f.write(f.dirty[i])
		}
		clear(f.dirty)
		f.dirty = f.dirty[:0]
		for i := 0; i < len(f.ended); i++ {
			f.remove(f.ended[i])
		}
		clear(f.ended)
		f.ended = f.ended[:0]
	}
	if cap(f.frames) > keepFrames {
		f.frames = nil
	}
	f.frames = f.frames[:0] // nobody refers to them any more, see write
}

// remove takes the connection out of its room and closes it.
func (f *floor) remove(c *conn) {
	f.leave(c, timedOut)
	_ = unix.Close(int(c.fd))
	f.conns[c.fd] = nil
	f.giveBuffer(c)
	c.rest, c.due = nil, 0
	if f.paused {
		f.paused = f.watch(unix.EPOLL_CTL_ADD, f.listener, unix.EPOLLIN) != nil
	}
}

// remind ends the connection when joinTime has passed, unless its due is
// changed until then.
func (f *floor) remind(c *conn) {
	c.due = time.Now().Add(joinTime).UnixMilli()
	f.deadlines = append(f.deadlines, deadline{c, c.due})
}

// expire ends those whose time is over.
func (f *floor) expire() {
	passed := 0
	var now int64
	for _, d := range f.deadlines {
		if d.c.due == d.at {
			if now == 0 {
				now = time.Now().UnixMilli()
			}
			if d.at > now {
				break
			}
			f.lapse(d.c)
		}
		passed++
	}
	if passed == 0 {
		return
	}
	rest := f.deadlines[passed:]
	if len(rest) == 0 {
		f.deadlines = nil
	} else if passed > len(rest) {
		f.deadlines = append(make([]deadline, 0, 2*len(rest)), rest...) // lets go of those before
	} else {
		clear(f.deadlines[:passed])
		f.deadlines = rest
	}
}

// patience is how long a round may wait for something to do, in ms.
func (f *floor) patience() int {
	if len(f.deadlines) == 0 {
		return -1
	}
	return int(max(f.deadlines[0].at-time.Now().UnixMilli(), 0)) + 1
}

// release says farewell to whoever is there and closes everything.
func (f *floor) release() {
	for _, c := range f.conns {
		if c == nil {
			continue
		}
		if c.upgraded && !c.closing && !c.ended {
			c.out = append(c.out[:len(c.out):len(c.out)], closeFrame(wire.ServerShutdown)...)
			_, _ = unix.Write(int(c.fd), c.out)
		}
		_ = unix.Close(int(c.fd))
	}
	for _, fd := range []int{f.listener, f.wake, f.epoll} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
