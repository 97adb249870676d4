package session

import (
	"errors"
	"fmt"
	"net/http"

	"usher/room"
	"usher/session/wire"
)

// A Dialect is a protocol spoken over a WebSocket beside the native one. Its
// clients need not say anything to join: the request says it all. Its methods may
// be called concurrently.
type Dialect interface {
	// Paths are the addresses that it is spoken at, like "/v8".
	Paths() []string
	// Kinds are the words by which its messages are counted: a closed set.
	Kinds() []string
	// Connect returns one connection's side of it. The request, which is not kept,
	// has been accepted by then: whatever is wrong with it is for [Peer.Open] to
	// say, since a page can read close codes and nothing before them.
	Connect(r *http.Request) Peer
}

// A Peer is one connection's side of a dialect. Open and Handle are called by the
// connection's read loop, one at a time; Closing at any time, by anybody.
//
// Their errors end the connection: those of packages room and auth, and a
// [Refusal]. [room.ErrFenced] is passed on as it is.
type Peer interface {
	// Open joins. It must not wait for the client.
	Open(c *Connection) (*room.Participant, error)
	// Handle has a message done, which is good until it returns. When it returns
	// [room.ErrFenced] and the participant goes on in another room, as those who
	// came with [room.Join].Restate do not, it is called again with the same message
	// and that one's participant.
	Handle(c *Connection, p *room.Participant, binary bool, message []byte) error
	// Closing puts an end into the dialect's words: a close code, and a reason of at
	// most [wire.MaxReasonBytes]. The detail is a [Refusal]'s, or what belongs to
	// that end: the new name of a room that was renamed.
	Closing(end wire.CloseCode, detail string) (code uint16, reason string)
}

// A Connection is what a [Peer] may do with its own. It belongs to the read loop:
// it is not used after the call that it was given to.
type Connection session

// Conn is the writing side, for [room.Join].
func (c *Connection) Conn() room.Conn { return c.conn }

// Batch takes what is left to be written. It is flushed after the call.
func (c *Connection) Batch() *room.Batch { return c.batch }

// Call returns the call of a message without an id.
func (c *Connection) Call() room.Call { return room.Call{Generation: c.generation, Batch: c.batch} }

// Count counts a message of one of the dialect's kinds.
func (c *Connection) Count(kind string) { c.server.metrics.message(kind) }

// Allow reports whether one more message is within the session's rate.
func (c *Connection) Allow() bool {
	if c.rate == nil {
		return true
	}
	if !c.rate.Allow() {
		c.refused++
		return false
	}
	if c.refused > 0 {
		c.refused--
	}
	return true
}

// Send queues a WebSocket frame for this connection alone, between whole frames.
func (c *Connection) Send(p *room.Participant, frame []byte) { p.Control(c.batch, c.conn, frame) }

// AppendText appends a WebSocket frame with that text, as the server sends it.
func AppendText(b, text []byte) []byte {
	return append(appendHeader(b, opText, len(text)), text...)
}

// TextFrameBytes is how long the WebSocket frame is that has so much text.
func TextFrameBytes(text int) int { return headerBytes(text) + text }

// A Refusal ends a connection in a way of its dialect's choice.
type Refusal struct {
	End    wire.CloseCode
	Detail string // for the dialect's reason; nothing of a token
}

func (e *Refusal) Error() string {
	if e.Detail == "" {
		return "session: " + e.End.Reason()
	}
	return "session: " + e.End.Reason() + ": " + e.Detail
}

// detailOf is what there is to say about an end besides its code.
func detailOf(err error) string {
	var refusal *Refusal
	var limit *room.LimitError
	var invalid *room.InvalidError
	switch {
	case errors.As(err, &refusal):
		return refusal.Detail
	case errors.As(err, &limit):
		return limit.Error()
	case errors.As(err, &invalid):
		return invalid.Error()
	}
	return ""
}

// byPath finds a dialect by where it is spoken.
func byPath(dialects []Dialect) map[string]Dialect {
	m := make(map[string]Dialect)
	for _, d := range dialects {
		for _, path := range d.Paths() {
			if m[path] != nil {
				panic(fmt.Sprintf("session: two dialects are spoken at %s", path))
			}
			m[path] = d
		}
	}
	return m
}
