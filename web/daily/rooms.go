package daily

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"usher/auth/daily"
	"usher/room"
)

// aRoom is a room as Daily shows it. Clients take its name from the path of its
// address, and want all members to be there.
type aRoom struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	APICreated bool   `json:"api_created"`
	Privacy    string `json:"privacy"`
	URL        string `json:"url"`
	CreatedAt  string `json:"created_at"`
	Config     bag    `json:"config"`
}

func (a *api) shown(d daily.Domain, r room.DailyRoom) (aRoom, error) {
	set, err := bagOf(r.Settings.Properties)
	if err != nil {
		return aRoom{}, err
	}
	base := "https://" + d.Name + ".daily.co"
	if a.RoomURL != nil {
		base = cmp.Or(a.RoomURL(d.Project), base)
	}
	s := aRoom{ID: r.ID, Name: r.Name, APICreated: true, Privacy: "public", URL: base + "/" + r.Name,
		CreatedAt: iso(r.Created), Config: set.config()}
	if r.Settings.Private {
		s.Privacy = "private"
	}
	return s, nil
}

// A wish is what a request wants of a room.
type wish struct {
	privacy    string // "" when nothing is said of it
	properties object
}

// wish reads {privacy, properties}. The privacy may be in either place.
func (o object) wish() (w wish, err error) {
	if w.properties, err = o.object("properties"); err != nil {
		return w, err
	}
	in := o
	if !o.has("privacy") {
		in = w.properties
	}
	raw, said := in.fields["privacy"], in.has("privacy") // null is what clients write who say nothing
	delete(w.properties.fields, "privacy")
	if !said {
		return w, nil
	}
	switch string(raw) {
	case `"public"`:
		w.privacy = "public"
	case `"private"`:
		w.privacy = "private"
	default:
		return w, invalid("privacy was '%s' but should be 'public' or 'private'", quoted(raw))
	}
	return w, nil
}

// settings is a room as it is once the wish has been fulfilled.
func (w wish) settings(before room.DailySettings, now time.Time) (room.DailySettings, error) {
	set, err := bagOf(before.Properties)
	if err != nil {
		return before, err
	}
	if set, err = set.merge(w.properties, now); err != nil {
		return before, err
	}
	private := before.Private
	if w.privacy != "" {
		private = w.privacy == "private"
	}
	return set.settings(private)
}

// named reads the name of a room that is to be made; "" when there is none.
func (o object) named() (string, error) {
	name, err := o.text("name")
	if err == nil {
		err = checkName(name)
	}
	return name, err
}

// newName makes a name, 20 letters and digits like Daily's.
func newName() string {
	const even = 256 / len(letters) * len(letters) // as many bytes for each letter
	name, random := make([]byte, 0, 20), make([]byte, 32)
	for {
		_, _ = rand.Read(random) // never fails
		for _, b := range random {
			if int(b) < even {
				name = append(name, letters[int(b)%len(letters)])
			}
			if len(name) == cap(name) {
				return string(name)
			}
		}
	}
}

// createRoom makes a room. Of many that want the same name at the same time one
// gets it.
func createRoom(c *call) (any, error) {
	o, err := c.object("name", "privacy", "properties")
	if err != nil {
		return nil, err
	}
	made, err := c.create([]object{o})
	if err != nil {
		return nil, err
	}
	return made[0], nil
}

// create makes rooms, all of them or none.
func (c *call) create(wanted []object) ([]aRoom, error) {
	names, settings := make([]string, len(wanted)), make([]room.DailySettings, len(wanted))
	taken := make(map[string]bool)
	now := time.Now()
	for i, o := range wanted {
		name, err := o.named()
		if err != nil {
			return nil, err
		}
		w, err := o.wish()
		if err != nil {
			return nil, err
		}
		if settings[i], err = w.settings(room.DailySettings{}, now); err != nil {
			return nil, err
		}
		if names[i] = cmp.Or(name, newName()); taken[names[i]] {
			return nil, exists(names[i])
		}
		taken[names[i]] = true
	}
	if len(names) == 0 {
		return []aRoom{}, nil
	}
	b := c.api.Rooms.Batch()
	made, name, err := c.api.Rooms.CreateDaily(b, c.domain.Project, names, settings)
	b.Flush()
	switch {
	case errors.Is(err, room.ErrExists):
		return nil, exists(name)
	case err != nil:
		return nil, err
	}
	list := make([]aRoom, len(made))
	for i, r := range made {
		if list[i], err = c.api.shown(c.domain, r); err != nil {
			return nil, err
		}
	}
	if len(list) == 1 {
		c.api.Log.Info("room created", "project", c.domain.Project, "room", list[0].Name, "api", "daily")
	} else {
		c.api.Log.Info("rooms created", "project", c.domain.Project, "rooms", len(list), "api", "daily")
	}
	return list, nil
}

// exists is the answer to a name that is taken. Clients look for the phrase.
func exists(name string) error { return invalid("a room named %s already exists", name) }

// showRoom shows a room. One that has expired does not exist any more.
func showRoom(c *call) (any, error) {
	r, err := c.api.Rooms.Daily(c.domain.Project, c.name)
	if err != nil {
		return nil, c.about(err)
	}
	return c.api.shown(c.domain, r)
}

// about says of which room an error is.
func (c *call) about(err error) error {
	if errors.Is(err, room.ErrNotFound) {
		return noRoom(c.name)
	}
	return err
}

