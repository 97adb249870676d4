package room

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"usher/auth"
	"usher/room/store"
)

// A record is what a room's name stands for, with or without a life: whether
// an API made it, and what was stated about people in it.
type record struct {
	store   store.Store // static
	listing *listing    // static; of rooms with a Liveblocks part
	days    *listing    // static; of rooms with a Daily part
	id      string      // static, never reused

	// key is written with the mutexes of Rooms and the record held.
	key key

	// former is lives under names that the room had before, which are to end. It
	// is guarded by the mutex of Rooms.
	former []*Room

	// The parts that who comes in is measured by.
	liveblocks part[store.LiveblocksRoom]
	daily      part[store.DailyRoom]

	connected atomic.Int64 // when somebody did last, in Unix nanoseconds
	touched   atomic.Bool  // that is still to be written

	mu      sync.Mutex // a leaf below the room's; guards the following fields
	people  map[string]*stated
	said    *sayings           // of single participants, in one life
	livekit *store.LiveKitRoom // LiveKit's part; not changed but replaced
	kept    *store.Ticket      // of what made it so, or took it away
	renamed time.Time          // when a room of this name was given another
	losses  losses             // of what the parts give; see there
	known   bool               // the store has the record
	wrote   *store.Ticket      // of the record, when that is not known

	rename *renaming // that the store is not known to have; nil: none
}

// A statement is what a server API or a moderator said of a person at one moment.
type statement struct {
	say  auth.Say
	at   time.Time
	life string // of the room, in which it was made
	by   string

	// takes is what it takes out of what was allowed before, and does not deny: an
	// access list, or what a room says, gives it no longer.
	takes loss
}

// stated is what was stated about a person.
type stated struct {
	inForce []statement // oldest first, each right in one of them; replaced, never changed
	orders  []*order    // on their way to the store, in their order
	version uint64      // of the last one
}

// ordered is what is in force when all that is on its way has arrived.
func (who *stated) ordered() []statement {
	list := who.inForce
	for _, o := range who.orders {
		list = follow(list, o.statement)
	}
	return list
}

// now is what is in force at this moment, of what holds: without what is being
// taken away, and with the denials on their way.
func (who *stated) now(holds func(*statement) bool) (list []statement) {
	inForce := who.inForce
	for _, o := range who.orders {
		if !o.statement.takes.isZero() {
			inForce = follow(inForce, o.statement)
		}
	}
	for i := range inForce {
		if holds(&inForce[i]) {
			list = append(list, inForce[i])
		}
	}
	for _, o := range who.orders {
		if o.early {
			list = append(list, o.statement.denials())
		}
	}
	return list
}

// allows is what any of the statements allows.
func (who *stated) allows() (r auth.Rights) {
	for _, s := range who.ordered() {
		r |= gives(s.say)
	}
	return r
}

func (rs *Rooms) newRecord(k key) *record {
	rec := &record{store: rs.store, listing: &rs.listing, days: &rs.days, id: "R_" + rand.Text()[:16], key: k, people: make(map[string]*stated)}
	rec.liveblocks.rec, rec.liveblocks.kind = rec, &listedKind
	rec.daily.rec, rec.daily.kind = rec, &dailyKind
	return rec
}

// holds reports whether a statement counts against a token: while the room's
// life goes on that it was made in against all, later against those that were
// issued until then. A later token is the application's newer word.
func (s *statement) holds(life string, g *auth.Grant) bool {
	return s.life == life || g.FirstIssued().Unix() <= s.at.Unix()
}

// follow returns the statements with a later one, which takes the rights that it
// names out of those before.
func follow(list []statement, later statement) []statement {
	next := make([]statement, 0, len(list)+1)
	named := later.say.Allow | later.say.Deny
	for _, s := range list {
		s.say.Allow &^= named
		s.say.Deny &^= named
		s.say = withoutExceptions(s.say, later.say)
		s.say = taken(s.say, later.takes)
		if !s.say.IsZero() {
			next = append(next, s)
		}
	}
	if !later.say.IsZero() {
		next = append(next, later)
	}
	return next
}

// withoutExceptions takes out of what was said of receiving from somebody in
// particular what a later say replaces.
func withoutExceptions(say, later auth.Say) auth.Say {
	say.ReceiveFromIdentity = without(say.ReceiveFromIdentity, later.ReceiveFromIdentity)
	say.ReceiveFromParticipant = without(say.ReceiveFromParticipant, later.ReceiveFromParticipant)
	if later.AllFromIdentity {
		say.ReceiveFromIdentity, say.AllFromIdentity = nil, false
	}
	if later.AllFromParticipant {
		say.ReceiveFromParticipant, say.AllFromParticipant = nil, false
	}
	return say
}

