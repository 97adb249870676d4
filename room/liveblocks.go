package room

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"usher/auth"
	"usher/room/store"
)

// LiveblocksRoom is Liveblocks' part of a room, as it is. It is a value:
// nothing in it is changed.
type LiveblocksRoom struct {
	Name           string
	Organization   string
	Created        time.Time
	LastConnection time.Time // zero: nobody has connected yet
	Metadata       map[string]Metadatum
	Access         auth.AccessList
}

// listedKind is how Liveblocks' part of a room is edited.
var listedKind = kind[store.LiveblocksRoom]{
	same:    sameAccess,
	rules:   func(p *store.LiveblocksRoom) rules { return rules{listed: p} },
	governs: governed,
	lose:    loseAccess,
	index: func(rec *record, was, now *store.LiveblocksRoom) {
		if was != nil && now != nil && was.Created.Equal(now.Created) {
			return
		}
		if was != nil {
			rec.listing.remove(rec.key.project, place{was.Created.UnixNano(), rec.id})
		}
		if now != nil {
			rec.listing.add(rec.key.project, listed{created: now.Created.UnixNano(), id: rec.id, record: rec})
		}
	},
}

// sameAccess reports whether two parts say the same of who may do what.
func sameAccess(a, b *store.LiveblocksRoom) bool {
	return a.Organization == b.Organization && reflect.DeepEqual(a.Access, b.Access)
}

// listed reports whether the room has a Liveblocks part.
func (rec *record) listed() bool { return rec.liveblocks.there() }

// value returns the part as others see it.
func (rec *record) value() (LiveblocksRoom, bool) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.liveblocks.now == nil {
		return LiveblocksRoom{}, false
	}
	return rec.valueLocked(rec.liveblocks.now), true
}

func (rec *record) valueLocked(p *store.LiveblocksRoom) LiveblocksRoom {
	return LiveblocksRoom{Name: rec.key.name, Organization: p.Organization, Created: p.Created,
		LastConnection: rec.lastConnection(), Metadata: p.Metadata, Access: p.Access}
}

// lastConnection is when somebody connected last; zero: nobody has.
func (rec *record) lastConnection() time.Time {
	if at := rec.connected.Load(); at != 0 {
		return time.Unix(0, at).UTC()
	}
	return time.Time{}
}

// A Metadatum is one value of a room's metadata for Liveblocks: a text or a
// list of texts. In JSON it is a string or an array.
type Metadatum = store.Metadatum

// A LiveblocksChange is what is to be different in Liveblocks' part of a room.
// What is nil, or not named, stays.
type LiveblocksChange struct {
	Default *[]string // an empty list is no access
	// Groups and Users merge; nil removes. What Clear says goes first.
	Groups, Users                          map[string]*[]string
	ClearGroups, ClearUsers, ClearMetadata bool
	Metadata                               map[string]*Metadatum // merges; nil removes
}

// A LiveblocksQuery picks rooms.
type LiveblocksQuery struct {
	Organization string                     // empty: any
	Match        func(*LiveblocksRoom) bool // Optional
	After        string                     // where the last page ended; empty: from the newest
	Limit        int
}

// What Liveblocks' part of a room may hold: Liveblocks' own figures, in characters.
// They count after merging.
const (
	MaxListedName   = 128  // the room's name
	MaxMetadata     = 50   // entries of metadata
	MaxMetadataKey  = 40   // a key of it
	MaxMetadataText = 256  // a text, or each of a list
	MaxMetadataList = 100  // texts in a list
	MaxListed       = 1000 // users, and as many groups, in an access list
	MaxListedID     = 256  // a user's or group's id there
	MaxWords        = 32   // permission strings for one of them
	MaxWord         = 64   // one such string
)

// CheckListedName checks the name of a room with a Liveblocks part.
func CheckListedName(name string) error { return liveblocksName(name) }

func liveblocksName(name string) error {
	switch {
	case name == "":
		return &InvalidError{"the room has no name"}
	case !utf8.ValidString(name):
		return &InvalidError{"room name is not valid UTF-8"}
	case strings.Contains(name, "*"):
		return &InvalidError{"the name of a room has no * in it: that stands for many rooms"}
	case name == "." || name == "..":
		return &InvalidError{"a room cannot be named . or ..: clients take them out of addresses"}
	}
	return characters("room name", name, MaxListedName)
}

func characters(what, s string, limit int) error {
	if !utf8.ValidString(s) {
		return &InvalidError{what + " is not valid UTF-8"}
	}
	if utf8.RuneCountInString(s) > limit {
		return &LimitError{what, limit, "characters"}
	}
	return nil
}

func entries(what string, n, limit int) error {
	if n > limit {
		return &LimitError{what, limit, "entries"}
	}
	return nil
}

