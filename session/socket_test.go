//go:build linux

package session

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
)

// newPollers returns the pollers of a server that has no listener.
func newPollers(t *testing.T) *pollers {
	keys, err := auth.NewKeys([]auth.Key{{ID: "key", Secret: auth.Secret("a-secret-for-tests-of-32-bytes-and-more"), Project: "test", Format: livekit.Format{}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := room.New(room.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Rooms: rooms, Verifier: auth.NewVerifier(keys, 0)})
	t.Cleanup(func() {
		s.Close()
		rooms.Close()
	})
	return &s.pollers
}

// newSocket returns a connection that a poller can watch, and its peer.
func newSocket(t *testing.T, ps *pollers) (*socket, net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s, _, ok := ps.adopt(c)
	if !ok {
		t.Fatal("not adopted")
	}
	t.Cleanup(func() {
		_ = s.Close()
		_ = peer.Close()
	})
	return s, peer
}

// turns is a reader that says with what each of its turns began.
type turns struct {
	s    *socket
	read chan error
}

func (r turns) turn(l *lead) {
	_, err := r.s.readNow(l.buffer())
	r.read <- err
}

// What happened before a socket was watched brings a turn all the same: no event
// will.
func TestWatchedTooLate(t *testing.T) {
	for name, test := range map[string]struct {
		before func(s *socket)
		want   error
	}{
		"deadline": {func(s *socket) { _ = s.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"cut":      {(*socket).cut, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSocket(t, newPollers(t))
			test.before(s)
			r := turns{s, make(chan error, 1)}
			if err := s.watch(r); err != nil {
				t.Fatal(err)
			}
			if err := <-r.read; !errors.Is(err, test.want) {
				t.Errorf("the turn began with %v, want %v", err, test.want)
			}
		})
	}
}

// An event of a socket that has been closed is not taken for one of the next that
// has its descriptor: that would be told that its peer had hung up.
func TestEventOfAnEarlierSocket(t *testing.T) {
	ps := newPollers(t)
	s, _ := newSocket(t, ps)
	if err := s.attend(); err != nil {
		t.Fatal(err)
	}
	e := *s.event(unix.EPOLLIN | unix.EPOLLRDHUP)
	if s.poller.find(e) != s {
		t.Fatal("an event does not find its socket")
	}
	next, peer := newSocket(t, ps)
	next.poller = s.poller
	fd := s.fd
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// In place of waiting until the kernel gives the number again.
	if err := syscall.Dup3(next.fd, fd, syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Close(next.fd)
	next.fd = fd
	r := turns{next, make(chan error, 1)}
	if err := next.watch(r); err != nil {
		t.Fatal(err)
	}
	if found := next.poller.find(e); found != nil {
		t.Fatal("the event of a closed socket found another one")
	}
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-r.read; err != nil {
		t.Errorf("the turn began with %v", err)
	}
}

// A socket that cannot be watched has no turn besides that of whoever tried.
func TestWatchingFails(t *testing.T) {
	ps := newPollers(t)
	s, _ := newSocket(t, ps)
	s.poller.close()
	r := turns{s, make(chan error, 1)}
	if err := s.watch(r); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("watching ended with %v", err)
	}
	s.cut()
	_ = s.SetReadDeadline(time.Unix(1, 0))
	ps.close() // waits for turns
	select {
	case err := <-r.read:
		t.Errorf("there was a turn, which began with %v", err)
	default:
	}
}

// What arrived before a deadline that passed is read all the same, once: a process
// that has no time for a connection must not blame the peer for it.
func TestArrivedInTime(t *testing.T) {
	ps := newPollers(t)
	s, peer := newSocket(t, ps)
	if _, err := peer.Write([]byte("join")); err != nil {
		t.Fatal(err)
	}
	arrived := turns{s, make(chan error, 1)}
	if err := s.watch(arrived); err != nil { // its turn takes "join", so that it is known to have come
		t.Fatal(err)
	}
	if err := <-arrived.read; err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		waiting string
		want    error
	}{{"another", nil}, {"", os.ErrDeadlineExceeded}} {
		if test.waiting != "" {
			if _, err := peer.Write([]byte(test.waiting)); err != nil {
				t.Fatal(err)
			}
			for n := 0; n < len(test.waiting); { // in the receive queue, and left there
				var err error
				if n, _, err = unix.Recvfrom(s.fd, make([]byte, 64), unix.MSG_PEEK); err != nil && err != unix.EAGAIN {
					t.Fatal(err)
				}
			}
		}
		_ = s.SetReadDeadline(time.Now().Add(time.Hour))
		s.mu.Lock()
		set := s.reading.set
		s.mu.Unlock()
		s.readTimedOut(set)
		b := make([]byte, 64)
		n, err := s.Read(b)
		if !errors.Is(err, test.want) || string(b[:n]) != test.waiting {
			t.Errorf("got %q and %v, want %q and %v", b[:n], err, test.waiting, test.want)
		}
		if _, err := s.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("then got %v, want that the deadline has passed", err)
		}
	}
}
