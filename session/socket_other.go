//go:build !linux

package session

import (
	"errors"
	"syscall"
)

const rawWrites = false

func tuneSocket(syscall.RawConn) {}

// writeRaw is not used: without it the outbox writes through net.Conn.
func writeRaw(syscall.RawConn, [][]byte, bool) (int, error) { return 0, errors.ErrUnsupported }
