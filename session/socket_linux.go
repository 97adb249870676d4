package session

import (
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawWrites says that sockets are written without blocking.
const rawWrites = true

// tuneSocket bounds what the kernel queues: otherwise it takes megabytes for a
// receiver that has stopped reading, and a video is minutes old when it arrives.
func tuneSocket(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 16<<10)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 30_000)
	})
}

// A rawWriter writes to a socket past package net. One goroutine uses it at a
// time: the one that writes for the outbox.
type rawWriter struct {
	raw syscall.RawConn       // static
	try func(fd uintptr) bool // static; once, so that a write allocates nothing

	// Of the write that goes on.
	frames [][]byte
	wait   bool
	n      int
	err    error
}

func newRawWriter(raw syscall.RawConn) *rawWriter {
	w := &rawWriter{raw: raw}
	w.try = w.tryOnce
	return w
}

// tryOnce makes the system call. It reports false when it has to wait.
func (w *rawWriter) tryOnce(fd uintptr) bool {
	for {
		if len(w.frames) == 1 {
			w.n, w.err = unix.Write(int(fd), w.frames[0])
		} else {
			w.n, w.err = unix.Writev(int(fd), w.frames)
		}
		switch w.err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			w.n, w.err = 0, nil
			return !w.wait
		}
		return true
	}
}

// write writes frames in one system call. With wait it waits until the socket
// takes at least a byte.
func (w *rawWriter) write(frames [][]byte, wait bool) (int, error) {
	w.frames, w.wait, w.n, w.err = frames, wait, 0, nil
	err := w.raw.Write(w.try)
	w.frames = nil
	if w.err != nil {
		err = w.err
	}
	if err == nil && w.n == 0 && wait {
		err = io.ErrUnexpectedEOF
	}
	return max(w.n, 0), err
}
