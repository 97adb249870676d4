package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"usher/auth"
	"usher/auth/livekit"
	"usher/session/wire"
)

// BenchmarkUpdateParticipant is one change of a permission by the server API
// while so many sessions are open, in rooms of ten: until the call has returned,
// which is when the change is in force and durable, and until the participant
// has been told. The server is the real program, with its store on disk.
func BenchmarkUpdateParticipant(b *testing.B) {
	program := filepath.Join(b.TempDir(), "usher")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	for _, sessions := range []int{1, 10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint("sessions=", sessions), func(b *testing.B) {
			s := startBench(b, program)
			people := s.crowd(sessions)
			var calls, seen []time.Duration
			b.ResetTimer()
			for i := range b.N {
				p := people[i%len(people)]
				call, told := s.flip(p, i/len(people)%2 == 1)
				calls, seen = append(calls, call), append(seen, told)
			}
			b.StopTimer()
			for _, m := range []struct {
				name string
				all  []time.Duration
			}{{"call", calls}, {"seen", seen}} {
				slices.Sort(m.all)
				b.ReportMetric(float64(m.all[len(m.all)/2].Microseconds()), "p50-"+m.name+"-µs")
				b.ReportMetric(float64(m.all[len(m.all)*99/100].Microseconds()), "p99-"+m.name+"-µs")
			}
		})
	}
}

// benchServer is a server's process as a backend and its people see it.
type benchServer struct {
	b    *testing.B
	addr string
}

func startBench(b *testing.B, program string) *benchServer {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	cmd := exec.Command(program, "serve", "--dev", "--addr", addr, "--data", b.TempDir(), "--log-level", "warn")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	})
	for {
		answer, err := http.Get("http://" + addr + "/readyz")
		if err == nil {
			_ = answer.Body.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return &benchServer{b, addr}
}

// benchPerson is somebody in a room, who waits to be told of changes.
type benchPerson struct {
	room, identity string
	admin          string
	changed        chan struct{}
}

func (s *benchServer) mint(identity string, grant livekit.VideoGrant) string {
	token, err := livekit.Mint(devKey, auth.Secret(devSecret), livekit.Claims{Identity: identity, Video: &grant}, time.Hour, time.Now())
	if err != nil {
		panic(err)
	}
	return token
}

func (s *benchServer) crowd(n int) []*benchPerson {
	people := make([]*benchPerson, n)
	limit := make(chan struct{}, 32)
	var joining sync.WaitGroup
	for i := range people {
		limit <- struct{}{}
		joining.Go(func() {
			people[i] = s.join(fmt.Sprint("room", i/10), fmt.Sprint("p", i))
			<-limit
		})
	}
	joining.Wait()
	return people
}

func (s *benchServer) join(room, identity string) *benchPerson {
	p := &benchPerson{room: room, identity: identity, changed: make(chan struct{}, 1),
		admin: s.mint("", livekit.VideoGrant{RoomAdmin: true, Room: room})}
	ws, _, err := websocket.Dial(context.Background(), "ws://"+s.addr+"/session", &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		panic(err)
	}
	ws.SetReadLimit(-1)
	s.b.Cleanup(func() { _ = ws.CloseNow() })
	message, _ := json.Marshal(wire.Message{Type: "join", Token: s.mint(identity, livekit.VideoGrant{RoomJoin: true, Room: room})})
	if err := ws.Write(context.Background(), websocket.MessageText, message); err != nil {
		panic(err)
	}
	if _, answer, err := ws.Read(context.Background()); err != nil || !bytes.HasPrefix(answer, []byte(`{"type":"joined"`)) {
		panic(fmt.Sprint("got ", string(answer), err))
	}
	own := []byte(`"identity":"` + identity + `"`)
	go func() { // ends with the connection
		for {
			_, m, err := ws.Read(context.Background())
			if err != nil {
				return
			}
			if bytes.HasPrefix(m, []byte(`{"type":"participantUpdated"`)) && bytes.Contains(m, own) {
				p.changed <- struct{}{}
			}
		}
	}()
	return p
}

// flip gives or takes a right, and returns how long the call took, and how long
// it took from its beginning until the participant was told.
func (s *benchServer) flip(p *benchPerson, allowed bool) (call, told time.Duration) {
	body := fmt.Sprintf(`{"room":%q,"identity":%q,"permission":{"can_subscribe":true,"can_publish":%t}}`, p.room, p.identity, allowed)
	r, err := http.NewRequest(http.MethodPost, "http://"+s.addr+"/twirp/livekit.RoomService/UpdateParticipant", bytes.NewReader([]byte(body)))
	if err != nil {
		s.b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.admin)
	r.Header.Set("Content-Type", "application/json")
	began := time.Now()
	answered := make(chan time.Duration, 1)
	go func() { // ends with the answer
		answer, err := http.DefaultClient.Do(r)
		answered <- time.Since(began)
		if err != nil {
			panic(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(answer.Body)
			panic(string(text))
		}
		_, _ = io.Copy(io.Discard, answer.Body)
	}()
	<-p.changed
	told = time.Since(began)
	return <-answered, told
}
