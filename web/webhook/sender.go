package webhook

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"usher/room"
	"usher/room/store"
)

// A Sender delivers what it observes to the targets of the project. It is a
// [room.Observer].
//
// Start and Stop are called once each. Observe may be called before Start and
// after Stop; what it is told after Stop is lost.
type Sender struct {
	cfg     Config         // static
	livekit *API           // static; of targets without one
	client  *http.Client   // static
	metrics *metrics       // static
	intake  *intake        // static
	outages rate.Sometimes // of the store

	changing sync.Mutex                // held while targets are replaced
	targets  atomic.Pointer[directory] // what is in it is not changed

	ctx     context.Context // ends attempts and waiting for the store
	cancel  context.CancelFunc
	workers sync.WaitGroup // what targets run
	written chan struct{}  // closed when all that occurred is written
	ended   chan struct{}  // closed when the writer has ended; nil: not started

	// Owned by Start, then by write.
	number uint64              // of the last delivery
	marks  map[string][]string // what is announced, and to which targets
	lost   error               // why something is not known to be durable
}

var _ room.Observer = (*Sender)(nil)

func newSender(c Config) (*Sender, error) {
	s := &Sender{
		cfg: c, livekit: &API{Encode: c.Encode, ContentType: contentType}, marks: map[string][]string{},
		intake:  newIntake(c.MaxEvents, c.MaxBytes),
		outages: rate.Sometimes{Interval: time.Minute},
		written: make(chan struct{}),
		client: &http.Client{Transport: c.Transport, Timeout: c.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	d := newDirectory(nil)
	for _, target := range c.Targets {
		conf, err := s.check(target)
		if err != nil {
			return nil, err
		}
		if d.byName[conf.name()] != nil {
			return nil, fmt.Errorf("webhook: the target %s is listed twice in project %q", conf.shown, conf.Project)
		}
		d = newDirectory(append(d.all, newTarget(s, conf)))
	}
	s.targets.Store(d)
	s.metrics = newMetrics(c.Metrics, s)
	return s, nil
}

// Observe queues an occurrence. It only takes memory.
func (s *Sender) Observe(o *room.Occurrence) {
	d := s.targets.Load()
	if len(d.projects[o.Project]) == 0 {
		return
	}
	s.put(o, false)
}

// Recall takes note of what had occurred when the project had no targets: nobody is
// told, but those that there are now are told of its end, should the process not
// live to see it. What it says must have been true before, and its end, too, is
// recalled when that may have been before.
func (s *Sender) Recall(o *room.Occurrence) { s.put(o, true) }

func (s *Sender) put(o *room.Occurrence, quiet bool) {
	d := s.targets.Load()
	for _, lost := range s.intake.put(o, quiet) {
		for _, t := range d.projects[lost.Project] {
			t.gone(overflow, 1)
		}
	}
}

func newID() string { return "EV_" + rand.Text()[:16] }

// Start loads what was not delivered, adds what an unclean stop has left to be
// said, and begins to deliver. Rooms that go on living must be there already.
func (s *Sender) Start() error {
	waiting := map[*target][]*delivery{}
	if err := s.load(waiting); err != nil {
		return err
	}
	if err := s.conclude(waiting); err != nil {
		return err
	}
	for t, ds := range waiting {
		t.add(ds)
	}
	s.ended = make(chan struct{})
	go s.write() // until Stop
	return nil
}

// load collects the events that earlier processes did not deliver.
func (s *Sender) load(waiting map[*target][]*delivery) error {
	var orphans []string
	err := s.cfg.Store.Load(store.Deliveries, func(key string, value []byte) error {
		id, d, err := parseDelivery(key, value)
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(key, 16, 64)
		if err != nil {
			return fmt.Errorf("%w: the webhook event %q has no number", store.ErrDamaged, key)
		}
		s.number = max(s.number, n)
		if t := s.targets.Load().byName[id]; t != nil {
			waiting[t] = append(waiting[t], d)
		} else {
			orphans = append(orphans, key)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("webhook: loading events: %w", err)
	}
	if len(orphans) > 0 {
		s.metrics.deliveries[removed].Add(float64(len(orphans)))
		s.intake.finish(orphans...)
		s.gaveUp(slog.Attr{}, "", removed, len(orphans))
	}
	return nil
}

// conclude says of all that was announced by an earlier process, and has no
// process any more, that it ended.
func (s *Sender) conclude(waiting map[*target][]*delivery) error {
	var rooms, participants, waiters, meetings []*mark
	err := s.cfg.Store.Load(store.Announced, func(key string, value []byte) error {
		m, err := parseMark(key, value)
		switch {
		case err != nil:
			return err
		case m.About == aboutWaiting:
			waiters = append(waiters, m)
		case m.About == aboutMeeting:
			meetings = append(meetings, m)
		case m.Participant != nil:
			participants = append(participants, m)
		default:
			rooms = append(rooms, m)
		}
		s.marks[key] = m.Targets
		return nil
	})
	if err != nil {
		return fmt.Errorf("webhook: loading what was announced: %w", err)
	}
	lives := map[string]*markedLife{} // by the room's sid
	for _, m := range rooms {
		lives[m.RoomSID] = m.Life
	}
	shown := map[string]int{} // participants that are still there, by the room's sid
	for _, m := range participants {
		if !m.Participant.info().Permission.Hidden() {
			shown[m.RoomSID]++
		}
	}
	// One name may have been more than one room.
	for _, list := range [][]*mark{participants, waiters} {
		slices.SortStableFunc(list, func(a, b *mark) int { return a.Participant.Joined.Compare(b.Participant.Joined) })
	}
	slices.SortStableFunc(meetings, func(a, b *mark) int { return a.Meeting.Began.Compare(b.Meeting.Began) })
	slices.SortStableFunc(rooms, func(a, b *mark) int { return a.Life.Created.Compare(b.Life.Created) })

	var (
		now     = time.Now()
		changes []store.Change
		tickets []*store.Ticket
	)
	end := func(m *mark, o *room.Occurrence) {
		o.At, o.Project, o.Reason = now, m.Project, room.ServerShutdown
		for t, e := range s.events(o) {
			if m.concerns(t) {
				d, put := s.newDelivery(t, o, e)
				changes, waiting[t] = append(changes, put), append(waiting[t], d)
			}
		}
		changes = append(changes, unmark(m.key()))
		delete(s.marks, m.key())
		if len(changes) >= batchMost {
			tickets, changes = append(tickets, s.cfg.Store.Commit(changes...)), nil
		}
	}
	for _, m := range participants {
		o := &room.Occurrence{Occasion: room.ParticipantDeparted, Participant: m.Participant.info(), Room: m.summary(lives[m.RoomSID])}
		if !o.Participant.Permission.Hidden() {
			shown[m.RoomSID]--
		}
		o.Room.NumParticipants = shown[m.RoomSID]
		end(m, o)
	}
	for _, m := range waiters {
		end(m, &room.Occurrence{Occasion: room.WaitingDeparted, Participant: m.Participant.info(), Room: m.summary(lives[m.RoomSID])})
	}
	for _, m := range meetings {
		end(m, &room.Occurrence{Occasion: room.MeetingEnded, Room: m.summary(lives[m.RoomSID])})
	}
	for _, m := range rooms {
		if !s.cfg.RoomAlive(m.Project, m.Room, m.RoomSID) {
			end(m, &room.Occurrence{Occasion: room.RoomFinished, Room: m.summary(m.Life)})
		}
	}
	if len(changes) > 0 {
		tickets = append(tickets, s.cfg.Store.Commit(changes...))
	}
	for _, t := range tickets {
		if err := t.Wait(); err != nil {
			return fmt.Errorf("webhook: storing events: %w", err)
		}
	}
	if len(participants) > 0 {
		s.cfg.Log.Info("webhooks tell of participants that the last stop left behind", "participants", len(participants))
	}
	return nil
}

// Stop refuses further occurrences, stores all there were, and delivers until
// nothing is left or the context ends. What is left is delivered after the next
// start. The error says that something may not have been stored; it will be
// when the store closes in good order.
func (s *Sender) Stop(ctx context.Context) error {
	s.intake.close()
	if s.ended == nil {
		s.cancel()
		return nil
	}
	defer s.cancel()
	defer context.AfterFunc(ctx, s.cancel)()
	<-s.written
	var drained []<-chan struct{}
	all := s.targets.Load().all
	for _, t := range all {
		drained = append(drained, t.drain())
	}
	for _, c := range drained {
		select {
		case <-c:
		case <-ctx.Done():
		}
	}
	left := 0
	for _, t := range all {
		left += t.stop()
	}
	s.workers.Wait() // either nothing is left, or the context has ended
	s.intake.end()
	<-s.ended
	s.client.CloseIdleConnections()
	if left > 0 {
		s.cfg.Log.Info("webhook events wait for the next start", "events", left)
	}
	return s.lost
}

// write stores what occurs and hands it to the targets.
func (s *Sender) write() {
	defer close(s.ended)
	written := s.written
	for {
		b := s.intake.take()
		if b.dropped > 0 {
			s.gaveUp(slog.Attr{}, "", overflow, b.dropped)
		}
		if !b.empty() {
			s.commit(b)
		}
		if b.last && written != nil {
			close(written)
			written = nil
		}
		if b.end {
			return
		}
		if b.empty() {
			<-s.intake.wake
		}
	}
}

// commit stores a batch, in more than one step when its bodies are large.
func (s *Sender) commit(b batch) {
	var (
		changes []store.Change
		size    int
		waiting = map[*target][]*delivery{}
	)
	changes = append(changes, b.done...)
	for _, o := range b.occurred {
		if !o.quiet {
			for t, e := range s.events(o.Occurrence) {
				d, put := s.newDelivery(t, o.Occurrence, e)
				changes, waiting[t] = append(changes, put), append(waiting[t], d)
				size += len(put.Value)
			}
		}
		if change, ok := s.note(o.Occurrence); ok {
			changes = append(changes, change)
			size += len(change.Value)
		}
		if size >= commitBytes {
			s.hand(changes, waiting)
			changes, size, waiting = nil, 0, map[*target][]*delivery{}
		}
	}
	if len(changes) > 0 {
		s.hand(changes, waiting)
	}
}

// hand stores changes and hands the deliveries among them to the targets.
func (s *Sender) hand(changes []store.Change, waiting map[*target][]*delivery) {
	if err := s.persist(changes); err != nil {
		if len(waiting) > 0 { // else what was delivered is delivered again
			s.lost = cmp.Or(s.lost, fmt.Errorf("webhook: storing events: %w", err))
		}
		return
	}
	for t, ds := range waiting {
		t.add(ds)
	}
}

// persist returns when the changes are durable, and tries until they are. Once
// Stop's time is up they are only queued.
func (s *Sender) persist(changes []store.Change) error {
	for failures := 1; ; failures++ {
		ticket := s.cfg.Store.Commit(changes...)
		err := s.await(ticket)
		if err == nil || errors.Is(err, store.ErrClosed) || s.ctx.Err() != nil {
			return err
		}
		s.outages.Do(func() { s.cfg.Log.Error("webhook events cannot be stored; it goes on being tried", "error", err) })
		select {
		case <-time.After(s.pause(failures)):
		case <-s.ctx.Done():
		}
	}
}

func (s *Sender) await(t *store.Ticket) error {
	if t == nil {
		return nil
	}
	select {
	case <-t.Done():
		return t.Wait()
	case <-s.ctx.Done():
		select {
		case <-t.Done():
			return t.Wait()
		default:
			return s.ctx.Err()
		}
	}
}

// gaveUp logs a loss. What it is a loss of may not be known.
func (s *Sender) gaveUp(of slog.Attr, room string, o outcome, n int) {
	s.cfg.Log.Warn("webhook events were given up", "reason", outcomeNames[o], of, "room", room, "events", n)
}
