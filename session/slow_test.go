package session_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// One client that stops reading delays nobody: the others get every message,
// it is closed as slow, and what is kept for it is bounded.
func TestSlowReceiverDelaysNobody(t *testing.T) {
	const readers, bytesEach, bound = 30, 1000, 100 << 10
	messages := max(rounds(3000), 3000) // far more than is kept for a receiver, even for a moment
	reg := prometheus.NewRegistry()
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) {
		c.Metrics = reg
		c.Outbox = room.DefaultOutboxLimits
		c.Outbox.ReliableBytes = bound
	}})
	sc := &scene{t: t, s: s, gauges: reg, victim: s.JoinRaw(s.Token("lobby", "slow"))}
	_ = sc.victim.Conn.(*net.TCPConn).SetReadBuffer(4096)

	var reading sync.WaitGroup
	for i := range readers {
		c := s.JoinRaw(s.Token("lobby", fmt.Sprint("reader", i)))
		_ = c.Conn.SetDeadline(time.Now().Add(2 * time.Minute))
		reading.Go(func() {
			for want := 0; want < messages; {
				_, payload, err := c.Next()
				if err != nil {
					t.Errorf("reader %d: %v", i, err)
					return
				}
				_, number, is := bytes.Cut(payload, []byte(`"payload":{"n":`))
				if !is {
					continue
				}
				if number, _, _ := bytes.Cut(number, []byte(",")); string(number) != strconv.Itoa(want) {
					t.Errorf("reader %d: got %s, want %d", i, number, want)
					return
				}
				want++
			}
		})
	}

	source, _ := s.Join(s.Token("lobby", "source"))
	filler := strings.Repeat("x", bytesEach)
	most, slow := 0, false
	for n := range messages {
		source.Send(wire.Message{Type: "publishData", Payload: fmt.Appendf(nil, `{"n":%d,"filler":%q}`, n, filler)})
		if n%20 == 19 {
			source.Sync() // no faster than the server
			most = max(most, sc.waiting())
			if !slow && gauge(t, reg, "usher_slow_receivers_total", "bytes") == 1 {
				slow = true
				reading.Go(func() { // it reads on, and learns why
					if got := ending(t, sc); got != wire.SlowConsumer {
						t.Errorf("the slow one got %d, want %d", got, wire.SlowConsumer)
					}
				})
			}
		}
	}
	reading.Wait()
	// The slow one's bound, eight times that for a moment, and what the others
	// have not taken yet.
	if limit := 8*bound + readers*20*(bytesEach+400); most > limit {
		t.Errorf("%d bytes waited, want at most %d", most, limit)
	}
	source.Sync()
	if n := sc.waiting(); n > 10<<10 {
		t.Errorf("%d bytes still wait when everything is done", n)
	}
	if n := gauge(t, reg, "usher_slow_receivers_total", "bytes"); n != 1 {
		t.Errorf("%v receivers were slow, want 1", n)
	}
}

// What may be lost is dropped, and counted, for a receiver that does not keep
// up; what may not is all there when it reads on.
func TestSlowReceiverLosesOnlyWhatIsLossy(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) {
		c.Metrics = reg
		c.Outbox = room.DefaultOutboxLimits
		c.Outbox.SlowAge = 5 * time.Minute // however long the test takes to send
	}})
	sc := &scene{t: t, s: s, gauges: reg, victim: s.JoinRaw(s.Token("lobby", "slow"))}
	_ = sc.victim.Conn.(*net.TCPConn).SetReadBuffer(4096)
	_ = sc.victim.Conn.SetDeadline(time.Now().Add(5 * time.Minute))
	source, _ := s.Join(s.Token("lobby", "source"))
	const messages = 2000
	filler := strings.Repeat("x", 1500)
	for n := range messages {
		source.Send(wire.Message{Type: "publishData", Reliable: ptr(false), Payload: fmt.Appendf(nil, `{"n":%d,"filler":%q}`, n, filler)})
		if n%20 == 0 {
			source.Send(wire.Message{Type: "publishData", Payload: fmt.Appendf(nil, `{"n":%d}`, n)})
		}
	}
	source.Send(wire.Message{Type: "publishData", Payload: json.RawMessage(`{"n":-1}`)})
	source.Sync()
	reliable, lossy, last := 0, 0, -1
	for {
		first, payload, err := sc.victim.Next()
		if err != nil {
			t.Fatal(err)
		}
		if first != 0x81 || !strings.HasPrefix(string(payload), `{"type":"data"`) {
			continue
		}
		e := eventOf(t, payload)
		n := int(e.Get("payload.n").(float64))
		if n == -1 {
			break
		}
		if e.Get("reliable") == true {
			if n != 20*reliable {
				t.Fatalf("reliable message %d came as number %d", n, reliable)
			}
			reliable++
		} else {
			if n <= last {
				t.Fatalf("lossy message %d came after %d", n, last)
			}
			last = n
			lossy++
		}
	}
	dropped := int(gauge(t, reg, "usher_drops_total", "full") + gauge(t, reg, "usher_drops_total", "stale"))
	if reliable != messages/20 || lossy+dropped != messages || dropped == 0 {
		t.Errorf("of %d lossy messages %d came and %d were dropped; %d reliable ones came", messages, lossy, dropped, reliable)
	}
}

// A throttle lets a client read so many bytes in a second.
type throttle struct {
	net.Conn
	began time.Time
	rate  float64
	taken int
	late  atomic.Int64 // how late the machine let us read or publish at worst, ns
}

