package room

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// soak reports whether tests are to run at full size.
func soak() bool { return os.Getenv("USHER_SOAK") != "" }

// A stubConn takes as many bytes as it is told to, and keeps them.
type stubConn struct {
	rnd *rand.Rand // nil: takes all it may; guarded by mu

	// during is called by TryWrite when it has taken what it takes, as if the
	// caller were kept from going on. May be nil.
	during func()

	mu      sync.Mutex // guards the following fields
	ready   sync.Cond
	budget  int // bytes that it still takes; negative: any number
	got     []byte
	broken  error
	hurried bool
	ends    int // farewells
	aborts  int
	cause   Cause
	written int // bytes, before the farewell
	refused int // bytes offered after the end
}

func newStubConn(rnd *rand.Rand, budget int) *stubConn {
	c := &stubConn{rnd: rnd, budget: budget}
	c.ready.L = &c.mu
	return c
}

// takeLocked takes what it may of the frames.
func (c *stubConn) takeLocked(frames [][]byte) (n int) {
	for _, f := range frames {
		k := len(f)
		if c.budget >= 0 {
			k = min(k, c.budget)
		}
		if c.rnd != nil && c.rnd.IntN(4) == 0 {
			k = c.rnd.IntN(k + 1)
		}
		c.got = append(c.got, f[:k]...)
		if c.budget >= 0 {
			c.budget -= k
		}
		if n += k; k < len(f) {
			break
		}
	}
	if c.ends+c.aborts > 0 {
		c.refused += n
	}
	c.written += n
	return n
}

func (c *stubConn) TryWrite(frames [][]byte) (int, error) {
	c.mu.Lock()
	if c.broken != nil {
		c.mu.Unlock()
		return 0, c.broken
	}
	n := c.takeLocked(frames)
	c.mu.Unlock()
	if c.during != nil {
		c.during()
	}
	return n, nil
}

func (c *stubConn) WriteSome(frames [][]byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.broken != nil:
			return 0, c.broken
		case c.hurried:
			return 0, os.ErrDeadlineExceeded
		case c.budget != 0:
			if n := c.takeLocked(frames); n > 0 {
				return n, nil
			}
			continue
		}
		c.ready.Wait()
	}
}

func (c *stubConn) Farewell(rest []byte, cause Cause, _ string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends++
	c.cause = cause
	c.got = append(c.got, rest...)
}

func (c *stubConn) Hurry() { c.change(func() { c.hurried = true }) }

func (c *stubConn) Abort() { c.change(func() { c.aborts++; c.broken = errors.New("aborted") }) }

func (c *stubConn) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	c.ready.Broadcast()
}

// take lets n more bytes through; negative: all that comes.
func (c *stubConn) take(n int) {
	c.change(func() {
		if n < 0 || c.budget < 0 {
			c.budget = -1
		} else {
			c.budget += n
		}
	})
}

func (c *stubConn) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got[:len(c.got):len(c.got)]
}

// A note is what a test frame says about itself.
type note struct {
	kind  byte   // 'o'pening, 'c'ounted, 'x' control, 'l'atest, 'y' lossy, 'v'ideo, 'a'udio
	id    uint64 // grows with each frame put
	seq   uint64 // of counted frames; of an opening: of the last one before it
	count uint32 // of an opening
	good  bool   // of an opening: recovered

	source  int // of latest
	version uint64

	key, last   bool // of frames of a track
	layer, part uint8
	counter     uint16
	needs       uint64 // the id of the first fragment of what it is decoded with; 0: nothing
}

const noteBytes = 53

func (n note) encode(pad int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(noteBytes+pad))
	b = append(b, n.kind)
	for _, v := range []uint64{n.id, n.seq, uint64(n.count), n.version, n.needs} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	flag := func(v bool) byte {
		if v {
			return 1
		}
		return 0
	}
	b = append(b, flag(n.good), byte(n.source), flag(n.key), flag(n.last), n.layer, n.part)
	b = binary.BigEndian.AppendUint16(b, n.counter)
	return append(b, make([]byte, pad)...)
}

