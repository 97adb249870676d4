//go:build !linux

package session

import (
	"errors"
	"syscall"
)

const rawWrites = false

func tuneSocket(syscall.RawConn) {}

// A rawWriter is not used: without it the outbox writes through net.Conn.
type rawWriter struct{}

func newRawWriter(syscall.RawConn) *rawWriter { return nil }

func (*rawWriter) write([][]byte, bool) (int, error) { return 0, errors.ErrUnsupported }
