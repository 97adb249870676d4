// Package session serves WebSockets: one connection at a time becomes, or
// resumes, a participant's session. Package room decides what happens.
//
// What is said on a connection is a dialect's business: the native protocol,
// which docs/protocol.md describes, or another one that [Config].Dialects brings
// along. Sockets, turns, limits, pings, closing and draining are the same for all.
//
// A read loop takes a message, has the room check it and place its effects in one
// step, and goes on while whole messages are in its buffer; then whatever that
// left to be written is written. Writing to others never waits.
//
// On Linux a plain TCP connection costs no goroutine. A poller for each core waits
// for all of them and gives the session of one that has something to read a turn:
// its read loop runs in the poller's goroutine until nothing is left, or the turn
// has had its share, and then parks. Between two turns nobody touches what the
// read loop owns. A turn that is about to wait, for the store, the flushers or the
// rest of a message, first leaves the poller to another goroutine: the lead is
// handed over, and what waits has a goroutine of its own for so long. So has the
// end of a connection. Nearly all messages are taken as they lie in the buffer;
// the WebSocket library reads whatever is not one whole frame. A [Server.Front]
// serves the requests that become WebSockets without net/http, in turns, too.
//
// Over TLS, in memory and elsewhere a read loop is a goroutine, started when the
// HTTP handler has returned, and reads as the library does.
package session

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"usher/auth"
	"usher/room"
	"usher/session/wire"
)

// Config is how sessions behave. Zero values mean what is said with each field.
type Config struct {
	Rooms    *room.Rooms    // required
	Verifier *auth.Verifier // required

	// PublicKey returns what whoever comes with a public key in place of a token is
	// granted, a new person each time, or nil when it is none. Optional: without
	// it nobody joins by a public key.
	PublicKey func(key string) *auth.Grant

	// Anyone returns what whoever comes without a token may be granted in a room of
	// the project, the first one when it names none: a new person each time. Nil:
	// nobody comes without. Optional.
	Anyone func(project, room, name string) *auth.Grant
	// Ignores returns the project that lets people in with a token that does not hold,
	// as if they had none: the token's, of one that names none the project that
	// the join names. Optional.
	Ignores func(token, project string) (named string, ok bool)

	// Joined is told of each grant that has come in, or has begun to wait; not of a
	// resume. It is called outside of locks, by the connection, and must not wait.
	// Optional.
	Joined func(*auth.Grant)

	// Origins are the pages that may connect, like https://app.example.com.
	// Empty: the server's own. AnyOrigin allows all.
	Origins   []string
	AnyOrigin bool

	// MessageBytes is the largest message of a client. Default 1 MiB.
	MessageBytes int
	// JoinTimeout is how long a connection may take to join. Default 5 s.
	JoinTimeout time.Duration
	// PingInterval is how often the server pings; a connection that was not
	// heard for two of them is closed. Default 15 s.
	PingInterval time.Duration
	// UnjoinedSockets and UnjoinedBytes bound what connections that have not
	// joined may hold together. Default 16384 and 128 MiB.
	UnjoinedSockets int
	UnjoinedBytes   int64
	// JoinsPerSecond limits connections from one address; 0: no limit.
	// JoinsBurst is how many may come at once. Default four seconds' worth.
	JoinsPerSecond float64
	JoinsBurst     int
	// MessagesPerSecond limits what one session may send; 0: no limit.
	MessagesPerSecond float64

	// Dialects are the protocols spoken beside the native one, each at paths of
	// its own. At every other path the native protocol is spoken.
	Dialects []Dialect

	Log     *slog.Logger          // optional
	Metrics prometheus.Registerer // optional
}

// A Server is an http.Handler that upgrades requests to sessions. Its methods
// may be called concurrently.
type Server struct {
	cfg      Config
	metrics  *metrics
	dialects map[string]Dialect // static; by path
	limiter  *addressLimiter
	unjoined atomic.Int64
	refusing atomic.Int64              // connections that are told why they may not join
	waiting  atomic.Int64              // bytes read by connections that have not joined
	keys     atomic.Pointer[auth.Keys] // that KeysChanged saw last

	mu       sync.Mutex // guards the following fields
	draining bool
	cutting  bool // the drain's time is over
	closed   bool // nothing begins any more
	sessions map[*session]struct{}
	running  int       // upgrades and sessions
	none     sync.Cond // on mu: running is 0

	pollers pollers

	stop    chan struct{} // closed by Close
	sweeper sync.WaitGroup
}

