package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"usher/web/npmtest"
)

// projectOf is a project in which readers may not broadcast.
const (
	projectSecret = "sk_0123456789abcdef0123456789abcdef"
	projectPublic = "pk_acme"
	projectOf     = `projects:
  - name: acme
    liveblocks: { secret_key: ` + projectSecret + `, public_key: ` + projectPublic + `, readers_broadcast: false }
limits: { joins_per_second: 0, messages_per_second: 0 }
drain: 100ms
`
)

// configured are the flags of a server with that project.
func configured(t *testing.T) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "usher.yaml")
	if err := os.WriteFile(file, []byte(projectOf), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--config", file}
}

// A backend calls the REST API with a secret key.
type backend struct {
	url, secret string
	client      *http.Client
}

// call fails unless the answer is 2xx, and decodes it into told unless that is nil.
func (b *backend) call(method, path string, body, told any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, b.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+b.secret)
	req.Header.Set("Content-Type", "application/json")
	res, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, answer)
	}
	if err == nil && told != nil {
		err = json.Unmarshal(answer, told)
	}
	return err
}

// A member is a connection of somebody in the group of that number.
type member struct {
	ws    *websocket.Conn
	group int
	ended chan struct{} // closed when nothing more comes
	err   error         // why, once ended is closed
	pongs chan struct{}
}

func (b *backend) enter(room string, group, n int, got func(text []byte)) (*member, error) {
	var issued struct{ Token string }
	if err := b.call(http.MethodPost, "/v2/identify-user", map[string]any{
		"userId": fmt.Sprintf("u%d-%d", group, n), "groupIds": []string{fmt.Sprintf("g%d", group)},
	}, &issued); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), npmtest.Patience)
	defer cancel()
	query := url.Values{"roomId": {room}, "tok": {issued.Token}, "version": {"3.24.2"}}
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(b.url, "http")+"/v8?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(-1)
	m := &member{ws: ws, group: group, ended: make(chan struct{}), pongs: make(chan struct{}, 1)}
	begun := make(chan struct{})
	go func() { // ends with the connection
		defer close(m.ended)
		for first := true; ; first = false {
			_, text, err := ws.Read(context.Background())
			if err != nil {
				m.err = err
				return
			}
			switch {
			case first:
				close(begun)
			case string(text) == "pong":
				m.pongs <- struct{}{}
			case got != nil:
				got(text)
			}
		}
	}()
	select {
	case <-begun:
		return m, m.write(fmt.Sprintf(`[{"type":100,"targetActor":-1,"data":{"group":%d}}]`, group))
	case <-m.ended:
		return nil, fmt.Errorf("refused: %w", m.err)
	}
}

func (m *member) write(text string) error {
	return m.ws.Write(context.Background(), websocket.MessageText, []byte(text))
}

// flood broadcasts events that name the group and are counted, each after the
// server has read the one before, until the connection or the test ends.
func (m *member) flood(stop <-chan struct{}) {
	for i := 0; ; i++ {
		if m.write(fmt.Sprintf(`[{"type":103,"event":{"group":%d,"i":%d}}]`, m.group, i)) != nil || m.write("ping") != nil {
			return
		}
		select {
		case <-m.pongs:
		case <-m.ended:
			return
		case <-stop:
			return
		}
	}
}

// said is what a witness has heard of each group, and the group that may say
// nothing any more.
type said struct {
	heard  []atomic.Int64
	marked chan int // groups of which the backend has said that it is over

	// Owned by the witness's reader.
	over map[int]bool
	late []string
}

func (s *said) got(text []byte) {
	var list []struct {
		Type  int
		Actor int
		Event struct {
			Group int
			Over  *int
		}
	}
	if !bytes.HasPrefix(text, []byte("[")) || json.Unmarshal(text, &list) != nil {
		return
	}
	for _, m := range list {
		switch {
		case m.Type != 103:
		case m.Actor < 0 && m.Event.Over != nil:
			s.over[*m.Event.Over] = true
			s.marked <- *m.Event.Over
		case s.over[m.Event.Group]:
			s.late = append(s.late, fmt.Sprintf("group %d, which may say nothing any more: %s", m.Event.Group, text))
		default:
			s.heard[m.Event.Group].Add(1)
		}
	}
}