// decode reads one note; it reports false when b holds no whole one.
func decode(b []byte) (n note, size int, ok bool) {
	if len(b) < noteBytes {
		return n, 0, false
	}
	if size = int(binary.BigEndian.Uint32(b)); size > len(b) {
		return n, 0, false
	}
	u := func(i int) uint64 { return binary.BigEndian.Uint64(b[5+8*i:]) }
	return note{kind: b[4], id: u(0), seq: u(1), count: uint32(u(2)), version: u(3), needs: u(4),
		good: b[45] == 1, source: int(b[46]), key: b[47] == 1, last: b[48] == 1, layer: b[49], part: b[50],
		counter: binary.BigEndian.Uint16(b[51:])}, size, true
}

func (n note) frame(c class, pad int) *frame {
	raw := n.encode(pad)
	return &frame{class: c, size: len(raw), at: time.Now(), raw: raw, key: n.key, layer: n.layer, counter: n.counter}
}

// newTestOutbox returns an outbox with the limits.
func newTestOutbox(l OutboxLimits) *outbox {
	return &outbox{replay: true, shared: &outboxes{limits: l, metrics: newMetrics(nil)}}
}

// check compares the outbox's accounts with what is in it.
func (o *outbox) check() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	reliable, lossyBytes, latestCount, all, empty := 0, 0, 0, 0, 0
	for i := o.unsent.head; i != o.unsent.tail; i++ {
		f := o.unsent.at(i).frame
		if f == nil {
			if i >= o.flightEnd {
				empty++
			}
			continue
		}
		all += f.size
		switch f.class {
		case counted, control:
			reliable += f.size
		case latest:
			reliable += f.size
			latestCount++
		case lossy:
			lossyBytes += f.size
		}
	}
	unacked := 0
	for i := o.unacked.head; i != o.unacked.tail; i++ {
		unacked += (*o.unacked.at(i)).size
	}
	l := &o.shared.limits
	flying := int(max(o.flightEnd, o.unsent.head) - o.unsent.head)
	switch {
	case reliable != o.reliableBytes || lossyBytes != o.lossyBytes || latestCount != o.latestCount:
		return fmt.Errorf("accounts: reliable %d, lossy %d, latest %d; there are %d, %d, %d",
			o.reliableBytes, o.lossyBytes, o.latestCount, reliable, lossyBytes, latestCount)
	case int64(all) != o.shared.total.Load():
		return fmt.Errorf("the total is %d, and %d bytes wait", o.shared.total.Load(), all)
	case unacked != o.unackedBytes:
		return fmt.Errorf("unacked: %d bytes noted, %d kept", o.unackedBytes, unacked)
	case o.conn == nil && (o.unsent.len() > 0 || o.partial.frame != nil):
		return errors.New("frames wait for a connection that is not there")
	case o.state == idle && (o.unsent.len() > 0 || o.partial.frame != nil):
		return errors.New("an idle outbox has something to write")
	case o.conn != nil && o.lost:
		return errors.New("frames were given up, and there is a connection")
	case o.reliableBytes > burstFactor*l.ReliableBytes+16<<10: // and a frame
		return fmt.Errorf("%d reliable bytes wait", o.reliableBytes)
	case o.lossyBytes > l.LossyBytes && flying == 0:
		return fmt.Errorf("%d lossy bytes wait", o.lossyBytes)
	case o.unacked.len() > l.ReplayFrames || o.unackedBytes > l.ReplayBytes:
		return fmt.Errorf("%d frames of %d bytes are kept", o.unacked.len(), o.unackedBytes)
	case empty > o.gaps:
		return fmt.Errorf("%d frames were dropped out of the queue, noted are %d", empty, o.gaps)
	}
	return nil
}

var smallLimits = OutboxLimits{
	ReliableBytes: 8 << 10, LossyBytes: 2 << 10, ReplayFrames: 24, ReplayBytes: 4 << 10,
	LossyAge: time.Second, SlowAge: 5 * time.Second, TotalBytes: 64 << 10,
}

// A reader is the client's end in the model: it reads what connections give it,
// and complains when that is not what a client was promised.
type reader struct {
	fail func(format string, args ...any)

	conn    *stubConn
	at      int // bytes read of conn
	opened  bool
	seq     uint64 // of the last counted frame
	count   uint32
	counted uint64 // reliable frames since the last fresh start
	last    uint64 // id of the last frame on this connection that was no replay
	from    uint64 // ids up to it are replays
	version map[int]uint64

	// The decoders: what has been received whole, by the id of the first fragment.
	whole map[uint64]bool
	now   map[byte]*building
}

// building is a frame of which fragments have come.
type building struct {
	counter uint16
	first   uint64
	next    uint8
}

