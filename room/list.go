package room

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// A listing is the rooms with a Liveblocks part, of each project in the order in
// which they were made. Its mutex is a leaf below a record's.
type listing struct {
	mu       sync.Mutex
	projects map[string][]listed // the oldest first
}

// listed is one place in the order, which does not change while it is taken.
type listed struct {
	created int64 // nanoseconds
	record  *record
}

func (a listed) compare(b place) int {
	return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.record.id, b.id))
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

func (l *listing) add(project string, created time.Time, rec *record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.projects == nil {
		l.projects = make(map[string][]listed)
	}
	list, e := l.projects[project], listed{created.UnixNano(), rec}
	i, _ := slices.BinarySearchFunc(list, place{e.created, rec.id}, listed.compare)
	l.projects[project] = slices.Insert(list, i, e)
}

func (l *listing) remove(project string, created time.Time, rec *record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.projects[project]
	if i, ok := slices.BinarySearchFunc(list, place{created.UnixNano(), rec.id}, listed.compare); ok {
		l.projects[project] = slices.Delete(list, i, i+1)
	}
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
			next = place{e.created, e.record.id}.String()
		}
		if len(buffer) < listStep {
			return rooms, "", nil
		}
		last := buffer[len(buffer)-1]
		at = &place{last.created, last.record.id}
	}
}
