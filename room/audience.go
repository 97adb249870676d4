package room

import (
	"slices"
	"sync/atomic"
	"time"

	"usher/auth"
)

// An audience is one node's part of a room: who listens here, and who receives
// which track. It applies the room's events in their order and keeps no opinion
// of its own about who may do what.
//
// All of it is guarded by the room's mutex.
type audience struct {
	listeners []*listener
	feeds     []*feed
}

// A listener is a participant's receiving end.
type listener struct {
	participant   *Participant
	outbox        *outbox // static
	index         int     // in audience.listeners
	autoSubscribe bool
	restate       bool          // static; see restate.go
	since         uint64        // with restate: the last event that its snapshot had
	restated      atomic.Uint64 // with restate: counts its snapshots
	subs          map[*feed]*subscription
	declined      map[*feed]struct{} // unsubscribed by its own wish
}

// A feed is a track with its present receivers.
type feed struct {
	room      *Room        // static
	publisher *Participant // static
	kind      TrackKind    // static
	source    auth.Source  // static
	info      *TrackInfo   // replaced by each change
	subs      []*subscription
	midFrame  bool   // the last fragment was not the last of its frame
	counter   uint16 // of the last fragment
	headless  bool   // the frame's beginning was not passed on
	keyAsked  time.Time
	keyLater  bool // another request is due when the interval is over
	ended     bool // unpublished
}

// A subscription is one receiver of one feed. It decides frame by frame what a
// decoder at the other end can use.
type subscription struct {
	feed     *feed       // static
	listener *listener   // static
	index    int         // in feed.subs; guarded by the room's mutex
	ended    atomic.Bool // what is still queued need not be sent

	// Guarded by the outbox's mutex.
	awaitKey bool  // nothing can be decoded before a key frame
	skipFrom uint8 // frames of this temporal layer and above cannot be decoded
	passing  bool  // the frame that is coming in fragments is passed on
}

const (
	allLayers        = 4 // above every 2-bit layer
	keyFrameInterval = 500 * time.Millisecond
)

// send queues a frame for l alone.
func (l *listener) send(b *Batch, f *frame) {
	o := l.outbox
	o.mu.Lock()
	dirty := o.putLocked(f, nil)
	o.mu.Unlock()
	if dirty {
		b.add(o)
	}
}

// broadcast queues a frame for every listener except one, which may be nil.
func (a *audience) broadcast(b *Batch, f *frame, except *listener) {
	for _, l := range a.listeners {
		if l != except {
			l.send(b, f)
		}
	}
}

func (a *audience) enter(l *listener) {
	l.index = len(a.listeners)
	a.listeners = append(a.listeners, l)
	for _, f := range a.feeds {
		a.autoSubscribe(nil, l, f)
	}
}

// leave removes a listener and all that it received or fed.
func (a *audience) leave(l *listener) {
	last := len(a.listeners) - 1
	a.listeners[l.index] = a.listeners[last]
	a.listeners[l.index].index = l.index
	a.listeners[last] = nil
	a.listeners = a.listeners[:last]
	for _, s := range l.subs {
		s.end()
	}
	l.subs, l.declined = nil, nil
}

// open makes a feed and subscribes those who want it and may have it.
func (a *audience) open(b *Batch, f *feed) {
	a.feeds = append(a.feeds, f)
	told := newFrame(counted, &TrackSubscribed{SID: f.publisher.SID, Track: f.info}, len(f.info.Codec)+128)
	for _, l := range a.listeners {
		if a.wants(l, f) {
			l.send(b, told)
			l.subscribe(f)
		}
	}
}

// close ends a feed; its receivers have been told.
func (a *audience) close(f *feed) {
	f.ended = true
	for len(f.subs) > 0 {
		s := f.subs[len(f.subs)-1]
		delete(s.listener.subs, f)
		s.end()
	}
	for _, l := range a.listeners {
		delete(l.declined, f)
	}
	a.feeds = slices.DeleteFunc(a.feeds, func(g *feed) bool { return g == f })
}

// wants reports whether l is to receive f without having asked.
func (a *audience) wants(l *listener, f *feed) bool {
	if !l.autoSubscribe || l.participant == f.publisher || !l.mayReceive(f) {
		return false
	}
	_, declined := l.declined[f]
	return !declined
}