// follow begins to read another connection.
func (r *reader) follow(c *stubConn, from uint64) {
	r.conn, r.at, r.opened, r.from, r.last = c, 0, false, from, 0
	r.version, r.whole, r.now = map[int]uint64{}, map[uint64]bool{}, map[byte]*building{}
}

// read takes at most n frames; negative: all that are there.
func (r *reader) read(n int) {
	if r.conn == nil {
		return
	}
	b := r.conn.bytes()
	for ; n != 0; n-- {
		f, size, ok := decode(b[r.at:])
		if !ok {
			return
		}
		r.at += size
		r.frame(f)
	}
}

func (r *reader) frame(f note) {
	if !r.opened && f.kind != 'o' {
		r.fail("%c%d came before the opening", f.kind, f.id)
	}
	if f.id > r.from {
		if f.id <= r.last {
			r.fail("%c%d came after %d", f.kind, f.id, r.last)
		}
		r.last = f.id
	}
	switch f.kind {
	case 'o':
		if r.opened {
			r.fail("a second opening")
		}
		r.opened = true
		if !f.good {
			r.seq, r.counted = f.seq, 0
		} else if f.count != r.count {
			r.fail("recovered, and count %d became %d", r.count, f.count)
		}
		r.count = f.count
	case 'c':
		if f.seq != r.seq+1 {
			r.fail("counted frame %d came after %d", f.seq, r.seq)
		}
		r.seq = f.seq
		r.counted++
	case 'l':
		if f.version <= r.version[f.source] {
			r.fail("version %d of source %d came after %d", f.version, f.source, r.version[f.source])
		}
		r.version[f.source] = f.version
	case 'v', 'a':
		r.fragment(f)
	}
}

// fragment is what a decoder does: frames in pieces are thrown away, and a
// whole one must be decodable.
func (r *reader) fragment(f note) {
	b := r.now[f.kind]
	if b == nil || b.counter != f.counter {
		b = &building{counter: f.counter, first: f.id}
		r.now[f.kind] = b
		if f.part != 0 {
			r.fail("%c frame %d begins with fragment %d", f.kind, f.counter, f.part)
		}
	}
	if f.part != b.next {
		r.fail("%c frame %d: fragment %d came, want %d", f.kind, f.counter, f.part, b.next)
	}
	b.next++
	if f.needs != 0 && !r.whole[f.needs] {
		r.fail("%c frame %d of layer %d cannot be decoded: it needs %d", f.kind, f.counter, f.layer, f.needs)
	}
	if f.last {
		r.whole[b.first] = true
		delete(r.now, f.kind)
	}
}

// A studio publishes one track: three temporal layers, now and then a key
// frame, frames of one to three fragments.
type studio struct {
	kind    byte
	feed    *feed
	counter uint16
	beat    int
	refs    [3]uint64 // id of the last frame of each layer
	rest    []note    // fragments still to come
}

// frame returns the next fragment.
func (s *studio) frame(rnd *rand.Rand, id uint64) note {
	if len(s.rest) == 0 {
		n := note{kind: s.kind, counter: s.counter}
		s.counter++
		if s.kind == 'v' {
			n.layer = []uint8{0, 2, 1, 2}[s.beat%4]
			s.beat++
			if s.refs[0] == 0 || rnd.IntN(20) == 0 {
				n.key, n.layer, s.beat, s.refs = true, 0, 1, [3]uint64{}
			}
			for l := int(n.layer); l >= 0 && !n.key && n.needs == 0; l-- {
				if l < int(n.layer) || l == 0 {
					n.needs = s.refs[l]
				}
			}
			s.refs[n.layer] = id
			for l := int(n.layer) + 1; l < 3; l++ {
				s.refs[l] = 0
			}
		}
		for part := range 1 + rnd.IntN(3) {
			n.part = uint8(part)
			s.rest = append(s.rest, n)
		}
		s.rest[len(s.rest)-1].last = true
	}
	n := s.rest[0]
	s.rest = s.rest[1:]
	return n
}

