package webhook_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"usher/auth"
	"usher/room"
	"usher/room/store"
	"usher/web/webhook"
)

const (
	project = "acme"
	key     = "APIacme"
)

var secret = auth.Secret("a-signing-secret-of-32-characters")

// A received is one request that a sink has read to its end.
type received struct {
	header http.Header
	body   string
	event  message
}

// A message is the body that [encode] makes.
type message struct {
	Event, ID, Room, Who, RoomSID, Reason, Metadata string
	Seq                                             uint64
	Shown                                           int
	At                                              time.Time
}

// encode writes occurrences in a way that is easily checked. What is Extra is
// what LiveKit does not have.
func encode(o *room.Occurrence, newID func() string) []webhook.Event {
	m := message{Event: string(o.Occasion), ID: newID(), Room: o.Room.Name, RoomSID: o.Room.ID, Seq: o.Seq,
		Shown: o.Room.NumParticipants, Reason: string(o.Reason), At: o.At.Round(0)}
	if o.Participant != nil {
		m.Who, m.Metadata = o.Participant.Identity, o.Participant.Metadata
	}
	body, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	extra := o.Occasion == room.ParticipantChanged || o.Occasion == room.RoomChanged || o.Occasion == room.TokensRevoked
	return []webhook.Event{{ID: m.ID, Name: m.Event, Body: body, Extra: extra}}
}

// A sink takes events on a port of the loopback interface.
type sink struct {
	t    *testing.T
	addr string

	mu      sync.Mutex
	changed *sync.Cond
	got     []received
	// answer is called for each request after it is noted, outside of mu. Nil: 200.
	answer func(w http.ResponseWriter, r *http.Request, m message)
	server *http.Server
	served sync.WaitGroup
}

func newSink(t *testing.T) *sink {
	s := &sink{t: t, addr: "127.0.0.1:0"}
	s.changed = sync.NewCond(&s.mu)
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *sink) url() string { return "http://" + s.addr + "/hook" }

// start listens, on the port of the last time if there was one.
func (s *sink) start() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.server = &http.Server{Handler: s, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.served.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.served.Done()
			}
		}}
	s.served.Go(func() { _ = s.server.Serve(l) }) // until stop
}

// stop cuts all connections. Nothing is received any more when it returns.
func (s *sink) stop() {
	_ = s.server.Close()
	s.served.Wait()
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender did not finish it
	}
	got := received{header: r.Header, body: string(body)}
	if err := json.Unmarshal(body, &got.event); err != nil {
		s.t.Errorf("the body %q: %v", body, err)
	}
	s.mu.Lock()
	s.got = append(s.got, got)
	answer := s.answer
	s.changed.Broadcast()
	s.mu.Unlock()
	if answer != nil {
		answer(w, r, got.event)
	}
}