func (l *listener) mayReceive(f *feed) bool {
	return l.participant.permission.Receives(f.source, f.publisher.Identity, f.publisher.SID, f.publisher.permission.Allows(auth.Owner))
}

// autoSubscribe subscribes l to f if it wants it and may have it. With a nil
// batch it is not told: its snapshot, which is still to come, shows the track.
func (a *audience) autoSubscribe(b *Batch, l *listener, f *feed) {
	if l.subs[f] != nil || !a.wants(l, f) {
		return
	}
	if b != nil {
		l.send(b, newFrame(counted, &TrackSubscribed{SID: f.publisher.SID, Track: f.info}, len(f.info.Codec)+128))
	}
	l.subscribe(f)
}

// subscribe makes l a receiver of f. It has been told, and starts at a key frame.
func (l *listener) subscribe(f *feed) {
	s := &subscription{feed: f, listener: l, index: len(f.subs), awaitKey: f.kind == Video, skipFrom: allLayers}
	f.subs = append(f.subs, s)
	if l.subs == nil {
		l.subs = make(map[*feed]*subscription)
	}
	l.subs[f] = s
}

// unsubscribe ends l's receiving of f and tells it why.
func (l *listener) unsubscribe(b *Batch, f *feed, reason string) {
	s := l.subs[f]
	if s == nil {
		return
	}
	delete(l.subs, f)
	s.end()
	l.send(b, newFrame(counted, &TrackUnsubscribed{TrackSID: f.info.SID, Reason: reason}, 64))
}

// accept makes l a receiver of f by its own wish.
func (l *listener) accept(b *Batch, f *feed) {
	delete(l.declined, f)
	if l.subs[f] == nil {
		l.send(b, newFrame(counted, &TrackSubscribed{SID: f.publisher.SID, Track: f.info}, len(f.info.Codec)+128))
		l.subscribe(f)
		f.askForLocked(b, l)
	}
}

// decline ends l's receiving of f until it wishes otherwise.
func (l *listener) decline(b *Batch, f *feed) {
	if l.declined == nil {
		l.declined = make(map[*feed]struct{})
	}
	l.declined[f] = struct{}{}
	l.unsubscribe(b, f, "unsubscribed")
}

// permissionChanged ends the subscriptions that l may no longer have and
// begins those that it may have now.
func (a *audience) permissionChanged(b *Batch, l *listener) {
	for f := range l.subs {
		if !l.mayReceive(f) {
			l.unsubscribe(b, f, "not_allowed")
		}
	}
	for _, f := range a.feeds {
		a.autoSubscribe(b, l, f)
	}
	a.askForKeys(b, l)
	p := l.participant
	if p.owned { // some receive only from owners
		p.owned = false
		for _, f := range p.tracks {
			a.publisherChanged(b, f)
		}
	}
	p.room.doorkeeperLocked(b, p)
}

// publisherChanged ends and begins the subscriptions of a feed whose publisher is
// another one now to those who go by that.
func (a *audience) publisherChanged(b *Batch, f *feed) {
	for _, l := range a.listeners {
		switch {
		case l.subs[f] != nil && !l.mayReceive(f):
			l.unsubscribe(b, f, "not_allowed")
		case l.subs[f] == nil && a.wants(l, f):
			a.autoSubscribe(b, l, f)
			f.askForLocked(b, l)
		}
	}
}

// askForKeys asks the publishers of the video that l has just begun to receive.
func (a *audience) askForKeys(b *Batch, l *listener) {
	for f, s := range l.subs {
		if s.waiting() {
			f.askForLocked(b, l)
		}
	}
}

// end takes s out of its feed.
func (s *subscription) end() {
	s.ended.Store(true)
	f := s.feed
	last := len(f.subs) - 1
	f.subs[s.index] = f.subs[last]
	f.subs[s.index].index = s.index
	f.subs[last] = nil
	f.subs = f.subs[:last]
}

func (s *subscription) waiting() bool {
	s.listener.outbox.mu.Lock()
	defer s.listener.outbox.mu.Unlock()
	return s.awaitKey
}

