package daily

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"usher/room"
)

// aPerson is somebody in a room, as the presence of Daily shows people.
type aPerson struct {
	Room     string  `json:"room"`
	ID       string  `json:"id"`
	UserID   *string `json:"userId"` // null for people without one
	UserName *string `json:"userName"`
	Meeting  string  `json:"mtgSessionId"`
	JoinTime string  `json:"joinTime"`
	Duration int64   `json:"duration"` // seconds so far
}

// people shows who is in a room, hidden people included, the first to come first.
// Those who wait to be let in are not there.
func people(r *room.Room) []aPerson {
	s, infos := r.Summary(), r.Participants()
	for again := r.Summary(); again.Meeting.ID != s.Meeting.ID; again = r.Summary() { // they met anew meanwhile
		s, infos = again, r.Participants()
	}
	now := time.Now()
	slices.SortFunc(infos, func(a, b *room.Info) int {
		return cmp.Or(a.JoinedAt.Compare(b.JoinedAt), strings.Compare(a.SID, b.SID))
	})
	list := make([]aPerson, len(infos))
	for i, p := range infos {
		list[i] = aPerson{Room: s.Name, ID: p.SID, Meeting: s.Meeting.ID, JoinTime: iso(p.JoinedAt),
			Duration: int64(max(0, now.Sub(p.JoinedAt)).Seconds())}
		if !anonymous(p.Identity) {
			list[i].UserID = &p.Identity
		}
		if p.Name != "" {
			list[i].UserName = &p.Name
		}
	}
	return list
}

// presence shows who is in which room. Rooms without anybody are left out.
func presence(c *call) (any, error) {
	rooms := make(map[string][]aPerson)
	for _, s := range c.api.Rooms.List(c.domain.Project, nil) {
		if !s.Daily {
			continue
		}
		if r, ok := c.api.Rooms.Lookup(c.domain.Project, s.Name); ok {
			if list := people(r); len(list) > 0 {
				rooms[s.Name] = list
			}
		}
	}
	return rooms, nil
}

// roomPresence shows who is in one room.
func roomPresence(c *call) (any, error) {
	const all = 1 << 30
	limit, err := c.limit(all)
	if err != nil {
		return nil, err
	}
	r, err := c.life()
	if err != nil {
		return nil, err
	}
	page := struct {
		TotalCount int       `json:"total_count"`
		Data       []aPerson `json:"data"`
	}{Data: []aPerson{}}
	if r != nil {
		page.Data = people(r)
	}
	id, name := c.query.Get("userId"), c.query.Get("userName")
	page.Data = slices.DeleteFunc(page.Data, func(p aPerson) bool {
		return id != "" && (p.UserID == nil || *p.UserID != id) || name != "" && (p.UserName == nil || *p.UserName != name)
	})
	page.TotalCount = len(page.Data)
	page.Data = page.Data[:min(limit, len(page.Data))]
	return page, nil
}

// life returns the life of the room that the call is about, nil when it has none. A
// room that has expired does not exist, but while people are in it.
func (c *call) life() (*room.Room, error) {
	r, lives := c.api.Rooms.Lookup(c.domain.Project, c.name)
	if lives && r.Summary().Daily {
		return r, nil
	}
	_, err := c.api.Rooms.Daily(c.domain.Project, c.name)
	switch {
	case err != nil:
		return nil, c.about(err)
	case !lives:
		return nil, nil
	}
	return r, nil
}

// meeting returns the life of the room that the call is about, in which somebody
// has to be.
func (c *call) meeting() (*room.Room, error) {
	r, err := c.life()
	if err == nil && (r == nil || r.Summary().Meeting.ID == "") {
		err = errIdle
	}
	return r, err
}

// errIdle says that nobody is in a room. Calls answer that in two ways.
var errIdle = errors.New("nobody is in the room")

// idleIs404 and idleIs400 are what calls say of a room with nobody in it.
func (c *call) idleIs404(err error) error {
	if errors.Is(err, errIdle) || errors.Is(err, room.ErrNotFound) {
		return notFound("%s", idle(c.name))
	}
	return err
}

func (c *call) idleIs400(err error) error {
	if errors.Is(err, errIdle) || errors.Is(err, room.ErrNotFound) {
		return invalid("%s", idle(c.name))
	}
	return err
}