// TestOutboxModel plays random operations against an outbox whose connections
// take bytes as they please, break and are replaced, and checks what the client
// reads: reliable frames complete and once each, or a fresh start; everything
// in the order in which it was put; nothing of a track that cannot be decoded;
// each connection ended once, behind a whole frame; accounts that hold.
func TestOutboxModel(t *testing.T) {
	seeds := 150
	if soak() {
		seeds = 5000
	}
	base := rand.Uint64()
	if v, err := strconv.ParseUint(os.Getenv("USHER_SEED"), 10, 64); err == nil {
		base, seeds = v, 1
	}
	t.Logf("seeds %d to %d", base, base+uint64(seeds)-1)
	for i := range seeds {
		if !t.Run("", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { playOutbox(t, base+uint64(i), 400) }) }) {
			t.Fatalf("seed %d", base+uint64(i))
		}
	}
}

func playOutbox(t *testing.T, seed uint64, steps int) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var trace []string
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d: %s; did %v", seed, fmt.Sprintf(format, args...), trace[max(0, len(trace)-40):])
	}
	o := newTestOutbox(smallLimits)
	var (
		s      scratch
		id     uint64
		seq    uint64
		owed   bool // a flush
		conn   *stubConn
		conns  []*stubConn
		client = reader{fail: fail}
		gone   bool
	)
	sources := []*Participant{{}, {}}
	video := &studio{kind: 'v', feed: &feed{kind: Video}}
	audio := &studio{kind: 'a', feed: &feed{kind: Audio}}
	l := &listener{outbox: o, subs: map[*feed]*subscription{}}
	for _, st := range []*studio{video, audio} {
		l.subscribe(st.feed)
	}
	owe := func(dirty bool) {
		if dirty {
			if owed {
				fail("two have to flush")
			}
			owed = true
		}
	}
	put := func(f *frame, sub *subscription) {
		o.mu.Lock()
		dirty := o.putLocked(f, sub)
		o.mu.Unlock()
		owe(dirty)
	}
	next := func() uint64 { id++; return id }
	putCounted := func(pad int) {
		seq++
		put(note{kind: 'c', id: next(), seq: seq}.frame(counted, pad), nil)
	}
	putLatest := func(i int) {
		v := sources[i].presenceVersion.Add(1)
		f := note{kind: 'l', id: next(), source: i, version: v}.frame(latest, 60)
		f.current, f.version = &sources[i].presenceVersion, v
		put(f, nil)
	}
	track := func(st *studio, pad int) {
		n := st.frame(rnd, id+1)
		n.id = next()
		f := n.frame(lossy, pad)
		sub := l.subs[st.feed]
		// The same as feed.pass, for one receiver.
		first := !st.feed.midFrame || f.counter != st.feed.counter
		st.feed.midFrame, st.feed.counter = !n.last, f.counter
		o.mu.Lock()
		dirty := sub.admits(f, first) && o.putLocked(f, sub)
		o.mu.Unlock()
		owe(dirty)
	}
	flush := func() {
		if owed {
			owed = false
			o.flush(&s)
		}
	}
	detach := func(cause Cause, drain bool) {
		o.mu.Lock()
		dirty := o.detachLocked(cause, drain)
		o.mu.Unlock()
		owe(dirty)
		conn = nil
	}
	ack := func() {
		if client.conn != conn || !client.opened {
			return
		}
		o.mu.Lock()
		ok := o.ackLocked(client.counted)
		o.mu.Unlock()
		if !ok && conn != nil && conn.ended() == 0 {
			fail("the ack of %d was refused", client.counted)
		}
	}
	var attach func(budget int)
	within := false
	during := func() {
		if within || rnd.IntN(5) > 0 {
			return
		}
		within = true
		trace = append(trace, "(")
		for range 1 + rnd.IntN(3) {
			switch rnd.IntN(5) {
			case 0:
				putCounted(rnd.IntN(100))
			case 1, 2:
				client.read(-1)
				ack()
			case 3:
				detach(CauseSlow, rnd.IntN(2) == 0)
			case 4:
				attach(rnd.IntN(3000))
			}
			if err := o.check(); err != nil {
				fail("%v", err)
			}
		}
		trace = append(trace, ")")
		within = false
	}
	attach = func(budget int) {
		conn = newStubConn(rand.New(rand.NewPCG(seed, uint64(len(conns)+2))), budget)
		conn.during = during
		conns = append(conns, conn)
		client.follow(conn, id)
		o.mu.Lock()
		// A resume fences the old connection in the same step.
		dirty := o.detachLocked(CauseResumed, false)
		_, again := o.attachLocked(conn, client.count, client.counted, func(recovered bool) *frame {
			return note{kind: 'o', id: next(), seq: seq, good: recovered, count: o.count}.frame(opening, 300)
		})
		o.mu.Unlock()
		for _, sub := range l.subs {
			sub.restart()
		}
		client.from = id - 1
		owe(dirty || again)
	}
	attach(rnd.IntN(2000))

	for range steps {
		op := rnd.IntN(100)
		trace = append(trace, fmt.Sprint(op))
		switch {
		case op < 20:
			putCounted(rnd.IntN(300))
		case op < 24:
			put(note{kind: 'x', id: next()}.frame(control, rnd.IntN(50)), nil)
		case op < 30:
			putLatest(rnd.IntN(len(sources)))
		case op < 36:
			put(note{kind: 'y', id: next()}.frame(lossy, rnd.IntN(200)), nil)
		case op < 50:
			track(video, rnd.IntN(300))
		case op < 55:
			track(audio, rnd.IntN(100))
		case op < 67:
			flush()
		case op < 77:
			if conn != nil {
				conn.take(rnd.IntN(3000))
			}
		case op < 84:
			client.read(rnd.IntN(12))
		case op < 88:
			ack()
		case op < 91:
			time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
			if rnd.IntN(8) == 0 {
				time.Sleep(6 * time.Second)
			}
			o.mu.Lock()
			if o.overdueLocked(time.Now()) {
				owe(o.detachLocked(CauseSlow, false))
			}
			o.mu.Unlock()
		case op < 93:
			if conn != nil {
				conn.change(func() { conn.broken = errors.New("cut") })
			}
		case op < 94:
			detach(CauseSlow, rnd.IntN(2) == 0)
		case op < 95:
			attach(rnd.IntN(4000))
		case op < 97:
			for range 200 { // a burst
				switch op := rnd.IntN(8); {
				case op < 3:
					putLatest(rnd.IntN(len(sources)))
				case op < 5:
					put(note{kind: 'y', id: next()}.frame(lossy, 0), nil)
				default:
					track(video, 0)
				}
			}
		default:
			synctest.Wait()
		}
		if rnd.IntN(3) == 0 {
			synctest.Wait()
		}
		if err := o.check(); err != nil {
			fail("%v", err)
		}
	}

	// In the end everything arrives, and nothing is left.
	within = true
	flush()
	attach(-1)
	for i := range sources {
		putLatest(i)
	}
	putCounted(10)
	flush()
	synctest.Wait()
	client.read(-1)
	if client.seq != seq {
		fail("the client has %d counted frames of %d", client.seq, seq)
	}
	for i, p := range sources {
		if client.version[i] != p.presenceVersion.Load() {
			fail("the client has version %d of source %d, want %d", client.version[i], i, p.presenceVersion.Load())
		}
	}
	o.mu.Lock()
	if !o.ackLocked(client.counted) {
		fail("the last ack was refused")
	}
	if o.unacked.len() != 0 || o.unackedBytes != 0 || o.unsent.len() != 0 || o.state != idle {
		fail("left over: %d unacked of %d bytes, %d unsent, state %d", o.unacked.len(), o.unackedBytes, o.unsent.len(), o.state)
	}
	if rnd.IntN(2) == 0 {
		owe(o.detachLocked(CauseRemoved, true))
		o.forgetLocked()
		gone = true
	}
	o.mu.Unlock()
	if !gone {
		detach(CauseLeft, false)
	}
	flush()
	synctest.Wait()
	if err := o.check(); err != nil {
		fail("%v", err)
	}
	if n := o.shared.total.Load(); n != 0 {
		fail("%d bytes wait in the end", n)
	}
	if len(o.departures) != 0 {
		fail("%d departures are left", len(o.departures))
	}
	for i, c := range conns {
		if c.ends+c.aborts != 1 {
			fail("connection %d of %d had %d farewells and %d aborts", i, len(conns), c.ends, c.aborts)
		}
		if c.refused > 0 {
			fail("connection %d was written to after its end", i)
		}
		if c.ends == 1 {
			for b := c.got; len(b) > 0; {
				_, n, ok := decode(b)
				if !ok {
					fail("connection %d ended within a frame", i)
				}
				b = b[n:]
			}
		}
	}
}