// restart makes s wait for a key frame: frames before it were not passed on.
func (s *subscription) restart() {
	s.listener.outbox.mu.Lock()
	defer s.listener.outbox.mu.Unlock()
	s.awaitKey, s.passing = s.feed.kind == Video, false
}

// follow notes where in a frame the track is. It reports whether the fragment
// with that counter begins one, and whether it is of any use: the rest of a
// frame whose beginning was not passed on is not.
func (f *feed) follow(counter uint16, last bool) (at position) {
	switch {
	case !f.midFrame || counter != f.counter:
		at, f.headless = beginning, false
	case f.headless:
		at = useless
	default:
		at = continuation
	}
	f.midFrame, f.counter = !last, counter
	return at
}

// position is what a fragment is to its frame.
type position uint8

const (
	beginning position = iota
	continuation
	useless
)

// pass hands a frame of the track to every receiver that can use it.
func (f *feed) pass(b *Batch, fr *frame, at position) {
	if at == useless {
		return
	}
	first := at == beginning
	ask := false
	for _, s := range f.subs {
		o := s.listener.outbox
		o.mu.Lock()
		dirty := false
		switch {
		case s.admits(fr, first):
			dirty = o.putLocked(fr, s)
		case s.awaitKey && first && !s.listener.participant.permission.Hidden() && o.lossyBytes < o.shared.limits.LossyBytes/2:
			ask = true
		}
		o.mu.Unlock()
		if dirty {
			b.add(o)
		}
	}
	if ask {
		f.askLocked(b)
	}
}

// admits decides whether a frame is of use to the receiver.
//
// The outbox's mutex must be held.
func (s *subscription) admits(fr *frame, first bool) bool {
	if !first {
		return s.passing
	}
	switch {
	case s.feed.kind != Video:
		s.passing = true
	case fr.key:
		s.awaitKey, s.skipFrom = false, allLayers
		s.passing = true
	case s.awaitKey || fr.layer >= s.skipFrom:
		s.passing = false
	default:
		s.skipFrom = allLayers
		s.passing = true
	}
	return s.passing
}

// lose notes that the receiver misses a frame and nothing that is queued mends that.
//
// The outbox's mutex must be held.
func (s *subscription) lose(fr *frame) {
	s.passing = false
	switch {
	case s.feed.kind != Video:
	case fr.key || fr.layer == 0:
		s.awaitKey = true
	default:
		s.skipFrom = min(s.skipFrom, fr.layer)
	}
}

// recovers reports whether a receiver that has missed the lost frame of the
// track can go on with f: of video with another key frame or, when the loss was
// of a higher temporal layer, with any frame of a lower one; otherwise with any
// frame that is not a part of the same.
func (s *subscription) recovers(f, lost *frame) bool {
	if f.counter == lost.counter {
		return false
	}
	return s.feed.kind != Video || f.key || f.layer < lost.layer
}

// interrupted notes that frames of the track may be missing: its receivers
// begin anew.
//
// The room's mutex must be held.
func (f *feed) interrupted(b *Batch) {
	f.headless = f.midFrame
	for _, s := range f.subs {
		s.restart()
	}
	f.askLocked(b)
}

// askForLocked asks the publisher for a key frame on behalf of one receiver. A
// hidden one waits for the next that comes: the publisher is not to notice it.
//
// The room's mutex must be held.
func (f *feed) askForLocked(b *Batch, l *listener) {
	if !l.participant.permission.Hidden() {
		f.askLocked(b)
	}
}

// askLocked asks the publisher for a key frame, at most once in an interval.
//
// The room's mutex must be held.
func (f *feed) askLocked(b *Batch) {
	if f.kind != Video || f.ended || f.keyLater {
		return
	}
	now := time.Now()
	if wait := keyFrameInterval - now.Sub(f.keyAsked); wait > 0 {
		f.keyLater = true
		time.AfterFunc(wait, f.askNow)
		return
	}
	f.keyAsked = now
	f.publisher.listener.send(b, newFrame(counted, &KeyFrameRequested{TrackSID: f.info.SID}, 32))
}

// askNow makes the request that came too soon after another.
func (f *feed) askNow() {
	b := f.room.rooms.Batch()
	f.room.mu.Lock()
	f.keyLater = false
	f.askLocked(b)
	f.room.mu.Unlock()
	b.Flush()
}
