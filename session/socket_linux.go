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

// writeRaw writes frames in one system call. With wait it waits until the
// socket takes at least a byte.
func writeRaw(raw syscall.RawConn, frames [][]byte, wait bool) (n int, err error) {
	one := len(frames) == 1
	werr := raw.Write(func(fd uintptr) bool {
		for {
			if one {
				n, err = unix.Write(int(fd), frames[0])
			} else {
				n, err = unix.Writev(int(fd), frames)
			}
			switch err {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				n, err = 0, nil
				return !wait
			}
			return true
		}
	})
	if err == nil {
		err = werr
	}
	if n < 0 {
		n = 0
	}
	if err == nil && n == 0 && wait {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