func (c *stubConn) ended() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ends + c.aborts
}

// TestOutboxConcurrent has several goroutines fill outboxes, acknowledge and
// replace their connections at the same time, while the connections take bytes
// in pieces. Every reader must get every reliable frame once, or begin anew.
func TestOutboxConcurrent(t *testing.T) { synctest.Test(t, testOutboxConcurrent) }

func testOutboxConcurrent(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const boxes = 150 // enough for the flushers to be needed
	frames := 400
	if soak() {
		frames = 5000
	}
	rs, err := New(Config{Outbox: OutboxLimits{
		ReliableBytes: 1 << 20, LossyBytes: 8 << 10, ReplayFrames: 64, ReplayBytes: 16 << 10,
		LossyAge: time.Second, SlowAge: time.Minute, TotalBytes: 1 << 30,
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()

	var order sync.Mutex // stands for the room's
	type seat struct {
		o      *outbox
		client reader
		conns  []*stubConn
	}
	seats := make([]*seat, boxes)
	var id, seq uint64
	attach := func(s *seat, b *Batch) {
		order.Lock()
		c := newStubConn(rand.New(rand.NewPCG(seed, rand.Uint64())), 0)
		s.conns = append(s.conns, c)
		s.client.read(-1)
		s.client.follow(c, id)
		s.o.mu.Lock()
		dirty := s.o.detachLocked(CauseResumed, false)
		_, again := s.o.attachLocked(c, s.client.count, s.client.counted, func(recovered bool) *frame {
			id++
			return note{kind: 'o', id: id, seq: seq, good: recovered, count: s.o.count}.frame(opening, 100)
		})
		s.o.mu.Unlock()
		s.client.from = id - 1
		if dirty || again {
			b.add(s.o)
		}
		order.Unlock()
	}
	b := rs.Batch()
	for i := range seats {
		seats[i] = &seat{o: &outbox{replay: true, shared: rs.shared}}
		seats[i].client.fail = func(format string, args ...any) { t.Errorf("seat %d: "+format, append([]any{i}, args...)...) }
		attach(seats[i], b)
	}
	b.Flush()

	var publishers, others sync.WaitGroup
	for range 4 {
		publishers.Go(func() {
			b := rs.Batch()
			for range frames / 4 {
				order.Lock()
				id++
				kind, c, pad := byte('y'), lossy, 300
				if id%2 == 0 {
					seq++
					kind, c, pad = 'c', counted, 30
				}
				f := note{kind: kind, id: id, seq: seq}.frame(c, pad)
				for _, s := range seats {
					s.o.mu.Lock()
					dirty := s.o.putLocked(f, nil)
					s.o.mu.Unlock()
					if dirty {
						b.add(s.o)
					}
				}
				order.Unlock()
				b.Flush()
			}
			b.Wait()
		})
	}
	done := make(chan struct{})
	for n := range 3 {
		others.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(n)))
			b := rs.Batch()
			for {
				select {
				case <-done:
					return
				default:
				}
				s := seats[rnd.IntN(boxes/3)*3+n] // each reader is read by one goroutine
				switch op := rnd.IntN(20); {
				case op < 12:
					s.conns[len(s.conns)-1].take(rnd.IntN(8000))
				case op < 17:
					s.client.read(rnd.IntN(20))
				case op < 19:
					if s.client.opened {
						s.o.mu.Lock()
						s.o.ackLocked(s.client.counted)
						s.o.mu.Unlock()
					}
				case rnd.IntN(10) == 0:
					attach(s, b)
				}
				b.Flush()
			}
		})
	}
	publishers.Wait()
	close(done)
	others.Wait()

	// In the end everything arrives. Writers are waited for by their state.
	for _, s := range seats {
		attach(s, b)
		s.conns[len(s.conns)-1].take(-1)
	}
	b.Flush()
	b.Wait()
	synctest.Wait()
	for i, s := range seats {
		s.client.read(-1)
		if s.client.seq != seq {
			t.Errorf("seat %d has %d counted frames of %d", i, s.client.seq, seq)
		}
		s.o.mu.Lock()
		if s.o.detachLocked(CauseLeft, true) {
			b.add(s.o)
		}
		s.o.mu.Unlock()
	}
	b.Flush()
	synctest.Wait()
	if n := rs.shared.total.Load(); n != 0 {
		t.Errorf("%d bytes wait in the end", n)
	}
	for i, s := range seats {
		for j, c := range s.conns {
			if c.ended() != 1 || c.refused > 0 {
				t.Errorf("seat %d: connection %d ended %d times, %d bytes came later", i, j, c.ended(), c.refused)
			}
		}
	}
}

