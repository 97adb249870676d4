package room

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"usher/auth"
	"usher/room/store"
)

// DailyRoom is Daily's part of a room, as it is. It is a value: nothing in it is
// changed.
type DailyRoom struct {
	ID       string // a UUID, another each time that a room of the name is made
	Name     string
	Created  time.Time
	Settings DailySettings
}

// DailySettings is what Daily's part of a room says. Zero values are Daily's
// defaults, but that a room is public unless Private.
type DailySettings struct {
	Private         bool
	NotBefore       time.Time // nobody comes in before
	Expires         time.Time // nobody comes in from then on, and the room counts as gone
	MaxParticipants int       // 0: no limit of its own
	EjectAtExpiry   bool
	EjectAfter      time.Duration // 0: never
	Knocking        bool          // those whom nothing lets in wait for an owner, see [Room.Waiting]
	UniqueUsers     bool          // of a person only the last to join stays
	// Permissions is what people may do here who are no owners, as far as the room
	// says something of it.
	Permissions auth.Say
	Start       auth.Start
	// Properties is for the API that made the room: a JSON object of all that was set.
	Properties []byte
}

// A DailyQuery picks a page of rooms.
type DailyQuery struct {
	Limit  int    // Default 100
	After  string // id: the rooms made before that one
	Before string // id: the rooms made after that one, those next to it
	Oldest bool   // the last page
}

// What Daily's part of a room may hold.
const (
	MaxDailyName       = 128      // characters of the room's name: Daily's figure
	MaxDailyProperties = 64 << 10 // bytes of its properties
)

// CheckDailyName checks the name of a room with a Daily part.
func CheckDailyName(name string) error {
	if name == "" {
		return &InvalidError{"the room has no name"}
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return &InvalidError{name + " contains invalid characters (room names can contain A-Z, a-z, 0-9, '-', and '_')"}
		}
	}
	return characters("room name", name, MaxDailyName)
}

// dailyKind is how Daily's part of a room is edited.
var dailyKind = kind[store.DailyRoom]{
	same:    sameDoor,
	rules:   func(d *store.DailyRoom) rules { return rules{daily: d} },
	governs: func(g *auth.Grant, _ string) bool { return fromDaily(g) },
	lose:    loseDaily,
	index: func(rec *record, was, now *store.DailyRoom) {
		if was != nil && now != nil && was.ID == now.ID && was.Expires.Equal(now.Expires) {
			return
		}
		if was != nil {
			rec.days.remove(rec.key.project, placeOf(was))
		}
		if now != nil {
			e := listed{created: now.Created.Unix(), id: now.ID, record: rec}
			if !now.Expires.IsZero() {
				e.expires = now.Expires.UnixMicro()
			}
			rec.days.add(rec.key.project, e)
		}
	},
}

// placeOf is where a part is in the listing: rooms of one second go by their ids.
func placeOf(d *store.DailyRoom) place { return place{d.Created.Unix(), d.ID} }

// sameDoor reports whether two parts say the same of who may come in, and of who
// may do what.
func sameDoor(a, b *store.DailyRoom) bool {
	return a.Private == b.Private && a.Knocking == b.Knocking && a.NotBefore.Equal(b.NotBefore) && a.Expires.Equal(b.Expires) &&
		a.MaxParticipants == b.MaxParticipants && reflect.DeepEqual(a.Permissions, b.Permissions)
}

// dailyValue is Daily's part of a room as others see it.
func (rec *record) dailyValue(now time.Time) (DailyRoom, bool) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	d := rec.daily.now
	if d == nil || expired(d, now) {
		return DailyRoom{}, false
	}
	return rec.dailyValueLocked(d), true
}

func (rec *record) dailyValueLocked(d *store.DailyRoom) DailyRoom {
	return DailyRoom{ID: d.ID, Name: rec.key.name, Created: d.Created, Settings: settingsOf(d)}
}

func settingsOf(d *store.DailyRoom) DailySettings {
	return DailySettings{Private: d.Private, NotBefore: d.NotBefore, Expires: d.Expires, MaxParticipants: d.MaxParticipants,
		EjectAtExpiry: d.EjectAtExpiry, EjectAfter: d.EjectAfter, Knocking: d.Knocking, UniqueUsers: d.UniqueUsers,
		Permissions: d.Permissions.Say, Start: auth.Start(d.Start), Properties: d.Properties}
}

