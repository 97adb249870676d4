package room

import (
	"slices"
	"strings"
	"time"

	"usher/auth"
	"usher/room/store"
)

// Create makes a room for a server API, or returns the one that there is: its
// settings stay. It returns when the room is durable. Its errors are a
// [LimitError], an [InvalidError], [ErrClosed] and [ErrUnavailable].
func (rs *Rooms) Create(project, name string, cfg auth.RoomConfig) (Summary, error) {
	if name == "" {
		return Summary{}, &InvalidError{"the room has no name"}
	}
	if err := firstOf(rs.cfg.Limits.RoomName(name), rs.cfg.Limits.Metadata(cfg.Metadata)); err != nil {
		return Summary{}, err
	}
	r, made, err := rs.open(project, name, true, nil, cfg)
	if err != nil {
		return Summary{}, err
	}
	r.startLocked()
	s := r.summaryLocked()
	// Another call may have made it a moment ago, or have failed to.
	ticket, ok := r.record.liveKitKept()
	if made || !ok || !r.record.hasLiveKit() {
		ticket = r.keepLocked()
	}
	r.mu.Unlock()
	if made {
		rs.cfg.Log.Info("room created", "project", project, "room", name, "sid", s.ID)
	}
	return s, durable(ticket)
}

// keepLocked makes the room one of LiveKit's API, as it is now.
func (r *Room) keepLocked() *store.Ticket {
	c := r.settings
	return r.record.setLiveKit(&store.LiveKitRoom{SID: r.ID, Created: r.created, EmptyTimeout: c.EmptyTimeout,
		DepartureTimeout: c.DepartureTimeout, MaxParticipants: c.MaxParticipants, Metadata: c.Metadata})
}

// List returns the rooms of a project, those with one of the names when there
// are any, the oldest first.
func (rs *Rooms) List(project string, names []string) []Summary {
	var list []Summary
	for _, r := range rs.all() {
		if r.Project != project || len(names) > 0 && !slices.Contains(names, r.Name) {
			continue
		}
		r.mu.Lock()
		if !r.closed && (r.started || len(r.lobby.waiters) == 0) {
			list = append(list, r.summaryLocked())
		}
		r.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b Summary) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list
}

// SetMetadata changes the room's metadata, which may become empty, tells
// everybody, and returns when it is durable: the room is one of the API's from
// then on.
func (r *Room) SetMetadata(b *Batch, metadata string) (Summary, error) {
	if err := r.rooms.cfg.Limits.Metadata(metadata); err != nil {
		return Summary{}, err
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return Summary{}, ErrNotFound
	}
	changed := r.settings.Metadata != metadata
	r.settings.Metadata = metadata
	ticket := r.keepLocked()
	s := r.summaryLocked()
	if changed {
		r.emitLocked(b, &RoomUpdated{Room: s}, nil)
		r.observeLocked(&Occurrence{Occasion: RoomChanged})
	}
	r.mu.Unlock()
	b.Flush()
	return s, durable(ticket)
}

// Mute mutes a track of the one that t names. A server cannot unmute: nobody is
// to be heard unawares. The errors are [ErrNoParticipant], [ErrNoTrack] and
// [ErrRemoteUnmute].
func (r *Room) Mute(b *Batch, t Target, sid string, muted bool) (*TrackInfo, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.findLocked(t)
	if len(found) == 0 {
		return nil, ErrNoParticipant
	}
	if !muted {
		return nil, ErrRemoteUnmute
	}
	for _, p := range found {
		for _, f := range p.tracks {
			if f.info.SID == sid {
				r.muteLocked(b, f, muted)
				return f.info, nil
			}
		}
	}
	return nil, ErrNoTrack
}

// Subscriptions has whom t names subscribe to tracks, or unsubscribe from them,
// as if by their own wish. Tracks that do not exist are passed over. What they
// may not receive is [ErrNotAllowed], after all others have been seen to.
func (r *Room) Subscriptions(b *Batch, t Target, tracks []string, subscribe bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.findLocked(t)
	if len(found) == 0 {
		return ErrNoParticipant
	}
	var denied error
	for _, p := range found {
		for _, sid := range tracks {
			f := r.feedLocked(p, sid)
			switch {
			case f == nil || f.publisher == p:
			case !subscribe:
				p.listener.decline(b, f)
			case !p.listener.mayReceive(f):
				denied = ErrNotAllowed
			default:
				p.listener.accept(b, f)
			}
		}
	}
	return denied
}

// nonceFor is how long a nonce is remembered, and maxNonces of how many messages.
const (
	nonceFor  = time.Minute
	maxNonces = 4096
)

// Send sends a message of the server's to everybody, or to those named, hidden
// ones included. One with a nonce that was used a moment ago is dropped.
func (r *Room) Send(b *Batch, m Message, nonce string) error {
	l := r.rooms.cfg.Limits
	if err := firstOf(l.Topic(m.Topic), l.Data(m.data())); err != nil {
		return err
	}
	if n := len(m.Identities) + len(m.SIDs); n > maxDestinations {
		return &LimitError{"destinations", maxDestinations, "participants"}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrNotFound
	}
	if nonce != "" && !r.firstLocked(nonce) {
		return nil
	}
	class := lossy
	if m.Reliable {
		class = counted
	}
	r.announceLocked(b)
	r.rooms.metrics.messages[0].Inc()
	f := newFrame(class, &Data{Topic: m.Topic, Payload: m.Payload, Encoding: m.Encoding, Reliable: m.Reliable}, len(m.Topic)+len(m.Payload))
	if len(m.Identities)+len(m.SIDs) == 0 {
		r.audience.broadcast(b, f, nil)
		return nil
	}
	for _, to := range r.namedLocked(m.Identities, m.SIDs) {
		to.listener.send(b, f)
	}
	return nil
}

// firstLocked notes a nonce, and reports whether it is new.
func (r *Room) firstLocked(nonce string) bool {
	now := time.Now()
	if at, ok := r.nonces[nonce]; ok && now.Sub(at) < nonceFor {
		return false
	}
	if r.nonces == nil || len(r.nonces) >= maxNonces {
		fresh := make(map[string]time.Time)
		for n, at := range r.nonces {
			if now.Sub(at) < nonceFor && len(fresh) < maxNonces/2 {
				fresh[n] = at
			}
		}
		r.nonces = fresh
	}
	r.nonces[nonce] = now
	return true
}