// A chunk that comes when the flushers have ended, or just do, is written all
// the same.
func TestFlushersEnd(t *testing.T) {
	for range 200 {
		var f flushers
		f.start(1)
		var wg sync.WaitGroup
		all := &fanout{done: make(chan struct{})}
		all.left.Store(4 * 5)
		for range 4 {
			wg.Go(func() {
				var s scratch
				for range 5 {
					f.give(new(Batch), chunk{of: all}, &s)
				}
			})
		}
		f.end()
		wg.Wait()
		<-all.done // hangs when one was lost
	}
}

// put appends one frame and writes.
func (o *outbox) put(f *frame, sub *subscription) {
	var s scratch
	o.mu.Lock()
	dirty := o.putLocked(f, sub)
	o.mu.Unlock()
	if dirty {
		o.flush(&s)
	}
}

func (o *outbox) attach(c Conn, count uint32, received uint64) (recovered bool) {
	var s scratch
	o.mu.Lock()
	recovered, dirty := o.attachLocked(c, count, received, func(recovered bool) *frame {
		return note{kind: 'o', good: recovered, count: o.count}.frame(opening, 0)
	})
	o.mu.Unlock()
	if dirty {
		o.flush(&s)
	}
	return recovered
}

func (o *outbox) detach(cause Cause) {
	var s scratch
	o.mu.Lock()
	dirty := o.detachLocked(cause, false)
	o.mu.Unlock()
	if dirty {
		o.flush(&s)
	}
}

