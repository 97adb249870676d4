package yardstick_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"usher/auth/livekit"
	"usher/loadtest/yardstick"
	"usher/session/wire"
)

func TestBadTokens(t *testing.T) {
	may := &livekit.VideoGrant{RoomJoin: true, Room: "lobby"}
	now := time.Now()
	for name, test := range map[string]struct {
		token string
		code  wire.CloseCode
	}{
		"none":          {"", wire.InvalidToken},
		"garbage":       {"a.b.c", wire.InvalidToken},
		"other secret":  {mint(t, "guess", now, livekit.Claims{Identity: "eve", Video: may}), wire.InvalidToken},
		"expired":       {mint(t, "secret", now.Add(-3*time.Hour), livekit.Claims{Identity: "eve", Video: may}), wire.TokenExpired},
		"not yet valid": {mint(t, "secret", now.Add(time.Hour), livekit.Claims{Identity: "eve", Video: may}), wire.TokenNotYetValid},
		"no roomJoin":   {mint(t, "secret", now, livekit.Claims{Identity: "eve", Video: &livekit.VideoGrant{Room: "lobby"}}), wire.NotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, kind string) {
				addr, _ := serve(t, kind)
				c := dial(t, addr, how{})
				c.send(fmt.Sprintf(`{"type":"join","token":%q}`, test.token))
				c.expectClose(test.code)
			})
		})
	}
}

func TestFirstMessage(t *testing.T) {
	for text, code := range map[string]wire.CloseCode{
		`{"type":"publishData","payload":1}`: wire.ProtocolError,
		`no JSON`:                            wire.ProtocolError,
		`{"type":"resume","session":"PA_"}`:  wire.SessionNotFound,
	} {
		onEach(t, func(t *testing.T, kind string) {
			addr, _ := serve(t, kind)
			c := dial(t, addr, how{})
			c.send(text)
			c.expectClose(code)
			dial(t, addr, how{subprotocols: []string{"chat"}}).expectClose(wire.ProtocolError)
		})
	}
}

// Nothing that comes in takes the server down.
func TestBrokenClients(t *testing.T) {
	masked := func(b0 byte, payload string) string {
		return string([]byte{b0, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
	}
	for name, test := range map[string]struct {
		bytes string
		code  wire.CloseCode
		only  string // kind of server
	}{
		"unmasked":         {upgradeRequest + "\x81\x02{}", wire.ProtocolBroken, yardstick.Floor},
		"unmasked, cut":    {upgradeRequest + "\x81\x02{}", 0, ""},
		"reserved bit":     {upgradeRequest + masked(0xc1, "{}"), wire.ProtocolBroken, ""},
		"unknown opcode":   {upgradeRequest + masked(0x83, "{}"), wire.ProtocolBroken, ""},
		"continuation":     {upgradeRequest + masked(0x80, "{}"), wire.ProtocolBroken, ""},
		"fragment":         {upgradeRequest + masked(0x01, "{}"), wire.ProtocolBroken, yardstick.Floor},
		"not UTF-8":        {upgradeRequest + masked(0x81, "\xff"), wire.InvalidUTF8, yardstick.Floor},
		"huge":             {upgradeRequest + "\x81\xff\x00\x00\x00\xff\x00\x00\x00\x00\x00\x00\x00\x00", wire.MessageTooBig, yardstick.Floor},
		"negative length":  {upgradeRequest + "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", wire.MessageTooBig, yardstick.Floor},
		"no HTTP":          {"HELO\r\n\r\n", 0, ""},
		"other path":       {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0, ""},
		"no upgrade":       {"GET /session HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0, ""},
		"endless header":   {"GET /session HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10), 0, ""},
		"headers of sorts": {"GET /session HTTP/1.1\r\n:\r\n\r\n\r\n", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, kind string) {
				if test.only != "" && test.only != kind {
					return // the other kind takes it, or says it otherwise
				}
				addr, _ := serve(t, kind)
				_ = raw(t, addr, nil).Close()                           // says nothing
				_ = raw(t, addr, []byte("GET /sess")).Close()           // half a request
				_ = raw(t, addr, []byte(upgradeRequest+"\x81")).Close() // half a frame
				nc := raw(t, addr, []byte(test.bytes))
				if test.code == 0 {
					_ = nc.(*net.TCPConn).CloseWrite()
				}
				if got := answerOf(t, nc); test.code != 0 && !closeOf(got, test.code) {
					t.Errorf("got %q, want code %d", got, test.code)
				}
				join(t, addr, "lobby", "ada")
			})
		})
	}
}