func without(have, named map[string]auth.Rights) map[string]auth.Rights {
	if len(have) == 0 || len(named) == 0 {
		return have
	}
	rest := make(map[string]auth.Rights, len(have))
	for who, rights := range have {
		if _, again := named[who]; !again {
			rest[who] = rights
		}
	}
	return rest
}

// live returns what is in force for a token of a person, weakest first.
func (rec *record) live(identity, life string, g *auth.Grant) []auth.Say {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return says(rec.liveLocked(identity, life, g))
}

func (rec *record) liveLocked(identity, life string, g *auth.Grant) []statement {
	who := rec.people[identity]
	if who == nil {
		return nil
	}
	return rec.trimLocked(who.now(func(s *statement) bool { return s.holds(life, g) }), g)
}

// planned is live with one more statement, and with all that are on their way.
func (rec *record) planned(identity, life string, g *auth.Grant, s statement) []auth.Say {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	var before []statement
	if who := rec.people[identity]; who != nil {
		before = who.ordered()
	}
	return says(rec.trimLocked(slices.DeleteFunc(follow(before, s), func(s statement) bool { return !s.holds(life, g) }), g))
}

func says(list []statement) []auth.Say {
	if len(list) == 0 {
		return nil
	}
	out := make([]auth.Say, len(list))
	for i, s := range list {
		out[i] = s.say
	}
	return out
}

// An order is a statement on its way to the store.
type order struct {
	record    *record
	identity  string
	statement statement
	early     bool   // its denials are in force
	version   uint64 // of stated
	spoilt    bool   // it writes one before it along, which has failed
	ticket    *store.Ticket
}

// order queues a statement for the store. With early its denials are in force
// from now on, everything else when it has settled.
func (rec *record) order(identity string, s statement, early bool) *order {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	who := rec.people[identity]
	if who == nil {
		who = new(stated)
		rec.people[identity] = who
	}
	return rec.orderLocked(who, identity, s, early)
}

func (rec *record) orderLocked(who *stated, identity string, s statement, early bool) *order {
	who.version++
	o := &order{record: rec, identity: identity, statement: s, early: early, version: who.version}
	who.orders = append(who.orders, o)
	person := rec.personOf(identity, who.ordered()).Put()
	if rec.knownLocked() { // the record can be large, and a statement is about the person
		o.ticket = rec.store.Commit(person)
	} else {
		o.ticket = rec.commitLocked(person)
	}
	return o
}

// commitLocked queues the record as it is, with other changes.
func (rec *record) commitLocked(others ...store.Change) *store.Ticket {
	change := rec.writeLocked()
	t := rec.handOverLocked(append([]store.Change{change}, others...))
	rec.known, rec.wrote = false, nil
	if change.Value != nil {
		rec.wrote = t
	}
	return t
}

// knownLocked reports whether the store is known to have the record.
func (rec *record) knownLocked() bool {
	if rec.wrote != nil {
		select {
		case <-rec.wrote.Done():
			rec.known, rec.wrote = rec.wrote.Wait() == nil, nil
		default:
		}
	}
	return rec.known
}

func denials(say auth.Say) auth.Say { return auth.Say{Layer: say.Layer, Deny: say.Deny} }

func (s statement) denials() statement {
	s.say = denials(s.say)
	return s
}

