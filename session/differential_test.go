package session_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// unpolled is a listener whose connections no poller takes.
type unpolled struct{ net.Listener }

type unpolledConn struct{ *net.TCPConn }

func (u unpolled) Accept() (net.Conn, error) {
	c, err := u.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return unpolledConn{c.(*net.TCPConn)}, nil
}

// What a client gets for a stream of bytes does not depend on whether a poller or
// a goroutine reads it, nor on where the network cuts it.
func TestPolledLikeUnpolled(t *testing.T) {
	rng := newSeed(t)
	small := func(c *session.Config) { c.MessageBytes = 80 << 10 }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	polled := sessiontest.Serve(t, sessiontest.Options{Session: small})
	plain := sessiontest.Serve(t, sessiontest.Options{Session: small, Listener: unpolled{l}})
	for i := range rounds(300) {
		stream := randomStream(rng)
		got, want := replay(rng, joinedRaw(polled, i), stream), replay(rng, joinedRaw(plain, i), stream)
		if !alike(got, want) {
			t.Fatalf("round %d, of the stream % .200x:\npolled: %.2000q\nelse:   %.2000q", i, stream, got, want)
		}
	}
	// So it is for whoever waits to be let in.
	for _, s := range []*sessiontest.Server{polled, plain} {
		s.DailyRoom("call", knocking)
	}
	for i := range rounds(100) {
		stream := randomStream(rng)
		got, want := replay(rng, polled.KnockRaw("call", "p"), stream), replay(rng, plain.KnockRaw("call", "p"), stream)
		if !alike(got, want) {
			t.Fatalf("waiting, round %d, of the stream % .200x:\npolled: %.2000q\nelse:   %.2000q", i, stream, got, want)
		}
	}
}

func joinedRaw(s *sessiontest.Server, i int) *sessiontest.Raw {
	identity := fmt.Sprint("p", i)
	return s.JoinRaw(s.Token(identity, identity))
}

// alike reports whether both clients were told the same, and ended alike. To one
// that is put out or hangs up, the last replies may not get through; and pongs, which
// are not sent again, may not on either way.
func alike(polled, plain []string) bool {
	polled, plain = withoutPongs(polled), withoutPongs(plain)
	end := len(plain) - 1 // "the end", with the close frame before it
	for end > 0 && strings.HasPrefix(plain[end-1], "88 ") {
		end--
	}
	k := len(polled) - (len(plain) - end)
	return k >= end && slices.Equal(polled[:end], plain[:end]) && slices.Equal(polled[k:], plain[end:])
}

func withoutPongs(heard []string) []string {
	return slices.DeleteFunc(slices.Clone(heard), func(s string) bool {
		return strings.HasPrefix(s, "8a ") || strings.Contains(s, `\"pong\"`)
	})
}

// replay sends the stream in pieces and hangs up. It returns what came back.
func replay(rng *rand.Rand, c *sessiontest.Raw, stream []byte) (heard []string) {
	defer c.Conn.Close()
	var sending sync.WaitGroup
	defer sending.Wait()
	var cuts []int
	for range rng.IntN(6) {
		cuts = append(cuts, rng.IntN(len(stream)+1))
	}
	if len(stream) < 300 && rng.IntN(3) == 0 { // every byte for itself
		for i := range stream {
			cuts = append(cuts, i)
		}
	}
	cuts = append(cuts, 0, len(stream))
	slices.Sort(cuts)
	sending.Go(func() {
		for i := range cuts[1:] {
			if _, err := c.Conn.Write(stream[cuts[i]:cuts[i+1]]); err != nil {
				return // the server has had enough
			}
		}
		_ = c.Conn.(*net.TCPConn).CloseWrite()
	})
	for {
		first, payload, err := c.Next()
		switch {
		case err != nil:
			return append(heard, "the end")
		case first == 0x89, strings.Contains(string(payload), "refreshToken"):
			continue // at their own times
		}
		text, _, _ := strings.Cut(string(payload), `,"time"`)
		heard = append(heard, fmt.Sprintf("%x %q", first, text))
	}
}