// New returns a server. Close releases it. It panics when two dialects share a path.
func New(cfg Config) *Server {
	if cfg.MessageBytes <= 0 {
		cfg.MessageBytes = 1 << 20
	}
	if cfg.JoinTimeout <= 0 {
		cfg.JoinTimeout = 5 * time.Second
	}
	if cfg.PingInterval <= 0 {
		cfg.PingInterval = 15 * time.Second
	}
	if cfg.UnjoinedSockets <= 0 {
		cfg.UnjoinedSockets = 16384
	}
	if cfg.UnjoinedBytes <= 0 {
		cfg.UnjoinedBytes = 128 << 20
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, dialects: byPath(cfg.Dialects), sessions: make(map[*session]struct{}), stop: make(chan struct{}),
		limiter: newAddressLimiter(cfg.JoinsPerSecond, cfg.JoinsBurst)}
	s.none.L = &s.mu
	s.pollers.server = s
	s.keys.Store(cfg.Verifier.Keys())
	s.metrics = newMetrics(cfg.Metrics, s)
	s.sweeper.Go(s.sweep)
	return s
}

// ServeHTTP upgrades the request. Refusals come after the upgrade, as close
// codes, so that a page can read them.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.unjoined.Load()+s.refusing.Load() > 2*int64(s.cfg.UnjoinedSockets) {
		// So many that even to refuse them properly is too much.
		unavailable(w, "too many connections that have not joined")
		return
	}
	if !s.enter() {
		unavailable(w, "the server has stopped")
		return
	}
	begun := false
	defer func() {
		if !begun {
			s.forget(nil)
		}
	}()
	dialect := s.dialects[r.URL.Path] // nil: the native protocol
	offered := subprotocols(r)
	refusal := wire.CloseCode(0)
	switch { // before the answer: who has it has been counted
	case dialect == nil && len(offered) > 0 && !slices.Contains(offered, wire.Subprotocol):
		refusal = wire.ProtocolError
	case !s.originAllowed(r):
		refusal = wire.OriginNotAllowed
	case !s.limiter.allow(r.RemoteAddr):
		refusal = wire.RateLimited
	case s.unjoined.Add(1) > int64(s.cfg.UnjoinedSockets):
		refusal = wire.Busy
		s.unjoined.Add(-1)
	}
	h := &hijacker{ResponseWriter: w, server: s}
	accept := websocket.AcceptOptions{InsecureSkipVerify: true} // origins are checked above, and a page is told
	if dialect == nil {
		accept.Subprotocols = nativeSubprotocols
	}
	ws, err := websocket.Accept(h, r, &accept)
	if err != nil { // the library has answered
		if refusal == 0 {
			s.unjoined.Add(-1)
		}
		return
	}
	ws.SetReadLimit(-1) // messages are bounded where they are read
	c := &session{server: s, conn: h.conn, ws: ws, remote: r.RemoteAddr, unjoined: refusal == 0, began: time.Now()}
	if dialect == nil {
		c.token = bearer(r, offered)
		c.conn.peer = (*nativePeer)(c)
	} else {
		c.conn.peer = dialect.Connect(r)
	}

	s.mu.Lock()
	draining := s.draining
	s.sessions[c] = struct{}{}
	begun = true
	if s.cutting {
		c.conn.Abort()
	}
	s.mu.Unlock()
	if draining {
		refusal = wire.ServerShutdown
	}
	if refusal == 0 {
		c.conn.readUntil(c.began.Add(s.cfg.JoinTimeout))
	}
	if polled := c.conn.polled; polled != nil {
		inTurns := refusal == 0 && len(c.conn.pending) == 0
		watch := polled.attend
		switch {
		case inTurns && dialect != nil:
			watch = func() error { return polled.begin(c) }
		case inTurns:
			watch = func() error { return polled.watch(c) }
		}
		switch err := watch(); {
		case err != nil:
			s.cfg.Log.Error("cannot watch a connection", "error", err)
			c.conn.Abort()
		case inTurns:
			return // it has its first turn, or its first message brings it one, perhaps already
		}
	}
	// The read loop runs in a fresh goroutine: the handler's has a large stack
	// and holds the request. It ends with the connection.
	go func() {
		defer s.forget(c)
		defer c.contain()
		if refusal != 0 {
			c.refuse(refusal)
			return
		}
		c.run()
	}()
}

func unavailable(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Connection", "close")
	http.Error(w, why, http.StatusServiceUnavailable)
}

// enter counts what forget takes back. It reports false once the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running++
	return true
}

func (s *Server) forget(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c)
	if s.running--; s.running == 0 {
		s.none.Broadcast()
	}
}

