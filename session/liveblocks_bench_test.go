package session_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	authlb "usher/auth/liveblocks"
	"usher/session/sessiontest"
)

// enter connects as Liveblocks' client does, and returns when ROOM_STATE has come.
func (s *bench) enter(roomName, user string) *websocket.Conn {
	door := sessiontest.LiveblocksEntry(authlb.Config{})
	token, err := authlb.AccessToken{User: user, Permissions: map[string][]string{"*": {"*:write"}}}.Mint(door.Key, time.Hour)
	if err != nil {
		panic(err)
	}
	q := url.Values{"roomId": {roomName}, "tok": {token}, "version": {sessiontest.LiveblocksVersion}}
	ws, _, err := websocket.Dial(context.Background(), "ws://"+s.addr+"/v8?"+q.Encode(), nil)
	if err != nil {
		panic(err)
	}
	ws.SetReadLimit(-1)
	if _, state, err := ws.Read(context.Background()); err != nil || !bytes.HasPrefix(state, []byte(`{"type":104`)) {
		panic(fmt.Sprint("got ", string(state), err))
	}
	return ws
}

// party is crowd for Liveblocks' clients, each of which has a presence.
func (s *bench) party(n, size int, read func([]byte)) []*websocket.Conn {
	people := make([]*websocket.Conn, n)
	prefix := fmt.Sprint(time.Now().UnixNano())
	limit := make(chan struct{}, 32)
	var joining sync.WaitGroup
	for i := range people {
		limit <- struct{}{}
		joining.Go(func() {
			people[i] = s.enter(fmt.Sprint(prefix, "-", i/size), fmt.Sprint("p", i))
			speak(people[i], `[{"type":100,"targetActor":-1,"data":{"cursor":null,"name":"somebody"}}]`)
			speak(people[i], `ping`)
			for {
				_, m, err := people[i].Read(context.Background())
				if err != nil {
					panic(err)
				}
				if string(m) == "pong" {
					break
				}
			}
			<-limit
			go func() { // ends with the connection
				for {
					_, m, err := people[i].Read(context.Background())
					if err != nil {
						return
					}
					if read != nil {
						read(m)
					}
				}
			}()
		})
	}
	joining.Wait()
	return people
}

func speak(ws *websocket.Conn, text string) {
	if err := ws.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		panic(err)
	}
}

// BenchmarkLiveblocksJoin is BenchmarkJoin for Liveblocks' clients, whose first
// presence is a part of it.
func BenchmarkLiveblocksJoin(b *testing.B) {
	s := startBench(b)
	var used cost
	for left := b.N; left > 0; left -= 2000 {
		before := s.cost("")
		people := s.party(min(left, 2000), 10, nil)
		after := s.cost("")
		used.CPU += after.CPU - before.CPU
		used.Allocs += after.Allocs - before.Allocs
		disperse(people)
	}
	b.ReportMetric(float64(used.CPU.Microseconds())/float64(b.N), "server-µs/join")
	b.ReportMetric(float64(used.Allocs)/float64(b.N), "server-allocs/join")
}

// BenchmarkLiveblocksEvents is BenchmarkFanout for broadcast events.
func BenchmarkLiveblocksEvents(b *testing.B) {
	for _, window := range []int{1, 4, 16} {
		b.Run(fmt.Sprint("window=", window), func(b *testing.B) {
			fanOut(b, 1, 500, window, `[{"type":103,"event":"`+strings.Repeat("x", 128)+`"}]`, []byte(`[{"type":103`))
		})
	}
}

// BenchmarkLiveblocksPresence is one delivery of a moved cursor: of one of many, and
// of all of a few who move theirs at the same time.
func BenchmarkLiveblocksPresence(b *testing.B) {
	const moved = `[{"type":100,"data":{"cursor":{"x":1234.5,"y":678.25}}}]`
	mark := []byte(`{"x":1234.5`)
	b.Run("senders=1,receivers=500", func(b *testing.B) { fanOut(b, 1, 500, 1, moved, mark) })
	b.Run("senders=50,receivers=49", func(b *testing.B) { fanOut(b, 50, 49, 1, moved, mark) })
}

// fanOut has senders send a text, so often at a time, to everybody else; what
// arrives of it is told by mark.
func fanOut(b *testing.B, senders, receivers, window int, text string, mark []byte) {
	s := startBench(b)
	var all sync.WaitGroup // deliveries to come
	people := s.party(receivers+1, receivers+1, func(m []byte) {
		if n := bytes.Count(m, mark); n > 0 {
			all.Add(-n)
		}
	})
	defer disperse(people)
	rounds := max(1, b.N/(senders*receivers*window))
	before := s.cost("")
	b.ResetTimer()
	for range rounds {
		all.Add(senders * receivers * window)
		for range window {
			for _, ws := range people[:senders] {
				speak(ws, text)
			}
		}
		all.Wait()
	}
	b.StopTimer()
	after := s.cost("")
	deliveries := float64(rounds * window * senders * receivers)
	b.ReportMetric(float64((after.CPU-before.CPU).Nanoseconds())/1000/deliveries, "server-µs/delivery")
	b.ReportMetric(float64(after.Allocs-before.Allocs)/deliveries, "server-allocs/delivery")
}

// BenchmarkLiveblocksIdle is BenchmarkIdleConnection for Liveblocks' clients.
func BenchmarkLiveblocksIdle(b *testing.B) {
	const idle = 2000 // whatever b.N: it is measured once
	s := startBench(b)
	before := s.cost("?memory")
	people := s.party(idle, 10, nil)
	after := s.cost("?memory")
	b.ReportMetric(float64(after.Memory-before.Memory)/idle, "server-bytes/connection")
	disperse(people)
}
