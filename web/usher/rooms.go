package usher

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"usher/room"
	"usher/session"
)

// aRoom is a room as the API shows it.
type aRoom struct {
	SID              string    `json:"sid"`
	Name             string    `json:"name"`
	Metadata         string    `json:"metadata"`
	NumParticipants  int       `json:"numParticipants"`
	NumPublishers    int       `json:"numPublishers"`
	MaxParticipants  int       `json:"maxParticipants"`
	EmptyTimeout     int       `json:"emptyTimeout"`     // seconds
	DepartureTimeout int       `json:"departureTimeout"` // seconds
	CreatedAt        time.Time `json:"createdAt"`
}

func roomOf(s room.Summary) aRoom {
	return aRoom{s.ID, s.Name, s.Metadata, s.NumParticipants, s.NumPublishers, s.MaxParticipants,
		int(s.EmptyTimeout / time.Second), int(s.DepartureTimeout / time.Second), s.CreatedAt.UTC()}
}

// limit reads how many entries are wanted.
func (r *request) limit() (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return pageSize, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, invalid("limit is a number from 1 to %d", pageSize)
	}
	return min(n, pageSize), nil
}

// finder returns what the query's find is to be looked for with.
func (r *request) finder() func(texts ...string) bool {
	want := strings.ToLower(r.URL.Query().Get("find"))
	return func(texts ...string) bool {
		return want == "" || slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), want) })
	}
}

// rooms shows the project's rooms that live, the oldest first.
func (a *api) rooms(r *request) (int, any, error) {
	if err := r.may(""); err != nil {
		return 0, nil, err
	}
	limit, err := r.limit()
	if err != nil {
		return 0, nil, err
	}
	page := struct {
		Rooms []aRoom `json:"rooms"`
		Count int     `json:"count"` // of all that were found
	}{Rooms: []aRoom{}}
	found := r.finder()
	for _, s := range a.Rooms.List(r.grant.Project, nil) {
		if !found(s.Name) {
			continue
		}
		if page.Count++; len(page.Rooms) < limit {
			page.Rooms = append(page.Rooms, roomOf(s))
		}
	}
	return http.StatusOK, page, nil
}

// participants shows a room and who is in it, hidden ones included, in the
// order in which they came. It is 404 when the room does not live.
func (a *api) participants(r *request) (int, any, error) {
	name := r.PathValue("room")
	if err := r.may(name); err != nil {
		return 0, nil, err
	}
	limit, err := r.limit()
	if err != nil {
		return 0, nil, err
	}
	live, ok := a.Rooms.Lookup(r.grant.Project, name)
	if !ok {
		return 0, nil, room.ErrNotFound
	}
	list := live.Participants()
	found := r.finder()
	list = slices.DeleteFunc(list, func(i *room.Info) bool { return !found(i.Identity, i.Name) })
	slices.SortFunc(list, func(a, b *room.Info) int {
		return cmp.Or(a.JoinedAt.Compare(b.JoinedAt), cmp.Compare(a.SID, b.SID))
	})
	page := struct {
		Room         aRoom             `json:"room"`
		Participants []json.RawMessage `json:"participants"`
		Count        int               `json:"count"` // of all that were found
	}{roomOf(live.Summary()), []json.RawMessage{}, len(list)}
	for _, i := range list[:min(limit, len(list))] {
		page.Participants = append(page.Participants, session.ParticipantJSON(i))
	}
	return http.StatusOK, page, nil
}