// Many people are in a room and talk, and one group after another loses the right
// to broadcast, or its access. When the call that takes it has answered, nobody
// gets one more message of theirs. It goes through the REST API and real sockets.
func TestEditsUnderLoad(t *testing.T) {
	people := map[string]int{"soak": 5000, "usual": 500, "short": 120}[size()]
	groups := min(50, people/10)
	each := people / groups // people in a group
	const talkers = 5       // of them talk, the others listen
	random := rand.New(rand.NewPCG(uint64(seed(t)), 0))
	server := suite.Server(t, t.TempDir(), configured(t)...)
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	t.Cleanup(transport.CloseIdleConnections)
	b := &backend{server.URL(), projectSecret, &http.Client{Transport: transport}}

	const room = "load: room/1"
	path := "/v2/rooms/" + url.PathEscape(room)
	list := map[string]any{"witness": []string{"*:read"}}
	for g := range groups {
		list[fmt.Sprintf("g%d", g)] = []string{"*:write"}
	}
	if err := b.call(http.MethodPost, "/v2/rooms", map[string]any{"id": room, "defaultAccesses": []string{}, "groupsAccesses": list}, nil); err != nil {
		t.Fatal(err)
	}
	heard := &said{heard: make([]atomic.Int64, groups), marked: make(chan int, groups), over: map[int]bool{}}

	// The witness is of group 0, which loses nothing.
	witness, err := b.enter(room, 0, 0, heard.got)
	if err != nil {
		t.Fatal(err)
	}
	members := make([]*member, people)
	members[0] = witness
	var mu sync.Mutex
	var entering errgroup.Group
	entering.SetLimit(32)
	for i := 1; i < people; i++ {
		entering.Go(func() error {
			m, err := b.enter(room, i/each, i%each, nil)
			mu.Lock()
			defer mu.Unlock()
			members[i] = m
			return err
		})
	}
	t.Cleanup(func() {
		for _, m := range members {
			if m != nil {
				_ = m.ws.CloseNow()
				<-m.ended
			}
		}
	})
	if err := entering.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d people are in", people)

	stop := make(chan struct{})
	var talking sync.WaitGroup
	talk := func(group int) {
		for _, m := range members[group*each:][:talkers] {
			talking.Go(func() { m.flood(stop) })
		}
	}
	order := random.Perm(groups - 1)
	talk(order[0] + 1)
	for i, g := range order {
		g++
		if i+1 < len(order) {
			talk(order[i+1] + 1) // somebody else talks, too
		}
		watchdog := time.NewTimer(npmtest.Patience)
		for heard.heard[g].Load() < 4*talkers { // all of it is in the middle of talking
			select {
			case <-watchdog.C:
				t.Fatalf("nobody of group %d is heard", g)
			case <-witness.ended:
				t.Fatalf("the witness was put out: %v", witness.err)
			case <-time.After(time.Millisecond):
			}
		}
		watchdog.Stop()
		out := random.IntN(2) == 0
		var now any // null: out
		if !out {
			now = []string{"*:read"}
		}
		if err := b.call(http.MethodPost, path, map[string]any{"groupsAccesses": map[string]any{fmt.Sprintf("g%d", g): now}}, nil); err != nil {
			t.Fatal(err)
		}
		if err := b.call(http.MethodPost, path+"/broadcast-event", map[string]any{"over": g}, nil); err != nil {
			t.Fatal(err)
		}
		select {
		case <-heard.marked:
		case <-time.After(npmtest.Patience):
			t.Fatal("the witness does not hear the backend")
		}
		for _, m := range members[g*each:][:each] {
			if !out {
				select {
				case <-m.ended:
					t.Fatalf("a reader was put out: %v", m.err)
				default:
				}
				continue
			}
			select {
			case <-m.ended:
			case <-time.After(npmtest.Patience):
				t.Fatal("somebody without access is still connected")
			}
			if code := websocket.CloseStatus(m.err); code != 4001 {
				var end websocket.CloseError
				errors.As(m.err, &end)
				t.Errorf("somebody without access was put out with %d %s (%v), want 4001", code, end.Reason, m.err)
			}
		}
	}
	close(stop)
	talking.Wait()
	// What readers have said until now is behind one more word of the backend.
	if err := b.call(http.MethodPost, path+"/broadcast-event", map[string]any{"over": 0}, nil); err != nil {
		t.Fatal(err)
	}
	<-heard.marked
	_ = witness.ws.CloseNow()
	<-witness.ended
	for _, text := range heard.late {
		t.Error(text)
	}
	total := int64(0)
	for i := range heard.heard {
		total += heard.heard[i].Load()
	}
	t.Logf("%d edits; the witness heard %d events", groups-1, total)
}