// nativeSubprotocols is what the native protocol answers to.
var nativeSubprotocols = []string{wire.Subprotocol}

// subprotocols returns what the client offers.
func subprotocols(r *http.Request) []string {
	var offered []string
	for _, h := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(h, ",") {
			if p = strings.TrimSpace(p); p != "" {
				offered = append(offered, p)
			}
		}
	}
	return offered
}

// bearer returns the token that came with the handshake, if one did.
func bearer(r *http.Request, offered []string) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	for _, p := range offered {
		if token, ok := strings.CutPrefix(p, wire.BearerPrefix); ok {
			return token
		}
	}
	return ""
}

// originAllowed checks the page that connects. Without an Origin it is no browser.
func (s *Server) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || s.cfg.AnyOrigin {
		return true
	}
	if len(s.cfg.Origins) > 0 {
		return slices.ContainsFunc(s.cfg.Origins, func(o string) bool { return strings.EqualFold(strings.TrimSuffix(o, "/"), origin) })
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// sweep runs until Close: pings, and ends connections that were not heard or do not
// keep up.
func (s *Server) sweep() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	b := s.cfg.Rooms.Batch()
	var live []*session
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		live = live[:0]
		s.mu.Lock()
		for c := range s.sessions {
			live = append(live, c)
		}
		s.mu.Unlock()
		for i, c := range live {
			c.tick(b, now)
			live[i] = nil
		}
		s.cfg.Rooms.Sweep(b)
		b.Flush()
		s.limiter.sweep(now)
	}
}

// signAtOnce is how many tokens KeysChanged has signed before it pauses.
const signAtOnce = 64

// KeysChanged ends the sessions whose token descends from a revoked key, or from one
// that is not listed any more where that comes to the same, and
// pushes a refreshed token to those whose last one no longer holds, since its
// key is retired. Call it after the verifier has its new keys. When it returns
// all of that is on its way.
func (s *Server) KeysChanged() {
	keys := s.cfg.Verifier.Keys()
	earlier := s.keys.Swap(keys)
	b := s.cfg.Rooms.Batch()
	s.cfg.Rooms.EndWhere(b, room.Final{Reason: room.ParticipantRemoved, Cause: room.CauseKeyRevoked}, func(g *auth.Grant) bool {
		return keys.Refuses(g)
	})
	b.Flush()

	var outdated []*room.Participant
	s.cfg.Rooms.Each(func(p *room.Participant) {
		if g := p.Grant(); g != nil && keys.Outdated(g, earlier) {
			outdated = append(outdated, p)
		}
	})
	for chunk := range slices.Chunk(outdated, signAtOnce) {
		began := time.Now()
		for _, p := range chunk {
			p.Refresh(b)
		}
		b.Flush()
		select {
		case <-s.stop:
			return
		case <-time.After(time.Since(began)): // at most half of a core
		}
	}
}

// Drain stops admitting, tells every client when to come back, spread over the
// time that ctx leaves, and ends each at its moment. It returns when all
// connections have ended; those left when ctx ends are cut.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	live := make([]*session, 0, len(s.sessions))
	for c := range s.sessions {
		live = append(live, c)
	}
	s.mu.Unlock()
	s.cfg.Rooms.Stop()

	spread := time.Second
	if deadline, ok := ctx.Deadline(); ok {
		spread = max(time.Until(deadline)/2, 0)
	}
	b := s.cfg.Rooms.Batch()
	rand.Shuffle(len(live), func(i, j int) { live[i], live[j] = live[j], live[i] })
	for _, c := range live {
		if p := c.joined.Load(); p != nil {
			p.Hint(b, time.Second+rand.N(spread+time.Second))
		}
	}
	b.Flush()
	const steps = 50
	for i := range steps {
		for _, c := range live[len(live)*i/steps : len(live)*(i+1)/steps] {
			c.end(b, room.CauseShutdown)
		}
		b.Flush()
		if i == steps-1 || len(live) == 0 {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(spread / steps):
		}
	}
	b.Wait()

	done := make(chan struct{})
	go func() { // ends with the last session
		s.mu.Lock()
		for s.running > 0 {
			s.none.Wait()
		}
		s.mu.Unlock()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.cutting = true
	for c := range s.sessions {
		c.conn.Abort()
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}

// Close cuts what is left and waits for everything the server started.
func (s *Server) Close() {
	s.mu.Lock()
	again := s.closed
	s.closed = true // else one could begin after the last has ended
	s.mu.Unlock()
	if again {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Drain(ctx)
	s.pollers.close()
	close(s.stop)
	s.sweeper.Wait()
}