// updateRoom changes what the request names, and leaves the rest.
func updateRoom(c *call) (any, error) {
	o, err := c.object("name", "privacy", "properties")
	if err != nil {
		return nil, err
	}
	if name, err := o.text("name"); err != nil || name != "" && name != c.name {
		return nil, cmp.Or(err, invalid("a room cannot get another name"))
	}
	w, err := o.wish()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	b := c.api.Rooms.Batch()
	r, err := c.api.Rooms.UpdateDaily(b, c.domain.Project, c.name, func(s room.DailySettings) (room.DailySettings, error) {
		return w.settings(s, now)
	})
	b.Flush()
	if err != nil {
		return nil, c.about(err)
	}
	c.api.Log.Info("room changed", "project", c.domain.Project, "room", c.name, "api", "daily")
	return c.api.shown(c.domain, r)
}

// deleteRoom puts everybody out, forgets the room, and refuses the tokens that
// name it and were made until now. Of one that has expired it says both that it
// was not there and that it is gone now.
func deleteRoom(c *call) (any, error) {
	b := c.api.Rooms.Batch()
	_, err := c.api.Rooms.DeleteDaily(b, c.domain.Project, c.name)
	b.Flush()
	expired := errors.Is(err, room.ErrRoomExpired)
	if err != nil && !expired {
		return nil, c.about(err)
	}
	c.api.Log.Info("room deleted", "project", c.domain.Project, "room", c.name, "api", "daily")
	if expired {
		p := *noRoom(c.name).(*problem)
		p.Deleted = true
		return nil, &p
	}
	return struct {
		Deleted bool   `json:"deleted"`
		Name    string `json:"name"`
	}{true, c.name}, nil
}

const (
	// maxPage is how many of anything a page has, at most, and unless fewer are
	// asked for.
	maxPage = 100
	// oldest is the cursor before which the last page is.
	oldest = "OLDEST"
)

// limit reads the limit of a query.
func (c *call) limit(most int) (int, error) {
	text := c.query.Get("limit")
	if text == "" {
		return most, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, invalid("limit was '%s' but should be a number from 1 to %d", clip(text), most)
	}
	return n, nil
}

// listRooms shows a page of the rooms, the newest first.
func listRooms(c *call) (any, error) {
	limit, err := c.limit(maxPage)
	if err != nil {
		return nil, err
	}
	q := room.DailyQuery{Limit: limit, After: c.query.Get("starting_after"), Before: c.query.Get("ending_before")}
	if q.After != "" && q.Before != "" {
		return nil, invalid("there may be starting_after or ending_before, not both")
	}
	if q.Before == oldest {
		q.Before, q.Oldest = "", true
	}
	rooms, total, err := c.api.Rooms.ListDaily(c.domain.Project, q)
	if err != nil {
		return nil, err
	}
	page := struct {
		TotalCount int     `json:"total_count"`
		Data       []aRoom `json:"data"`
	}{total, make([]aRoom, len(rooms))}
	for i, r := range rooms {
		if page.Data[i], err = c.api.shown(c.domain, r); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// maxBatch is how many rooms can be made or deleted at once, and maxBuckets how
// many different recordings_bucket they may have.
const (
	maxBatch   = 1000
	maxBuckets = 10
)

// createRooms makes rooms, all of them or none.
func createRooms(c *call) (any, error) {
	o, err := c.object("rooms")
	if err != nil {
		return nil, err
	}
	var raw []json.RawMessage
	if b := o.fields["rooms"]; len(b) == 0 || b[0] != '[' || json.Unmarshal(b, &raw) != nil {
		return nil, invalid("rooms is not a list of rooms")
	}
	if len(raw) > maxBatch {
		return nil, invalid("rooms has %d entries, at most %d are allowed", len(raw), maxBatch)
	}
	wanted := make([]object, len(raw))
	buckets := make(map[string]bool)
	for i, b := range raw {
		w, err := objectOf("rooms["+strconv.Itoa(i)+"]", b)
		if err == nil {
			err = w.only("name", "privacy", "properties")
		}
		if err != nil {
			return nil, err
		}
		if p, err := w.object("properties"); err == nil && p.has("recordings_bucket") {
			buckets[string(encode(p.fields["recordings_bucket"]))] = true
		}
		wanted[i] = w
	}
	if len(buckets) > maxBuckets {
		return nil, invalid("the rooms have %d different recordings_bucket, at most %d are allowed", len(buckets), maxBuckets)
	}
	return c.create(wanted)
}

// deleteRooms deletes rooms, all of them or none.
func deleteRooms(c *call) (any, error) {
	// Daily's pages call the list rooms, clients send room_names.
	o, err := c.object("rooms", "room_names")
	if err != nil {
		return nil, err
	}
	member := "rooms"
	if o.has("room_names") {
		if member = "room_names"; o.has("rooms") {
			return nil, invalid("there may be rooms or room_names, not both")
		}
	}
	if !o.has(member) {
		return nil, invalid("rooms is not a list of strings")
	}
	names, err := o.list(member, maxBatch)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for _, name := range names {
		if seen[name] {
			return nil, invalid("room %s is named twice", clip(name))
		}
		seen[name] = true
	}
	answer := struct {
		DeletedCount int `json:"deleted_count"`
	}{len(names)}
	if len(names) == 0 {
		return answer, nil
	}
	b := c.api.Rooms.Batch()
	missing, err := c.api.Rooms.DeleteDaily(b, c.domain.Project, names...)
	b.Flush()
	switch {
	case errors.Is(err, room.ErrNotFound):
		return nil, invalid("room %s not found", clip(missing))
	case err != nil && !errors.Is(err, room.ErrRoomExpired): // one of them had expired, and is gone, too
		return nil, err
	}
	c.api.Log.Info("rooms deleted", "project", c.domain.Project, "rooms", len(names), "api", "daily")
	return answer, nil
}
