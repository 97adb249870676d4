package room

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"sync"
)

// A listing is the rooms with a part of one kind, of each project in the order in
// which the parts were made. Its mutex is a leaf below a record's.
type listing struct {
	mu       sync.Mutex
	projects map[string][]listed // the oldest first
	// made is when those of a project were made, by id, also of the last to be removed,
	// so that their places go on being ones. It is kept in a listing whose cursors are
	// ids.
	made    map[string]map[string]int64
	removed []unlisted // of which the oldest is the next to be forgotten, once there are many
	oldest  int
}

// maxRemoved is of how many removals a listing keeps the places.
const maxRemoved = 10_000

type unlisted struct{ project, id string }

// listed is one place in the order, which does not change while it is taken.
type listed struct {
	created int64  // in the listing's own unit
	id      string // breaks ties
	expires int64  // in Unix microseconds; 0: never
	record  *record
}

func (a listed) compare(b place) int {
	return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id))
}

// A place is where a page ended: it stays one when what was there is deleted.
type place struct {
	created int64
	id      string
}

func (p place) String() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.created))
	return base64.RawURLEncoding.EncodeToString(append(b, p.id...))
}

func parsePlace(text string) (place, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) <= 8 || len(b) > 8+64 {
		return place{}, &InvalidError{"the cursor is none that a page ended with"}
	}
	return place{int64(binary.BigEndian.Uint64(b)), string(b[8:])}, nil
}

func (l *listing) add(project string, e listed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.projects == nil {
		l.projects = make(map[string][]listed)
	}
	list := l.projects[project]
	i, _ := slices.BinarySearchFunc(list, place{e.created, e.id}, listed.compare)
	l.projects[project] = slices.Insert(list, i, e)
	if l.made == nil {
		return
	}
	if l.made[project] == nil {
		l.made[project] = make(map[string]int64)
	}
	l.made[project][e.id] = e.created
}

func (l *listing) remove(project string, at place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.projects[project]
	if i, ok := slices.BinarySearchFunc(list, at, listed.compare); ok {
		l.projects[project] = slices.Delete(list, i, i+1)
	}
	if l.made == nil {
		return
	}
	if len(l.removed) < maxRemoved {
		l.removed = append(l.removed, unlisted{project, at.id})
		return
	}
	last := l.removed[l.oldest]
	if _, there, _ := l.findLocked(last.project, last.id); !there { // it may have been added again
		delete(l.made[last.project], last.id)
	}
	l.removed[l.oldest] = unlisted{project, at.id}
	l.oldest = (l.oldest + 1) % maxRemoved
}

// findLocked returns where something is, or was, and whether it is there.
func (l *listing) findLocked(project, id string) (i int, there, known bool) {
	created, known := l.made[project][id]
	if !known {
		return 0, false, false
	}
	i, there = slices.BinarySearchFunc(l.projects[project], place{created, id}, listed.compare)
	return i, there, true
}

// before fills the buffer with the places before one, the latest first; from the
// latest of all when it is nil.
func (l *listing) before(project string, at *place, buffer []listed) []listed {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.projects[project]
	i := len(list)
	if at != nil {
		i, _ = slices.BinarySearchFunc(list, *at, listed.compare)
	}
	buffer = buffer[:0]
	for i--; i >= 0 && len(buffer) < cap(buffer); i-- {
		buffer = append(buffer, list[i])
	}
	return buffer
}

// page returns a page of what has not expired, the latest first, and how many there
// are in all. Cursors are ids.
func (l *listing) page(project string, q DailyQuery, now int64) (page []listed, total int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.projects[project]
	there := func(e listed) bool { return e.expires == 0 || e.expires > now }
	for _, e := range list {
		if there(e) {
			total++
		}
	}
	from, to, backwards := 0, len(list), q.Oldest
	if q.After != "" {
		i, _, known := l.findLocked(project, q.After)
		if !known {
			return nil, 0, &InvalidError{"there is no room with the id " + q.After}
		}
		to = i
	}
	if q.Before != "" {
		i, there, known := l.findLocked(project, q.Before)
		if !known {
			return nil, 0, &InvalidError{"there is no room with the id " + q.Before}
		}
		if from, backwards = i, true; there {
			from++
		}
	}
	if from > to {
		return nil, total, nil
	}
	part := list[from:to]
	if backwards {
		for i := 0; i < len(part) && len(page) < q.Limit; i++ {
			if there(part[i]) {
				page = append(page, part[i])
			}
		}
		slices.Reverse(page)
		return page, total, nil
	}
	for i := len(part) - 1; i >= 0 && len(page) < q.Limit; i-- {
		if there(part[i]) {
			page = append(page, part[i])
		}
	}
	return page, total, nil
}

// expiredBefore returns the records of what expired before that time.
func (l *listing) expiredBefore(at int64) (records []*record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, list := range l.projects {
		for _, e := range list {
			if e.expires != 0 && e.expires < at {
				records = append(records, e.record)
			}
		}
	}
	return records
}

// listStep is how many rooms are looked at between two locks.
const listStep = 128

// ListLiveblocks returns a page of rooms, the newest first, and where the next
// one begins: empty at the end. Rooms that are made or deleted between two pages
// neither repeat others nor hide them. A cursor that is none is an
// [InvalidError]. The query's Match is called without any lock.
func (rs *Rooms) ListLiveblocks(project string, q LiveblocksQuery) (rooms []LiveblocksRoom, next string, err error) {
	var at *place
	if q.After != "" {
		p, err := parsePlace(q.After)
		if err != nil {
			return nil, "", err
		}
		at = &p
	}
	if q.Limit <= 0 {
		q.Limit = 20
	}
	rooms = []LiveblocksRoom{}
	buffer := make([]listed, 0, listStep)
	for {
		buffer = rs.listing.before(project, at, buffer)
		for _, e := range buffer {
			r, ok := e.record.value()
			if !ok || q.Organization != "" && r.Organization != q.Organization || q.Match != nil && !q.Match(&r) {
				continue
			}
			if len(rooms) == q.Limit { // there is a next page, and something on it
				return rooms, next, nil
			}
			rooms = append(rooms, r)
			next = place{e.created, e.id}.String()
		}
		if len(buffer) < listStep {
			return rooms, "", nil
		}
		last := buffer[len(buffer)-1]
		at = &place{last.created, last.id}
	}
}
