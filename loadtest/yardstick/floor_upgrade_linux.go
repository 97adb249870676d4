package yardstick

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"strings"

	"usher/session/wire"
)

var endOfHeader = []byte("\r\n\r\n")

// upgrade answers the request that opens a connection, and returns how long it
// was; 0 when it has not come whole.
func (f *floor) upgrade(c *conn, b []byte) int {
	end := bytes.Index(b, endOfHeader)
	if end > maxHeader || end < 0 && len(b) > maxHeader {
		f.refuse(c, "431 Request Header Fields Too Large")
		return 0
	}
	if end < 0 {
		return 0
	}
	n := end + len(endOfHeader)
	// One string, which what is kept of it refers to no longer than the token.
	first, lines, _ := strings.Cut(string(b[:end]), "\r\n")
	method, target, _ := strings.Cut(first, " ")
	target, version, _ := strings.Cut(target, " ")
	path, _, _ := strings.Cut(target, "?")
	switch {
	case !strings.HasPrefix(version, "HTTP/1."):
		f.refuse(c, "400 Bad Request")
		return 0
	case path != "/session":
		f.refuse(c, "404 Not Found")
		return 0
	case method != "GET":
		f.refuse(c, "405 Method Not Allowed")
		return 0
	}
	var upgrade, connection, ours, any bool
	var key, ws, offered, authorized string
	for line := range strings.SplitSeq(lines, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.EqualFold(name, "Upgrade"):
			upgrade = strings.EqualFold(value, "websocket")
		case strings.EqualFold(name, "Connection"):
			for option := range strings.SplitSeq(value, ",") {
				connection = connection || strings.EqualFold(strings.TrimSpace(option), "upgrade")
			}
		case strings.EqualFold(name, "Sec-WebSocket-Key"):
			key = value
		case strings.EqualFold(name, "Sec-WebSocket-Version"):
			ws = value
		case strings.EqualFold(name, "Sec-WebSocket-Protocol"):
			o, a, t := offer(value)
			ours, any = ours || o, any || a
			if t != "" {
				offered = t
			}
		case strings.EqualFold(name, "Authorization"):
			authorized = bearer(value)
		}
	}
	if !upgrade || !connection || ws != "13" || key == "" {
		f.refuse(c, "400 Bad Request")
		return 0
	}
	if c.token = strings.Clone(authorized); c.token == "" {
		c.token = strings.Clone(offered)
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	answer := append(make([]byte, 0, 160), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	answer = base64.StdEncoding.AppendEncode(answer, sum[:])
	if ours {
		answer = append(answer, "\r\nSec-WebSocket-Protocol: "+wire.Subprotocol...)
	}
	f.queue(c, append(answer, endOfHeader...))
	c.upgraded = true
	if any && !ours {
		f.dismiss(c, wire.ProtocolError, leftByItself)
	}
	return n
}

// refuse answers a request that opens no connection.
func (f *floor) refuse(c *conn, status string) {
	f.part(c, []byte("HTTP/1.1 "+status+"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), leftByItself)
}