// checkPart checks a whole part.
func checkPart(p *store.LiveblocksRoom) error {
	if err := firstOf(characters("organization", p.Organization, MaxListedID), checkWords(p.Access.Default),
		entries("metadata", len(p.Metadata), MaxMetadata),
		entries("groupsAccesses", len(p.Access.Groups), MaxListed), entries("usersAccesses", len(p.Access.Users), MaxListed)); err != nil {
		return err
	}
	for key, m := range p.Metadata {
		if err := firstOf(characters("metadata key", key, MaxMetadataKey), characters("metadata value", m.Text, MaxMetadataText),
			entries("metadata list", len(m.List), MaxMetadataList)); err != nil {
			return err
		}
		if key == "" {
			return &InvalidError{"a key of metadata is empty"}
		}
		for _, text := range m.List {
			if err := characters("metadata value", text, MaxMetadataText); err != nil {
				return err
			}
		}
	}
	for _, level := range []map[string][]string{p.Access.Groups, p.Access.Users} {
		for id, words := range level {
			if id == "" {
				return &InvalidError{"an id in an access list is empty"}
			}
			if err := firstOf(characters("id in an access list", id, MaxListedID), checkWords(words)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkWords(words []string) error {
	if err := entries("permissions", len(words), MaxWords); err != nil {
		return err
	}
	for _, w := range words {
		if err := characters("permission", w, MaxWord); err != nil {
			return err
		}
	}
	return nil
}

// CreateLiveblocks gives a room its Liveblocks part, and returns when that is
// durable. With [ErrExists] it returns the one that there is. Of the part given,
// name and times do not count; no organization is the default one. Its other errors
// are a [LimitError], an [InvalidError], [ErrClosed] and [ErrUnavailable].
func (rs *Rooms) CreateLiveblocks(b *Batch, project, name string, part LiveblocksRoom) (LiveblocksRoom, error) {
	now := time.Now().UTC()
	fresh := &store.LiveblocksRoom{Organization: part.Organization, Created: now, Changed: now, Revision: 1,
		Metadata: maps.Clone(part.Metadata), Access: cloneList(part.Access)}
	if fresh.Organization == "" {
		fresh.Organization = auth.DefaultOrganization
	}
	if fresh.Access.Default == nil {
		fresh.Access.Default = []string{}
	}
	if err := firstOf(liveblocksName(name), rs.cfg.Limits.RoomName(name), checkPart(fresh)); err != nil {
		return LiveblocksRoom{}, err
	}
	if rs.stopping.Load() {
		return LiveblocksRoom{}, ErrClosed
	}
	k := key{project, name}
	rs.mu.Lock()
	rec := rs.records[k]
	if rec == nil {
		rec = rs.newRecord(k)
		rs.records[k] = rec
	}
	// With Rooms.mu held, so that nobody forgets the record in between.
	e := rec.liveblocks.push(true, func(was *store.LiveblocksRoom) (*store.LiveblocksRoom, error) {
		if was != nil {
			return was, ErrExists
		}
		return fresh, nil
	})
	rs.mu.Unlock()
	return rs.finish(b, rec, e)
}

// finish is [part.finish] of Liveblocks' part, which it returns.
func (rs *Rooms) finish(b *Batch, rec *record, e *edit[store.LiveblocksRoom]) (LiveblocksRoom, error) {
	err := rec.liveblocks.finish(rs, b, e)
	if e.after == nil {
		rs.mu.Lock()
		rs.tidyLocked(rec)
		rs.mu.Unlock()
		return LiveblocksRoom{}, err
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.valueLocked(e.after), err
}

// Liveblocks returns Liveblocks' part of a room, or [ErrNotFound]. What is on its
// way to the store is not in it yet.
func (rs *Rooms) Liveblocks(project, name string) (LiveblocksRoom, error) {
	if rec := rs.recordOf(project, name); rec != nil {
		if r, ok := rec.value(); ok {
			return r, nil
		}
	}
	return LiveblocksRoom{}, ErrNotFound
}

func (rs *Rooms) recordOf(project, name string) *record {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.records[key{project, name}]
}

// UpdateLiveblocks changes Liveblocks' part of a room. When it returns the change
// is in force for everybody it concerns, and durable. Who has no access any more
// is put out; rights that somebody's base loses by it are lost to what was allowed
// live, too. With [ErrUnavailable] only what it takes away is in force, perhaps
// until the next start. Its other errors are [ErrNotFound], a [LimitError] and an
// [InvalidError].
func (rs *Rooms) UpdateLiveblocks(b *Batch, project, name string, ch LiveblocksChange) (LiveblocksRoom, error) {
	at := time.Now().UTC()
	return rs.edit(b, project, name, ch.states(), func(was *store.LiveblocksRoom) (*store.LiveblocksRoom, error) {
		next := ch.apply(was)
		next.Revision = was.Revision + 1
		if sameAccess(was, next) {
			next.Access = was.Access
		} else {
			next.Changed = at
		}
		return next, checkPart(next)
	})
}

// edit changes a part that there is; states is as in [edit].
func (rs *Rooms) edit(b *Batch, project, name string, states bool, change func(*store.LiveblocksRoom) (*store.LiveblocksRoom, error)) (LiveblocksRoom, error) {
	rec := rs.recordOf(project, name)
	if rec == nil {
		return LiveblocksRoom{}, ErrNotFound
	}
	return rs.finish(b, rec, rec.liveblocks.push(states, func(was *store.LiveblocksRoom) (*store.LiveblocksRoom, error) {
		if was == nil {
			return nil, ErrNotFound
		}
		return change(was)
	}))
}

// states reports whether the change is about who may do what.
func (ch *LiveblocksChange) states() bool {
	return ch.Default != nil || ch.ClearGroups || ch.ClearUsers || len(ch.Groups)+len(ch.Users) > 0
}

// apply returns a part with the change.
func (ch *LiveblocksChange) apply(was *store.LiveblocksRoom) *store.LiveblocksRoom {
	next := *was
	if ch.Default != nil {
		next.Access.Default = append([]string{}, *ch.Default...)
	}
	next.Access.Groups = mergeLevel(was.Access.Groups, ch.Groups, ch.ClearGroups)
	next.Access.Users = mergeLevel(was.Access.Users, ch.Users, ch.ClearUsers)
	if ch.ClearMetadata || len(ch.Metadata) > 0 {
		next.Metadata = make(map[string]Metadatum)
		if !ch.ClearMetadata {
			maps.Copy(next.Metadata, was.Metadata)
		}
		for k, m := range ch.Metadata {
			if m == nil {
				delete(next.Metadata, k)
			} else {
				next.Metadata[k] = *m
			}
		}
	}
	return &next
}

func mergeLevel(was map[string][]string, change map[string]*[]string, clears bool) map[string][]string {
	if !clears && len(change) == 0 {
		return was
	}
	next := make(map[string][]string)
	if !clears {
		maps.Copy(next, was)
	}
	for id, words := range change {
		if words == nil {
			delete(next, id)
		} else {
			next[id] = slices.Clone(*words)
		}
	}
	if len(next) == 0 {
		return nil
	}
	return next
}

func cloneList(l auth.AccessList) auth.AccessList {
	clone := func(level map[string][]string) map[string][]string {
		if len(level) == 0 {
			return nil
		}
		next := make(map[string][]string, len(level))
		for id, words := range level {
			next[id] = slices.Clone(words)
		}
		return next
	}
	return auth.AccessList{Default: slices.Clone(l.Default), Groups: clone(l.Groups), Users: clone(l.Users)}
}

// MoveLiveblocks gives a room to another organization. Whoever is in it by a token
// of another one is put out before it returns.
func (rs *Rooms) MoveLiveblocks(b *Batch, project, name, organization string) (LiveblocksRoom, error) {
	if organization == "" {
		organization = auth.DefaultOrganization
	}
	at := time.Now().UTC()
	return rs.edit(b, project, name, true, func(was *store.LiveblocksRoom) (*store.LiveblocksRoom, error) {
		next := *was
		next.Organization, next.Revision = organization, was.Revision+1
		if !sameAccess(was, &next) {
			next.Changed = at
		}
		return &next, checkPart(&next)
	})
}

// DeleteLiveblocks ends the room's life and removes Liveblocks' part of it, and
// returns when that is durable. LiveKit's part, if there is one, stays: that room
// begins another life. Its errors are [ErrNotFound] and [ErrUnavailable].
func (rs *Rooms) DeleteLiveblocks(b *Batch, project, name string) error {
	rec := rs.recordOf(project, name)
	if rec == nil {
		return ErrNotFound
	}
	e := rec.liveblocks.push(true, func(was *store.LiveblocksRoom) (*store.LiveblocksRoom, error) {
		if was == nil {
			return nil, ErrNotFound
		}
		return nil, nil
	})
	if rec.liveblocks.concerns(e) {
		rs.endLife(b, rec, Final{Reason: RoomDeleted, Cause: CauseRoomDeleted})
	}
	_, err := rs.finish(b, rec, e)
	return err
}

// endLife ends the life of a room, if it has one. LiveKit's part of it begins
// another one.
func (rs *Rooms) endLife(b *Batch, rec *record, final Final) {
	if r := rs.lifeOf(b, rec); r != nil {
		r.mu.Lock()
		if !r.closed {
			r.endLocked(b, final, true)
		}
		r.mu.Unlock()
		rs.revive(rec, r)
	}
}

// revive begins a new life of a room that LiveKit's API made, after the one that
// has ended.
func (rs *Rooms) revive(rec *record, ended *Room) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if now := rs.rooms[rec.key]; now != nil && now != ended {
		return
	}
	part := rec.liveKit()
	if part == nil {
		return
	}
	r := rs.bringLocked(rec.key, rec, part, newRoomID())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beginAgainLocked()
}

// beginAgainLocked notes that this is another life of a room that LiveKit's API made.
func (r *Room) beginAgainLocked() {
	r.started = false
	r.startLocked()
	r.keepLocked()
}

// Active returns snapshots of the participants that are shown, the oldest first.
func (r *Room) Active() []*Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Info, 0, r.shown)
	for _, l := range r.audience.listeners {
		if p := l.participant; !p.permission.Hidden() {
			list = append(list, p.info)
		}
	}
	slices.SortFunc(list, func(a, b *Info) int {
		if c := a.JoinedAt.Compare(b.JoinedAt); c != 0 {
			return c
		}
		return strings.Compare(a.SID, b.SID)
	})
	return list
}