// part returns a part that says so. It keeps nothing that its caller may change.
func (s DailySettings) part(id string, created time.Time) *store.DailyRoom {
	return &store.DailyRoom{ID: id, Created: created, Changed: created, Revision: 1,
		Private: s.Private, NotBefore: s.NotBefore, Expires: s.Expires, MaxParticipants: s.MaxParticipants,
		EjectAtExpiry: s.EjectAtExpiry, EjectAfter: s.EjectAfter, Knocking: s.Knocking, UniqueUsers: s.UniqueUsers,
		Permissions: store.Says{Say: s.Permissions}, Start: store.Start(s.Start), Properties: slices.Clone(s.Properties)}
}

// check checks settings as a whole.
func (s *DailySettings) check() error {
	switch {
	case s.MaxParticipants < 0:
		return &InvalidError{"the number of participants is below 0"}
	case s.EjectAfter < 0:
		return &InvalidError{"the time to stay is below 0"}
	case s.NotBefore.Year() > 9999 || s.Expires.Year() > 9999:
		return &InvalidError{"the times of a room are in this millennium or the next few"}
	}
	return firstOf(checkExceptions(s.Permissions.ReceiveFromIdentity, s.Permissions.ReceiveFromParticipant),
		atMost("properties", len(s.Properties), MaxDailyProperties))
}

// CreateDaily gives rooms their Daily part, all of them or none, and returns when
// that is durable. Names has as many entries as settings. With [ErrExists] it
// returns the name of one that has a part already; one that has expired counts as
// gone, and whoever is in it stays. Its other errors are a [LimitError], an
// [InvalidError], [ErrClosed] and [ErrUnavailable].
func (rs *Rooms) CreateDaily(b *Batch, project string, names []string, settings []DailySettings) (made []DailyRoom, taken string, err error) {
	now := time.Now().UTC()
	fresh := make([]*store.DailyRoom, len(names))
	seen := make(map[string]bool, len(names))
	for i, name := range names {
		if err := firstOf(CheckDailyName(name), rs.cfg.Limits.RoomName(name), settings[i].check()); err != nil {
			return nil, "", err
		}
		if seen[name] {
			return nil, name, ErrExists
		}
		seen[name] = true
		fresh[i] = settings[i].part(NewUUID(), now)
	}
	if rs.stopping.Load() {
		return nil, "", ErrClosed
	}
	if len(names) == 0 {
		return nil, "", nil
	}
	j := &joint{over: make(chan struct{})}
	records := make([]*record, len(names))
	rs.mu.Lock()
	for i, name := range names {
		k := key{project, name}
		rec := rs.records[k]
		if rec == nil {
			rec = rs.newRecord(k)
			rs.records[k] = rec
		}
		records[i] = rec
	}
	// With Rooms.mu held, so that nobody forgets the records in between.
	taken, err = j.pushLocked(records, func(i int) func(*store.DailyRoom) (*store.DailyRoom, error) {
		return func(was *store.DailyRoom) (*store.DailyRoom, error) {
			if was != nil && !expired(was, now) {
				return was, ErrExists
			}
			return fresh[i], nil
		}
	})
	if err != nil {
		rs.tidyAllLocked(records)
	}
	rs.mu.Unlock()
	if err != nil {
		return nil, taken, err
	}
	if taken, err = rs.commit(b, j, nil, nil); err != nil {
		rs.tidyAll(records)
		return nil, taken, err
	}
	made = make([]DailyRoom, len(names))
	for i, name := range names {
		made[i] = DailyRoom{ID: fresh[i].ID, Name: name, Created: now, Settings: settingsOf(fresh[i])}
	}
	return made, "", nil
}

func (rs *Rooms) tidyAll(records []*record) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.tidyAllLocked(records)
}

func (rs *Rooms) tidyAllLocked(records []*record) {
	for _, rec := range records {
		rs.tidyLocked(rec)
	}
}

// commit has a joint, which was pushed, enforced and written, and the rest of it put
// in force, as [part.finish] does. Before it is written and when it is certain that
// it can be made, sure is called, and revoked for the ids of revocations that are to
// be written along. Both may be nil.
func (rs *Rooms) commit(b *Batch, j *joint, sure func(), revoked func() []string) (failed string, err error) {
	b.Flush()
	b.willWait()
	if failed, err := j.ready(); err != nil {
		return failed, err
	}
	if sure != nil {
		sure()
	}
	in := make([]*enforced, len(j.rooms))
	for i, jr := range j.rooms {
		in[i] = jr.part.enforce(rs, b, jr.edit)
	}
	b.Flush() // nobody else waits for the store
	if revoked == nil {
		revoked = func() []string { return nil }
	}
	err = j.write(rs, revoked)
	for _, f := range in {
		if problem := f.settle(rs, b, nil); err == nil {
			err = problem
		}
	}
	return "", err
}