// wasLate notes that the machine let something wait for that long.
func (c *throttle) wasLate(d time.Duration) {
	for {
		worst := c.late.Load()
		if int64(d) <= worst || c.late.CompareAndSwap(worst, int64(d)) {
			return
		}
	}
}

func (c *throttle) Read(b []byte) (int, error) {
	if c.began.IsZero() {
		c.began = time.Now()
	}
	n, err := c.Conn.Read(b[:min(len(b), 1000)])
	c.taken += n
	due := c.began.Add(time.Duration(float64(c.taken) / c.rate * float64(time.Second)))
	if wait := time.Until(due); wait > 0 {
		<-time.After(wait) // the one test in real time
		c.wasLate(time.Since(due))
	} else {
		// An idle connection does not save up.
		c.began = c.began.Add(-wait)
	}
	return n, err
}

// A client that reads 40 kB/s of a video of 1 Mbit/s sees a picture that is
// never older than 2 s, begins at a key frame after each gap, and hears the
// audio beside it.
func TestSlowReceiverSeesRecentVideo(t *testing.T) {
	const rate, kilobit = 40_000, 1000
	oldest := 2 * time.Second
	if testing.Short() {
		oldest *= 2 // the race detector slows all of it down
	}
	length := time.Duration(max(rounds(100), 50)) * 150 * time.Millisecond
	s := sessiontest.Serve(t, sessiontest.Options{})

	source, _ := s.Join(s.Token("lobby", "source"))
	video := handleOf(source.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"}))
	audio := handleOf(source.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"}))

	slow := new(throttle)
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10)
		})
	}}
	nc, err := dialer.DialContext(context.Background(), "tcp", s.HTTP.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	slow.Conn, slow.rate = nc, rate
	_ = nc.SetDeadline(time.Now().Add(length + time.Minute))
	viewer := s.RawOver(slow)
	viewer.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"join","token":"`+s.Token("lobby", "viewer")+`"}`)))

	// The publisher: 30 pictures in a second in three temporal layers, a key
	// frame when asked for one, at most every half second.
	began := time.Now()
	stamp := func() uint64 { return uint64(time.Since(began).Microseconds()) }
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		ticks := time.NewTicker(time.Second / 30)
		defer ticks.Stop()
		asked, seen, beat := true, 0, 0
		last := began
		var counter [2]uint16
		var refs [3]uint16 // the last frame of each layer
		for {
			select {
			case <-stop:
				return
			case <-ticks.C:
			}
			slow.wasLate(time.Since(last) - time.Second/30)
			last = time.Now()
			events, n := source.Since(seen)
			seen = n
			for _, e := range events {
				asked = asked || e.Type() == "keyFrameRequested"
			}
			size := kilobit * 1000 / 8 / 30
			if asked {
				size, beat = 3*size, 0
			}
			layer := []uint8{0, 2, 1, 2}[beat%4]
			beat++
			h := wire.FrameHeader{Handle: video, Key: asked, Layer: layer, Last: true, Counter: counter[0], Timestamp: stamp()}
			needs := refs[max(int(layer), 1)-1]
			for l := int(layer); l < len(refs); l++ {
				refs[l] = h.Counter // until the next of the layer the best there is
			}
			counter[0]++
			asked = false
			body := binary.BigEndian.AppendUint16(h.Append(nil), needs)
			if err := source.WS.Write(context.Background(), websocket.MessageBinary, append(body, make([]byte, size)...)); err != nil {
				t.Error(err)
				return
			}
			h = wire.FrameHeader{Handle: audio, Last: true, Counter: counter[1], Timestamp: stamp()}
			counter[1]++
			if err := source.WS.Write(context.Background(), websocket.MessageBinary, append(h.Append(nil), make([]byte, 120)...)); err != nil {
				t.Error(err)
				return
			}
		}
	})

	var newest [2]time.Duration // when the newest frame of video and audio was made
	var oldestSeen [2]time.Duration
	var came [2]int
	violations, gaps := 0, 0
	whole := map[uint16]bool{} // frames that can be shown
	next := uint16(0)
	for time.Since(began) < length {
		first, payload, err := viewer.Next()
		if err != nil {
			t.Fatal(err)
		}
		now := time.Since(began)
		for i := range newest {
			if came[i] > 0 {
				age := now - newest[i]
				oldestSeen[i] = max(oldestSeen[i], age)
				if age > oldest+time.Duration(slow.late.Load()) {
					violations++
				}
			}
		}
		if first != 0x82 {
			continue
		}
		h, _ := wire.ParseFrameHeader(payload)
		i := 0
		if h.Handle == audio {
			i = 1
		}
		newest[i] = time.Duration(h.Timestamp) * time.Microsecond
		came[i]++
		if i == 1 {
			continue
		}
		if h.Counter != next {
			gaps++
		}
		next = h.Counter + 1
		if needs := binary.BigEndian.Uint16(payload[wire.FrameHeaderBytes:]); !h.Key && !whole[needs] {
			t.Fatalf("frame %d of layer %d cannot be shown: it needs %d", h.Counter, h.Layer, needs)
		}
		whole[h.Counter] = true
	}
	close(stop)
	publishing.Wait()
	t.Logf("in %v: %d pictures with %d gaps, at most %v old; %d pieces of audio, at most %v old", length, came[0], gaps, oldestSeen[0], came[1], oldestSeen[1])
	if violations > 0 {
		t.Errorf("%d times what was newest was older than %v", violations, oldest)
	}
	if gaps == 0 {
		t.Error("the reader was not too slow for the video")
	}
}