// kinds is what a connection got, a letter for each frame.
func (c *stubConn) kinds() (kinds string, notes []note) {
	for b := c.bytes(); ; {
		n, size, ok := decode(b)
		if !ok {
			return kinds, notes
		}
		kinds += string(n.kind)
		notes = append(notes, n)
		b = b[size:]
	}
}

// Of lossy frames the oldest go first, no reliable one does, and each is counted.
func TestOutboxDropsOldestLossyFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTestOutbox(OutboxLimits{ReliableBytes: 1 << 20, LossyBytes: 1000, ReplayFrames: 10, ReplayBytes: 1000,
			LossyAge: time.Hour, SlowAge: time.Hour, TotalBytes: 1 << 30})
		c := newStubConn(nil, 0)
		o.attach(c, 0, 0)
		synctest.Wait() // the opening is in flight
		for i := range uint64(40) {
			o.put(note{kind: 'y', id: 2 * i}.frame(lossy, 47), nil) // 100 bytes each
			o.put(note{kind: 'c', id: 2*i + 1, seq: i + 1}.frame(counted, 0), nil)
		}
		c.take(-1)
		synctest.Wait()
		_, notes := c.kinds()
		reliable, firstLossy, lossyCount := 0, -1, 0
		for _, n := range notes[1:] {
			switch n.kind {
			case 'c':
				reliable++
			case 'y':
				if firstLossy < 0 {
					firstLossy = int(n.id / 2)
				}
				if int(n.id/2) != firstLossy+lossyCount {
					t.Errorf("lossy frame %d came as number %d after %d", n.id/2, lossyCount, firstLossy)
				}
				lossyCount++
			}
		}
		lost := 40 - lossyCount
		if reliable != 40 || lossyCount < 5 || lossyCount > 10 || firstLossy != lost {
			t.Errorf("%d reliable and %d lossy frames arrived, the first of these %d", reliable, lossyCount, firstLossy)
		}
		if got := count(t, o.shared.metrics.drops[dropFull]); got != lost {
			t.Errorf("%d drops were counted, want %d", got, lost)
		}
		o.detach(CauseLeft)
		synctest.Wait()
	})
}

// What is replayed may be old. The client that gets it has not been slow.
func TestOutboxReplayIsNotOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTestOutbox(smallLimits)
		o.attach(newStubConn(nil, -1), 0, 0)
		o.put(note{kind: 'c', seq: 1}.frame(counted, 1000), nil)
		o.detach(CauseLeft)
		time.Sleep(20 * time.Second)
		c := newStubConn(nil, 100) // it takes some of it at once
		if !o.attach(c, 0, 0) {
			t.Fatal("not recovered")
		}
		synctest.Wait()
		overdue := func() bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.overdueLocked(time.Now())
		}
		if overdue() {
			t.Error("overdue at once")
		}
		time.Sleep(6 * time.Second)
		if !overdue() {
			t.Error("not overdue after 6 s without progress")
		}
		o.detach(CauseSlow)
		synctest.Wait()
	})
}