// Daily returns Daily's part of a room, or [ErrNotFound], also of one that has
// expired. What is on its way to the store is not in it yet.
func (rs *Rooms) Daily(project, name string) (DailyRoom, error) {
	if rec := rs.recordOf(project, name); rec != nil {
		if d, ok := rec.dailyValue(time.Now()); ok {
			return d, nil
		}
	}
	return DailyRoom{}, ErrNotFound
}

// UpdateDaily changes Daily's part of a room. Change only reads, and may be called
// more than once. When it returns what was changed is in force for everybody it
// concerns, and durable: rights that somebody's base loses by it are lost to what was
// allowed live, too. Those who are inside stay, whatever the door says now, and keep
// their time. The errors are those of UpdateLiveblocks, and change's own.
func (rs *Rooms) UpdateDaily(b *Batch, project, name string, change func(DailySettings) (DailySettings, error)) (DailyRoom, error) {
	rec := rs.recordOf(project, name)
	if rec == nil {
		return DailyRoom{}, ErrNotFound
	}
	at := time.Now().UTC()
	e := rec.daily.push(true, func(was *store.DailyRoom) (*store.DailyRoom, error) {
		if was == nil || expired(was, at) {
			return was, ErrNotFound
		}
		settings, err := change(settingsOf(was))
		if err == nil {
			err = settings.check()
		}
		if err != nil {
			return was, err
		}
		next := settings.part(was.ID, was.Created)
		next.Revision, next.Changed = was.Revision+1, was.Changed
		if !sameDoor(was, next) {
			next.Changed = at
		}
		return next, nil
	})
	err := rec.daily.finish(rs, b, e)
	if e.after == nil {
		return DailyRoom{}, err
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.dailyValueLocked(e.after), err
}

// DeleteDaily ends the lives of rooms, removes Daily's part of them and revokes the
// tokens that name them and were issued until now, all of it or nothing, and
// returns when that is durable. LiveKit's part, and Liveblocks', stay. With
// [ErrNotFound] it returns the name of one that has no part; with [ErrRoomExpired]
// the name of one that had expired, and was deleted with the others all the same.
// With [ErrUnavailable] what it takes away is in force, perhaps until the next
// start.
func (rs *Rooms) DeleteDaily(b *Batch, project string, names ...string) (which string, err error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if len(names) == 0 {
		return "", nil
	}
	j := &joint{over: make(chan struct{})}
	records := make([]*record, len(names))
	rs.mu.Lock()
	for i, name := range names {
		if records[i] = rs.records[key{project, name}]; records[i] == nil {
			rs.mu.Unlock()
			return name, ErrNotFound
		}
	}
	which, err = j.pushLocked(records, func(int) func(*store.DailyRoom) (*store.DailyRoom, error) {
		return func(was *store.DailyRoom) (*store.DailyRoom, error) {
			if was == nil {
				return nil, ErrNotFound
			}
			return nil, nil
		}
	})
	rs.mu.Unlock()
	if err != nil {
		return which, err
	}
	var revoked []Revocation
	var gone string
	which, err = rs.commit(b, j, func() {
		now := time.Now()
		for i, rec := range records {
			if _, ok := rec.dailyValue(now); !ok {
				gone = names[i]
			}
			revoked = append(revoked, rs.revokeNaming(rec, now)...)
			rs.endLife(b, rec, Final{Reason: RoomDeleted, Cause: CauseRoomDeleted})
		}
	}, func() (ids []string) {
		for _, rv := range revoked {
			ids = append(ids, rv.ID)
		}
		return ids
	})
	rs.tidyAll(records)
	if err == nil {
		for _, rv := range revoked {
			rs.revokedNow(rv)
		}
	}
	if err == nil && gone != "" {
		return gone, ErrRoomExpired
	}
	return which, err
}

// ListDaily returns a page of the rooms that have a Daily part and have not
// expired, the newest first, and how many there are in all. A cursor may be the id of
// a room that was deleted lately; one that is the id of none is an [InvalidError].
func (rs *Rooms) ListDaily(project string, q DailyQuery) (rooms []DailyRoom, total int, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	now := time.Now()
	page, total, err := rs.days.page(project, q, now.UnixMicro())
	if err != nil {
		return nil, 0, err
	}
	rooms = make([]DailyRoom, 0, len(page))
	for _, e := range page {
		d, ok := e.record.dailyValue(now)
		if !ok || d.ID != e.id { // deleted meanwhile
			continue
		}
		rooms = append(rooms, d)
	}
	return rooms, total, nil
}

// ReviseDaily puts what a project says of people with Daily's tokens, which has
// changed, in force for those who are there: what that takes from their base leaves
// what was allowed to them live, too. Those who come later are measured by it. It
// returns when that is durable; with [ErrUnavailable] it is in force, but what was
// allowed is perhaps allowed again by the next start.
func (rs *Rooms) ReviseDaily(b *Batch, project string) (err error) {
	var orders []*order
	for _, r := range rs.all() {
		if r.Project != project {
			continue
		}
		r.mu.Lock()
		if !r.closed {
			orders = append(orders, r.rebaseLocked(b)...)
		}
		r.mu.Unlock()
	}
	b.Flush()
	b.willWait()
	for _, o := range orders {
		if problem := o.settle(); err == nil {
			err = problem
		}
	}
	return err
}

// rebaseLocked puts what Daily's people get from outside of the room in force.
func (r *Room) rebaseLocked(b *Batch) (orders []*order) {
	touched := make(map[string]struct{})
	lost := make(map[string]loss) // of a person: what any of its participants loses
	for _, p := range r.participants {
		if !fromDaily(p.grant) {
			continue
		}
		base, err := r.entryLocked(p.grant)
		if err != nil {
			continue // it is put out
		}
		gone := lossOf(auth.Resolve(p.base...), auth.Resolve(base...)).spread(r)
		lost[p.Identity] = lost[p.Identity].and(gone)
		if gone.concerns(p.live) {
			p.live = taken(p.live, gone)
			touched[p.Identity] = struct{}{}
		}
	}
	r.takeSaidLocked(func(g *auth.Grant) loss { return lost[g.Identity] })
	for identity, gone := range lost {
		if o := r.record.take(identity, gone); o != nil {
			orders = append(orders, o)
			touched[identity] = struct{}{}
		}
	}
	r.reviseLocked(b, touched)
	return orders
}

// forgetAfter is how long after its expiry a room with nobody in it is remembered.
const forgetAfter = 24 * time.Hour

// expiring is the Daily parts that are being forgotten. Sweep alone uses it, but for
// its mutex's sake.
type expiring struct {
	mu      sync.Mutex // guards the following fields
	looked  time.Time
	records []*record // with an edit on its way
}

// sweep forgets the parts that expired long ago, of rooms in which nobody is. It does
// not wait for the store: what is on its way is looked after by the next call.
func (x *expiring) sweep(rs *Rooms, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.records = slices.DeleteFunc(x.records, func(rec *record) bool {
		if !rec.daily.settled() {
			return false
		}
		rs.tidyAll([]*record{rec})
		return true
	})
	if now.Sub(x.looked) < time.Minute {
		return
	}
	x.looked = now
	for _, rec := range rs.days.expiredBefore(now.Add(-forgetAfter).UnixMicro()) {
		if rs.inhabited(rec) {
			continue
		}
		rec.daily.push(true, func(was *store.DailyRoom) (*store.DailyRoom, error) {
			if was == nil || !expired(was, now.Add(-forgetAfter)) {
				return was, errStays
			}
			return nil, nil
		})
		if !rec.daily.settled() {
			x.records = append(x.records, rec)
		}
	}
}

// errStays is the end of an edit that found nothing to forget.
var errStays = errors.New("room: it stays")

// inhabited reports whether anybody is in a room, or waits to be let in.
func (rs *Rooms) inhabited(rec *record) bool {
	rs.mu.Lock()
	r := rs.rooms[rec.key]
	rs.mu.Unlock()
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.closed && len(r.participants)+r.reserved+len(r.waitersLocked()) > 0
}

// settled has the store take what is on its way, without waiting for it, and reports
// whether nothing is.
func (p *part[T]) settled() bool {
	p.rec.mu.Lock()
	if len(p.edits) == 0 {
		p.rec.mu.Unlock()
		return true
	}
	p.advanceLocked()
	ticket, flies := p.kept, p.flying > 0
	p.rec.mu.Unlock()
	if !flies {
		return false
	}
	select {
	case <-ticket.Done():
		p.land(ticket)
	default:
	}
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	return len(p.edits) == 0
}