// randomStream is frames that are in order, and perhaps one at the end that is not.
func randomStream(rng *rand.Rand) (stream []byte) {
	id := 0
	message := func() string {
		id++
		size := []int{0, 0, 0, 1, 50, 125, 126, 5000, 65535, 65536, 70000}[rng.IntN(11)]
		return fmt.Sprintf(`{"type":"ping","id":%d%s}`, id, strings.Repeat(" ", size))
	}
	add := func(first byte, payload string) {
		stream = append(stream, sessiontest.MaskedFrame(first, []byte(payload))...)
	}
	filler := func() string { return strings.Repeat("x", rng.IntN(126)) }
	for range rng.IntN(12) {
		switch rng.IntN(8) {
		case 0:
			add(0x89, filler())
		case 1:
			add(0x8a, filler())
		case 2: // no track frame
			add(0x82, filler())
		case 3, 4:
			m := message()
			first := byte(0x01)
			for len(m) > 0 && rng.IntN(4) > 0 {
				n := rng.IntN(len(m) + 1)
				add(first, m[:n])
				m, first = m[n:], 0
				if rng.IntN(2) == 0 {
					add(0x89, filler())
				}
			}
			add(first|0x80, m)
		default:
			add(0x81, message())
		}
	}
	switch rng.IntN(14) {
	case 0:
		add([]byte{0x83, 0x87, 0x8b, 0x8f, 0xc1, 0xa1, 0x91, 0x80, 0x00, 0x09, 0x0a, 0x08}[rng.IntN(12)], filler())
	case 1:
		stream = append(stream, 0x81, byte(rng.IntN(126)))
	case 2:
		add(0x81, "\"\xff\"")
	case 3:
		add(0x81, strings.Repeat(" ", 80<<10+rng.IntN(2)))
	case 4:
		add(0x89, strings.Repeat("x", 126))
	case 5:
		add(0x88, []string{"", "\x03\xe8", "\x03\xe8bye", "\x0f\xa1", "\x03", "\x03\xed", "\x00\x00", "\x03\xe8\xff"}[rng.IntN(8)])
	case 6:
		stream = append(stream, 0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4)
	case 7:
		stream = append(stream, 0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, ' ') // not as short as it could be
	case 8:
		add(0x01, "x")
		add(0x81, "x")
	case 9: // ends amid a frame
		add(0x81, message())
		stream = stream[:len(stream)-1-rng.IntN(10)]
	case 10:
		add(0x01, message())
	case 11:
		add(0x81, `{"type":"leave"}`)
	}
	return stream
}

// Many people do everything at once while moderators make changes that are slow to
// store; nothing that was said is lost, and the server ends in order.
func TestPollersUnderStress(t *testing.T) {
	for _, cores := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(cores), func(t *testing.T) { stress(t, cores) })
	}
}

func stress(t *testing.T, cores int) {
	setCores(t, cores)
	rng := newSeed(t)
	slow := newSlowStore(t)
	slow.every = time.Millisecond
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) { c.Store = slow }})
	people, said := rounds(100), 30
	moderator, _ := s.Join(s.Token("lobby", "moderator", func(c *livekit.Claims) { c.Video.RoomAdmin = true }))
	hearer, _ := s.Join(s.Token("lobby", "hearer"))
	stop := make(chan struct{})
	var noise, talk sync.WaitGroup
	for i := range people / 4 {
		rng := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
		noise.Go(func() { // comes, leaves some of a message, and goes
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				c := s.DialRaw()
				if rng.IntN(3) > 0 {
					c.Send(text(`{"type":"join","token":"` + s.Token("noise", fmt.Sprint("n", i)) + `"}`))
					_, _, _ = c.Next()
				}
				stream := randomStream(rng)
				_, _ = c.Conn.Write(stream[:rng.IntN(len(stream)+1)])
				if rng.IntN(2) == 0 {
					_ = c.Conn.(*net.TCPConn).SetLinger(0)
				}
				_ = c.Conn.Close()
			}
		})
	}
	for i := range people {
		token := s.Token("lobby", fmt.Sprint("p", i))
		rng := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
		talk.Go(func() {
			c := s.JoinRaw(token)
			for n := range said {
				m := fmt.Sprintf(`{"type":"publishData","id":%d,"topic":"said","payload":"%d %d"}`, n+1, i, n)
				frame := text(m)
				if rng.IntN(4) == 0 {
					k := rng.IntN(len(m))
					frame = append(sessiontest.MaskedFrame(0x01, []byte(m[:k])), sessiontest.MaskedFrame(0x80, []byte(m[k:]))...)
				}
				k := rng.IntN(len(frame))
				c.Send(frame[:k])
				c.Send(frame[k:])
				if got := c.Reply(fmt.Sprint(n + 1)); !strings.Contains(got, `"ok"`) {
					t.Errorf("%d was told %s", i, got)
				}
			}
		})
	}
	for i := range 50 {
		target := fmt.Sprint("p", i%people)
		name := fmt.Sprint("renamed ", i)
		moderator.Ask(wire.Message{Type: "updateParticipant", Identity: target, Name: &name}) // who may not be here yet
	}
	talk.Wait()
	close(stop)
	noise.Wait()
	hearer.Sync()
	next := map[string]int{}
	for _, e := range hearer.Seen() {
		if e.Str("topic") != "said" {
			continue
		}
		who, n, _ := strings.Cut(e.Str("payload"), " ")
		if atoi(t, n) != next[who] {
			t.Fatalf("of %s came %s, want %d", who, n, next[who])
		}
		next[who]++
	}
	for i := range people {
		if n := next[fmt.Sprint(i)]; n != said {
			t.Errorf("%d of the %d messages of %d came", n, said, i)
		}
	}
}
