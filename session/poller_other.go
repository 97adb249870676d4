//go:build !linux

package session

import (
	"net"
	"net/http"
	"syscall"
	"time"

	"usher/room"
)

// Elsewhere than on Linux each connection has a goroutine.

type pollers struct{ server *Server }

func (*pollers) adopt(net.Conn) (*socket, []byte, bool) { return nil, nil, false }
func (*pollers) close()                                 {}

const roundEvents = 64

// A lead runs the turns of polled connections.
type lead struct {
	batch   *room.Batch
	leading bool
	again   []*socket
}

func (*lead) handOver()      {}
func (*lead) buffer() []byte { return nil }
func (*lead) giveBuffer()    {}

type socket struct{ net.Conn }

func tuneSocket(syscall.RawConn) {}

func (*socket) watch(*session) error             { return nil }
func (*socket) begin(*session) error             { return nil }
func (*socket) attend() error                    { return nil }
func (*socket) park() bool                       { return false }
func (*socket) drained() bool                    { return false }
func (*socket) cut()                             {}
func (*socket) CloseWrite() error                { return nil }
func (*socket) readNow([]byte) (int, error)      { return 0, nil }
func (*socket) write([][]byte) (int, error)      { return 0, nil }
func (*socket) writeSome([][]byte) (int, error)  { return 0, nil }
func (*socket) SetReadDeadline(time.Time) error  { return nil }
func (*socket) SetWriteDeadline(time.Time) error { return nil }

// Front returns l: there is no shorter way to the handler here.
func (s *Server) Front(l net.Listener, _ http.Handler, _ ...string) net.Listener { return l }
