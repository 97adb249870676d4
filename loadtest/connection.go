package loadtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
)

// A connection is one WebSocket of a person: the handshake, framing, pings.
// Its methods as a peer come one after the other; person.mu orders them with
// everything else that concerns the person.
type connection struct {
	person *person
	sock   socket
	reader frameReader
	head   []byte // of the handshake's answer, until it is whole
	open   bool   // the handshake is over
	code   int    // of the close frame; 0: none came
	reason string
}

// The key is the same for all: what it proves is that the other end is a
// WebSocket server, once is enough, and random ones cost.
const (
	handshakeKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	handshakeAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	maxHead         = 64 << 10
)

// appendRequest appends the request that opens a WebSocket.
func appendRequest(b []byte, path, host, token string) []byte {
	b = append(b, "GET "+path+" HTTP/1.1\r\nHost: "+host+
		"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+handshakeKey+
		"\r\nSec-WebSocket-Protocol: usher.v1\r\n"...)
	if token != "" {
		b = append(b, "Authorization: Bearer "+token+"\r\n"...)
	}
	return append(b, "\r\n"...)
}

// A refusedError is an answer to the handshake that is no WebSocket.
type refusedError struct{ status string }

func (e *refusedError) Error() string { return "no WebSocket there: " + e.status }

// readHead takes the answer to the handshake and returns what came after it.
// done is false when it is not whole yet.
func (c *connection) readHead(chunk []byte) (rest []byte, done bool, err error) {
	c.head = append(c.head, chunk...)
	end := bytes.Index(c.head, []byte("\r\n\r\n"))
	if end < 0 {
		if len(c.head) > maxHead {
			return nil, false, errors.New("the answer to the handshake has no end")
		}
		return nil, false, nil
	}
	head, rest := c.head[:end], c.head[end+4:]
	c.head = nil
	status, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 101")) {
		return nil, false, &refusedError{string(bytes.TrimPrefix(status, []byte("HTTP/1.1 ")))}
	}
	for line := range bytes.SplitSeq(fields, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Sec-WebSocket-Accept")) && string(bytes.TrimSpace(value)) == handshakeAccept {
			return rest, true, nil
		}
	}
	return nil, false, &refusedError{"101 without the accept of the key"}
}

func (c *connection) connected() {
	p := c.person
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connected(c)
}

func (c *connection) received(chunk []byte, at int64) error {
	p := c.person
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != c {
		return errClosed // another one has taken its place
	}
	p.now = at
	if !c.open {
		rest, done, err := c.readHead(chunk)
		if err != nil || !done {
			return err
		}
		c.open = true
		p.opened(c)
		if chunk = rest; len(chunk) == 0 {
			return nil
		}
	}
	err := c.reader.feed(chunk, c)
	p.readDone()
	return err
}

var errCloseFrame = errors.New("closed by the server")

// message takes what the reader cut out.
func (c *connection) message(op byte, payload []byte) error {
	switch op {
	case opText:
		c.person.text(payload)
	case opBinary:
		c.person.binary(payload)
	case opPing:
		c.sock.send(appendFrame(nil, opPong, payload))
	case opClose:
		c.code = closeCode(payload)
		if len(payload) > 2 {
			c.reason = string(payload[2:])
		}
		var echo [2]byte
		binary.BigEndian.PutUint16(echo[:], uint16(c.code))
		if c.code == 1005 {
			c.sock.send(appendFrame(nil, opClose, nil))
		} else {
			c.sock.send(appendFrame(nil, opClose, echo[:]))
		}
		return errCloseFrame
	}
	return nil
}

func (c *connection) ended(err error) {
	p := c.person
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != c {
		return
	}
	p.conn = nil
	p.ended(c, err)
}

// failure names how a connection ended, for counting.
func (c *connection) failure(err error) string {
	var refused *refusedError
	switch {
	case c.code != 0 && c.reason != "":
		return fmt.Sprintf("closed %d %s", c.code, firstWord(c.reason))
	case c.code != 0:
		return fmt.Sprintf("closed %d", c.code)
	case errors.As(err, &refused):
		return "handshake: " + refused.status
	case !c.open:
		return "dial: " + withoutAddress(err)
	}
	return "cut: " + withoutAddress(err)
}

// withoutAddress is an error's text less the address that the error of a socket
// or of a request begins with: a port of its own for each person would make a
// kind of each failure.
func withoutAddress(err error) string {
	var request *url.Error
	var socket *net.OpError
	switch {
	case errors.As(err, &socket):
		return socket.Op + ": " + socket.Err.Error()
	case errors.As(err, &request):
		return request.Op + ": " + request.Err.Error()
	}
	return err.Error()
}

func firstWord(s string) string {
	for i, r := range s {
		if r == ' ' || r == ':' || r == ',' {
			return s[:i]
		}
	}
	return s
}