func (s *sink) answers(f func(w http.ResponseWriter, r *http.Request, m message)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// until waits until what was received has some property, and returns it.
func (s *sink) until(ok func([]received) bool) []received {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok(s.got) {
		if ctx.Err() != nil {
			s.t.Fatalf("received %d requests, and then nothing for too long: %v", len(s.got), names(s.got))
		}
		s.changed.Wait()
	}
	return slices.Clone(s.got)
}

func (s *sink) requests(n int) []received {
	s.t.Helper()
	return s.until(func(got []received) bool { return len(got) >= n })
}

// names tells requests in short: the event, and whom or what it is about.
func names(got []received) (out []string) {
	for _, r := range got {
		name := r.event.Event + " " + r.event.Room
		if r.event.Who != "" {
			name += "/" + r.event.Who
		}
		out = append(out, name)
	}
	return out
}

func status(code int, header ...string) func(http.ResponseWriter, *http.Request, message) {
	return func(w http.ResponseWriter, _ *http.Request, _ message) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// cut ends the connection after some bytes of an answer.
func cut(w http.ResponseWriter, bytes string) {
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	writeAndClose(conn, rw, bytes)
}

func writeAndClose(conn net.Conn, rw *bufio.ReadWriter, bytes string) {
	_, _ = rw.WriteString(bytes)
	_ = rw.Flush()
	_ = conn.Close()
}

// A house makes the occurrences of rooms as they would come.
type house struct {
	observe func(*room.Occurrence)
	rooms   map[string]*room.Summary
	seq     map[string]uint64
	infos   map[string]*room.Info
}

func newHouse(o room.Observer) *house {
	return &house{observe: o.Observe, rooms: map[string]*room.Summary{}, seq: map[string]uint64{}, infos: map[string]*room.Info{}}
}

func (h *house) occur(name string, o room.Occurrence) {
	r := h.rooms[name]
	h.seq[name]++
	o.At, o.Project, o.Seq, o.Room = time.Now(), project, h.seq[name], *r
	h.observe(&o)
}

func (h *house) open(name string) {
	h.rooms[name] = &room.Summary{ID: "RM_" + name, Name: name, CreatedAt: time.Now()}
	h.occur(name, room.Occurrence{Occasion: room.RoomStarted})
}

func (h *house) enter(name, who string) {
	h.rooms[name].NumParticipants++
	h.infos[name+"/"+who] = &room.Info{SID: "PA_" + who, Identity: who, State: room.Active, JoinedAt: time.Now(), Metadata: "new"}
	h.occur(name, room.Occurrence{Occasion: room.ParticipantEntered, Participant: h.infos[name+"/"+who]})
}

func (h *house) change(name, who, metadata string, changed room.Changed) {
	i := &room.Info{SID: "PA_" + who, Identity: who, State: room.Active, Metadata: metadata, JoinedAt: h.infos[name+"/"+who].JoinedAt}
	h.infos[name+"/"+who] = i
	h.occur(name, room.Occurrence{Occasion: room.ParticipantChanged, Participant: i, Changed: changed})
}

func (h *house) leave(name, who string) {
	h.rooms[name].NumParticipants--
	h.occur(name, room.Occurrence{Occasion: room.ParticipantDeparted, Participant: h.infos[name+"/"+who], Reason: room.ClientInitiated})
}

func (h *house) meet(name, id string) {
	h.rooms[name].Meeting = room.Meeting{ID: id, Began: time.Now()}
	h.occur(name, room.Occurrence{Occasion: room.MeetingStarted})
}

func (h *house) wait(name, who string) {
	h.occur(name, room.Occurrence{Occasion: room.WaitingEntered, Participant: &room.Info{SID: "PA_" + who, Identity: who, JoinedAt: time.Now()}})
}

func (h *house) end(name string) { h.occur(name, room.Occurrence{Occasion: room.RoomFinished}) }

// A setup is a sender's config that a test changes before it starts.
type setup struct {
	webhook.Config
	metrics *prometheus.Registry
}

// newSetup returns a config with short pauses, for one target.
func newSetup(url string, s store.Store) *setup {
	reg := prometheus.NewRegistry()
	return &setup{metrics: reg, Config: webhook.Config{
		Store: s, Encode: encode, Metrics: reg,
		Targets:  []webhook.Target{{Project: project, URL: url, KeyID: key, Secret: secret}},
		RetryMin: time.Millisecond, RetryMax: 10 * time.Millisecond,
	}}
}

func (s *setup) start(t *testing.T) *webhook.Sender {
	t.Helper()
	sender, err := webhook.New(s.Config)
	if err == nil {
		err = sender.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

// stop stops a sender when all is delivered.
func stop(t *testing.T, s *webhook.Sender) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if ctx.Err() != nil {
		t.Error("not all was delivered within a minute")
	}
}

// halt stops a sender at once.
func halt(t *testing.T, s *webhook.Sender) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// outcomes returns what the counter of deliveries has for each outcome that
// occurred.
func (s *setup) outcomes(t *testing.T) string {
	t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		if f.GetName() != "usher_webhook_deliveries_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if n := m.GetCounter().GetValue(); n > 0 {
				out = append(out, fmt.Sprintf("%s %v", m.GetLabel()[0].GetValue(), n))
			}
		}
	}
	return strings.Join(out, ", ")
}

func (s *setup) lint(t *testing.T) {
	t.Helper()
	if problems, err := testutil.GatherAndLint(s.metrics); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// records returns the keys of a bucket.
func records(t *testing.T, s store.Store, b store.Bucket) []string {
	t.Helper()
	keys := map[string]bool{}
	if err := s.Load(b, func(key string, _ []byte) error { keys[key] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(keys))
}

func wantNames(t *testing.T, got []received, want ...string) {
	t.Helper()
	if g := names(got); !slices.Equal(g, want) {
		t.Errorf("received\n\t%s\nwant\n\t%s", strings.Join(g, "\n\t"), strings.Join(want, "\n\t"))
	}
}
