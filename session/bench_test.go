package session_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"usher/auth"
	authlb "usher/auth/liveblocks"
	"usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/liveblocks"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// The benchmarks run the server as a process of its own, so that what they
// report is the server's cost alone: this file's TestMain turns the test binary
// into that process.
const benchServerEnv = "USHER_BENCH_SERVER"

// With USHER_BENCH_PROFILE=file that process writes a CPU profile.
const benchProfileEnv = "USHER_BENCH_PROFILE"

// cost is what the server has used so far.
type cost struct {
	CPU    time.Duration // user and system
	Allocs uint64
	Memory uint64 // heap and stacks in use, after a collection
}

// serveBench is the server's process. It ends when its input does.
func serveBench() {
	door := sessiontest.LiveblocksEntry(authlb.Config{ReadersBroadcast: true})
	keys, err := auth.NewKeys([]auth.Key{{ID: sessiontest.Key, Secret: auth.Secret(sessiontest.Secret), Project: "test", Format: livekit.Format{}}, door.Key}, nil)
	if err != nil {
		panic(err)
	}
	verifier := auth.NewVerifier(keys, 0)
	rooms, err := room.New(room.Config{AutoCreate: true, AccessLists: door.Format, Refresh: session.Refresher(verifier, 10*time.Minute)})
	if err != nil {
		panic(err)
	}
	sessions := session.New(session.Config{Rooms: rooms, Verifier: verifier,
		Dialects: []session.Dialect{liveblocks.New(liveblocks.Config{Rooms: rooms, Verifier: verifier})}})
	mux := http.NewServeMux()
	mux.Handle("/session", sessions)
	mux.Handle("/v8", sessions)
	mux.HandleFunc("/cost", func(w http.ResponseWriter, r *http.Request) {
		var usage syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
		c := cost{CPU: time.Duration(usage.Utime.Nano() + usage.Stime.Nano())}
		if r.URL.Query().Has("memory") {
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		c.Allocs, c.Memory = m.Mallocs, m.HeapInuse+m.StackInuse
		_ = json.NewEncoder(w).Encode(c)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if path := os.Getenv(benchProfileEnv); path != "" {
		f, err := os.Create(path)
		if err != nil {
			panic(err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			panic(err)
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Println(l.Addr())
	l = sessions.Front(l, mux, "/session", "/v8")
	go func() { _ = http.Serve(l, mux) }() // ends with the process
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// bench is a server's process as its clients see it.
type bench struct {
	b    *testing.B
	addr string
}

func startBench(b *testing.B) *bench {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchServerEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return &bench{b, strings.TrimSpace(addr)}
}

func (s *bench) cost(query string) (c cost) {
	s.b.Helper()
	answer, err := http.Get("http://" + s.addr + "/cost" + query)
	if err != nil {
		s.b.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&c); err != nil {
		s.b.Fatal(err)
	}
	return c
}

// join connects, joins and returns when the answer has come.
func (s *bench) join(roomName, identity string) *websocket.Conn {
	token, err := livekit.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret),
		livekit.Claims{Identity: identity, Video: &livekit.VideoGrant{RoomJoin: true, Room: roomName}}, time.Hour, time.Now())
	if err != nil {
		panic(err)
	}
	ws, _, err := websocket.Dial(context.Background(), "ws://"+s.addr+"/session", &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		panic(err)
	}
	ws.SetReadLimit(-1)
	message, _ := json.Marshal(wire.Message{Type: "join", Token: token})
	if err := ws.Write(context.Background(), websocket.MessageText, message); err != nil {
		panic(err)
	}
	if _, answer, err := ws.Read(context.Background()); err != nil || !bytes.HasPrefix(answer, []byte(`{"type":"joined"`)) {
		panic(fmt.Sprint("got ", string(answer), err))
	}
	return ws
}

// crowd joins n people, size of them to a room, a few at a time. Each is read
// from, by read if there is one, until its connection ends.
func (s *bench) crowd(n, size int, read func([]byte)) []*websocket.Conn {
	people := make([]*websocket.Conn, n)
	prefix := fmt.Sprint(time.Now().UnixNano())
	limit := make(chan struct{}, 32)
	var joining sync.WaitGroup
	for i := range people {
		limit <- struct{}{}
		joining.Go(func() {
			people[i] = s.join(fmt.Sprint(prefix, "-", i/size), fmt.Sprint("p", i))
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

func disperse(people []*websocket.Conn) {
	for _, ws := range people {
		_ = ws.CloseNow()
	}
}

// BenchmarkJoin is one person joining a room of ten, its announcement to the
// others included.
func BenchmarkJoin(b *testing.B) {
	s := startBench(b)
	var used cost
	for left := b.N; left > 0; left -= 2000 {
		before := s.cost("")
		people := s.crowd(min(left, 2000), 10, nil)
		after := s.cost("")
		used.CPU += after.CPU - before.CPU
		used.Allocs += after.Allocs - before.Allocs
		disperse(people)
	}
	b.ReportMetric(float64(used.CPU.Microseconds())/float64(b.N), "server-µs/join")
	b.ReportMetric(float64(used.Allocs)/float64(b.N), "server-allocs/join")
}

// BenchmarkFanout is one delivery of a message of 128 bytes to one of 500
// people, with so many messages on their way at a time.
func BenchmarkFanout(b *testing.B) {
	const receivers = 500
	for _, window := range []int{1, 4, 16} {
		b.Run(fmt.Sprint("window=", window), func(b *testing.B) {
			s := startBench(b)
			var all sync.WaitGroup // deliveries to come
			people := s.crowd(receivers+1, receivers+1, func(m []byte) {
				if bytes.HasPrefix(m, []byte(`{"type":"data"`)) {
					all.Done()
				}
			})
			defer disperse(people)
			message := []byte(`{"type":"publishData","payload":"` + strings.Repeat("x", 128) + `"}`)
			rounds := max(1, b.N/(receivers*window))
			before := s.cost("")
			b.ResetTimer()
			for range rounds {
				all.Add(receivers * window)
				for range window {
					if err := people[0].Write(context.Background(), websocket.MessageText, message); err != nil {
						b.Fatal(err)
					}
				}
				all.Wait()
			}
			b.StopTimer()
			after := s.cost("")
			deliveries := float64(rounds * window * receivers)
			b.ReportMetric(float64((after.CPU-before.CPU).Nanoseconds())/1000/deliveries, "server-µs/delivery")
			b.ReportMetric(float64(after.Allocs-before.Allocs)/deliveries, "server-allocs/delivery")
		})
	}
}

// BenchmarkIdleConnection is what a connection takes that joined and does nothing.
func BenchmarkIdleConnection(b *testing.B) {
	const idle = 2000 // whatever b.N: it is measured once
	s := startBench(b)
	before := s.cost("?memory")
	people := s.crowd(idle, 10, nil)
	after := s.cost("?memory")
	b.ReportMetric(float64(after.Memory-before.Memory)/idle, "server-bytes/connection")
	disperse(people)
}