// settle waits until the statement is durable and puts it in force. When it
// cannot be written only its denials are: nothing is allowed that the next start
// would not know of. Whoever is concerned has to be looked at again.
func (o *order) settle() error {
	err := o.ticket.Wait()
	if again := o.record.settle(o); again != nil {
		// Should this fail, too, the next order mends it.
		_ = again.settle()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// settle puts in force, as far as they were written, an order that the store is
// through with and all before it: the store keeps their order. When one that
// failed was written along with a later one, it returns an order without it.
func (rec *record) settle(last *order) (again *order) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	who := rec.people[last.identity]
	if who == nil {
		return nil // a later one has settled this one, and was forgotten
	}
	spoilt := false
	for len(who.orders) > 0 && who.orders[0].version <= last.version {
		o := who.orders[0]
		who.orders = who.orders[1:]
		s := o.statement
		if o.ticket.Wait() != nil {
			s = s.denials()
			for _, later := range who.orders {
				later.spoilt = true
			}
		} else {
			spoilt = o.spoilt
		}
		who.inForce = follow(who.inForce, s)
	}
	if !spoilt {
		if len(who.inForce)+len(who.orders) == 0 { // all of it was taken away
			delete(rec.people, last.identity)
		}
		return nil
	}
	return rec.orderLocked(who, last.identity, statement{}, false)
}

// take takes what a person loses out of what was allowed to it, at once; nil: none of
// it was. It is not denied.
func (rec *record) take(identity string, lost loss) *order {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	who := rec.people[identity]
	if who == nil || lost.isZero() || !slices.ContainsFunc(who.ordered(), func(s statement) bool { return lost.concerns(s.say) }) {
		return nil
	}
	return rec.orderLocked(who, identity, statement{takes: lost}, false)
}

// allowed is to whom something was allowed.
func (rec *record) allowed() (identities []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for identity, who := range rec.people {
		if who.allows() != 0 {
			identities = append(identities, identity)
		}
	}
	return identities
}

// setLiveKit replaces LiveKit's part; nil removes it.
func (rec *record) setLiveKit(part *store.LiveKitRoom) *store.Ticket {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if part == nil && rec.livekit == nil {
		return rec.kept // of when it was removed, which may have failed
	}
	rec.livekit = part
	rec.kept = rec.commitLocked()
	return rec.kept
}

// liveKitKept tells when LiveKit's part, which there is, is durable, and whether
// it will be.
func (rec *record) liveKitKept() (t *store.Ticket, ok bool) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	select {
	case <-rec.kept.Done():
		return rec.kept, rec.kept.Wait() == nil
	default:
		return rec.kept, true
	}
}

// hasLiveKit reports whether LiveKit's API made the room.
func (rec *record) hasLiveKit() bool { return rec.liveKit() != nil }

// liveKit returns LiveKit's part, or nil.
func (rec *record) liveKit() *store.LiveKitRoom {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.livekit
}

// empty reports whether there is nothing to remember, and the store knows.
func (rec *record) empty() bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	known, err := rec.settledLocked()
	return rec.blankLocked() && known && err == nil && rec.liveblocks.vacantLocked() && rec.liveblocks.keptLocked() &&
		rec.daily.vacantLocked() && rec.daily.keptLocked()
}

// blankLocked reports whether there is nothing for the store to keep.
func (rec *record) blankLocked() bool {
	return rec.livekit == nil && rec.liveblocks.sent == nil && rec.daily.sent == nil && rec.renamed.IsZero() && len(rec.people) == 0
}

// settledLocked reports whether it is known that the store has LiveKit's part as
// it is, or why it has not.
func (rec *record) settledLocked() (known bool, err error) {
	if rec.kept == nil {
		return true, nil
	}
	select {
	case <-rec.kept.Done():
		return true, rec.kept.Wait()
	default:
		return false, nil
	}
}

// leave has the store forget LiveKit's part once more, if that has failed. It
// reports whether there is anything left to wait for.
func (rec *record) leave() (t *store.Ticket, again bool) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	known, err := rec.settledLocked()
	if rec.livekit != nil || known && err == nil {
		return nil, false
	}
	if err != nil {
		rec.kept = rec.commitLocked()
	}
	return rec.kept, true
}

func (rec *record) recordLocked() *store.Room {
	r := &store.Room{ID: rec.id, Project: rec.key.project, Name: rec.key.name, LiveKit: rec.livekit, Renamed: rec.renamed,
		Losses: rec.losses.kept(), Daily: rec.daily.sent}
	if rec.liveblocks.sent != nil {
		part := *rec.liveblocks.sent
		part.LastConnection = rec.lastConnection()
		r.Liveblocks = &part
	}
	return r
}

func (rec *record) putLocked() store.Change { return rec.recordLocked().Put() }

// writeLocked returns the change that has the store know what there is.
func (rec *record) writeLocked() store.Change {
	if rec.blankLocked() {
		return rec.recordLocked().Delete()
	}
	return rec.putLocked()
}

// purge forgets statements that no valid token is old enough for.
func (rec *record) purge(before time.Time) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	var changes []store.Change
	for identity, who := range rec.people {
		if len(who.orders) > 0 {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(who.inForce), func(s statement) bool { return s.at.Before(before) })
		if len(rest) == len(who.inForce) {
			continue
		}
		who.inForce = rest
		changes = append(changes, rec.personOf(identity, rest).Put())
		if len(rest) == 0 {
			delete(rec.people, identity)
		}
	}
	forgets := !rec.renamed.IsZero() && rec.renamed.Before(before)
	if forgets {
		rec.renamed = time.Time{}
	}
	if len(changes) == 0 && !forgets {
		return
	}
	if forgets || rec.blankLocked() {
		rec.commitLocked(changes...)
		return
	}
	rec.store.Commit(changes...)
}