// A connection that takes nothing any more is noticed also when nothing but
// lossy frames waits for it.
func TestOutboxOverdueWithLossyFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTestOutbox(smallLimits)
		c := newStubConn(nil, 353)
		o.attach(c, 0, 0)
		c.change(func() { c.budget = 0 })
		for range 70 {
			o.put(note{kind: 'y'}.frame(lossy, 0), nil)
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		o.mu.Lock()
		overdue := o.overdueLocked(time.Now())
		o.mu.Unlock()
		if !overdue {
			t.Error("a connection that took nothing for 7 s is not overdue")
		}
		o.detach(CauseSlow)
		synctest.Wait()
		if c.cause != CauseSlow {
			t.Errorf("it ended for cause %d", c.cause)
		}
	})
}

// What a client makes the server send is bounded, whatever it is: also pongs,
// which nothing counts and nobody acknowledges.
func TestOutboxBoundsControlFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTestOutbox(smallLimits)
		c := newStubConn(nil, 0)
		o.attach(c, 0, 0)
		for range 1000 {
			o.put(note{kind: 'x'}.frame(control, 50), nil)
		}
		synctest.Wait()
		if err := o.check(); err != nil {
			t.Fatal(err)
		}
		if c.ended() != 1 || c.cause != CauseSlow {
			t.Errorf("%d ends, cause %d", c.ended(), c.cause)
		}
	})
}

// A connection begins with what the room is, however large that may be.
func TestOutboxOpeningIsNotHeldAgainstTheReceiver(t *testing.T) {
	o := newTestOutbox(smallLimits)
	c := newStubConn(nil, -1)
	var s scratch
	o.mu.Lock()
	o.attachLocked(c, 0, 0, func(bool) *frame { return note{kind: 'o'}.frame(opening, 100<<10) })
	o.putLocked(note{kind: 'c', seq: 1}.frame(counted, 0), nil)
	o.mu.Unlock()
	o.flush(&s)
	if kinds, _ := c.kinds(); kinds != "oc" {
		t.Errorf("it got %q", kinds)
	}
	if err := o.check(); err != nil {
		t.Error(err)
	}
}

// When the whole process has too much waiting, lossy frames go before anybody's
// connection does.
func TestOutboxCrowded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := smallLimits
		limits.TotalBytes = 10 << 10
		shared := &outboxes{limits: limits, metrics: newMetrics(nil)}
		var conns []*stubConn
		var boxes []*outbox
		for range 20 {
			c, o := newStubConn(nil, 0), &outbox{replay: true, shared: shared}
			o.attach(c, 0, 0)
			synctest.Wait()
			conns, boxes = append(conns, c), append(boxes, o)
			for range 10 {
				o.put(note{kind: 'y'}.frame(lossy, 100), nil)
			}
			o.put(note{kind: 'c', seq: 1}.frame(counted, 0), nil)
		}
		if n := shared.total.Load(); n > 16<<10 {
			t.Errorf("%d bytes wait", n)
		}
		for i, c := range conns {
			if c.ended() > 0 {
				t.Errorf("connection %d was ended for what waits for others", i)
			}
			boxes[i].detach(CauseLeft)
		}
		synctest.Wait()
	})
}

// Frames of a subscription that has ended are not sent any more.
func TestOutboxDropsWhatNobodyWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTestOutbox(smallLimits)
		c := newStubConn(nil, 0)
		o.attach(c, 0, 0)
		synctest.Wait()
		l := &listener{outbox: o}
		f := &feed{kind: Audio}
		l.subscribe(f)
		o.put(note{kind: 'a', last: true}.frame(lossy, 0), l.subs[f])
		o.put(note{kind: 'c', seq: 1}.frame(counted, 0), nil)
		l.subs[f].end()
		c.take(-1)
		synctest.Wait()
		if kinds, _ := c.kinds(); kinds != "oc" {
			t.Errorf("it got %q, want what is left without the track's frame", kinds)
		}
		if got := count(t, o.shared.metrics.drops[dropEnded]); got != 1 {
			t.Errorf("%d drops were counted", got)
		}
		if err := o.check(); err != nil {
			t.Error(err)
		}
		o.detach(CauseLeft)
	})
}

func count(t *testing.T, c prometheus.Counter) int {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return int(m.GetCounter().GetValue())
}
