package session

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of the hot path never block: the descriptors are non-blocking.
// So Go's scheduler is not told of them. Told, it would now and then find one that
// takes 20 µs, give its core to another thread and have to take it back.

func rawRead(fd int, b []byte) (int, error) {
	return rawResult(syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))))
}

func rawWrite(fd int, b []byte) (int, error) {
	return rawResult(syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))))
}

func rawEpollNow(fd int, events []unix.EpollEvent) (int, error) {
	return rawResult(syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0))
}

func rawResult(n, _ uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