func (rec *record) personOf(identity string, list []statement) *store.Person {
	p := &store.Person{Room: rec.id, Project: rec.key.project, Name: rec.key.name, Identity: identity}
	for _, s := range list {
		p.Statements = append(p.Statements, store.NewStatement(s.say, s.at, s.life, s.by))
	}
	return p
}

// load reads what was kept and brings the rooms to life that LiveKit's API made.
func (rs *Rooms) load() error {
	byID := make(map[string]*record)
	var mend []store.Change
	// adopt returns the record of a name. Two of one name are what a deletion
	// leaves behind that could not be written: they become one.
	adopt := func(k key, id string) *record {
		rec := rs.records[k]
		if rec == nil {
			rec = rs.newRecord(k)
			rec.id = id
			rs.records[k] = rec
		}
		byID[id] = rec
		return rec
	}
	err := store.LoadRooms(rs.store, func(r *store.Room) error {
		rec := adopt(key{r.Project, r.Name}, r.ID)
		if rec.livekit == nil {
			rec.livekit = r.LiveKit
		}
		if part := r.Liveblocks; part != nil && (rec.liveblocks.sent == nil || rec.liveblocks.sent.Revision < part.Revision) {
			rec.liveblocks.sent = part
		}
		if part := r.Daily; part != nil && (rec.daily.sent == nil || rec.daily.sent.Created.Before(part.Created) ||
			rec.daily.sent.ID == part.ID && rec.daily.sent.Revision < part.Revision) {
			rec.daily.sent = part
		}
		rec.renamed = later(rec.renamed, r.Renamed)
		if len(r.Losses) > 0 {
			if rec.losses == nil {
				rec.losses = make(losses)
			}
			if err := rec.losses.add(r.Losses); err != nil {
				return err
			}
		}
		rec.known = rec.id == r.ID
		if rec.id != r.ID {
			mend = append(mend, r.Delete(), rec.putLocked())
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = store.LoadPeople(rs.store, func(p *store.Person) error {
		rec := byID[p.Room]
		if rec == nil { // a repair has lost the room's record
			if p.Name == "" {
				return fmt.Errorf("%w: what was stated about %q is of a room that has no record: %s", store.ErrDamaged, p.Identity, p.Room)
			}
			rec = adopt(key{p.Project, p.Name}, p.Room)
			mend = append(mend, rec.putLocked())
		}
		var list []statement
		for i := range p.Statements {
			kept := &p.Statements[i]
			say, err := kept.Say()
			if err != nil {
				return err
			}
			list = append(list, statement{say: say, at: kept.At, life: kept.Life, by: kept.By})
		}
		if who := rec.people[p.Identity]; who != nil {
			list = merged(list, who.inForce)
		}
		rec.people[p.Identity] = &stated{inForce: list}
		if rec.id != p.Room {
			gone := store.Person{Room: p.Room, Identity: p.Identity}
			mend = append(mend, gone.Put(), rec.personOf(p.Identity, list).Put())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(mend) > 0 {
		rs.store.Commit(mend...)
	}
	if err := rs.revocations.load(rs.store); err != nil {
		return err
	}
	rs.mu.Lock() // their timers run already
	defer rs.mu.Unlock()
	for k, rec := range rs.records {
		if part := rec.liveblocks.sent; part != nil && !part.LastConnection.IsZero() {
			rec.connected.Store(part.LastConnection.UnixNano())
		}
		rec.liveblocks.adoptLocked()
		rec.daily.adoptLocked()
		if part := rec.livekit; part != nil {
			rs.bringLocked(k, rec, part, part.SID) // its life goes on
		}
	}
	return nil
}

// bringLocked brings a room to life that LiveKit's API made.
func (rs *Rooms) bringLocked(k key, rec *record, part *store.LiveKitRoom, sid string) *Room {
	r := newRoom(rs, k, rec, auth.RoomConfig{EmptyTimeout: part.EmptyTimeout, DepartureTimeout: part.DepartureTimeout,
		MaxParticipants: part.MaxParticipants, Metadata: part.Metadata})
	r.mu.Lock()
	r.ID, r.created, r.started = sid, part.Created, true
	r.mu.Unlock()
	rs.rooms[k] = r
	return r
}
