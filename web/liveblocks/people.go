package liveblocks

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"time"

	"usher/auth"
	tokens "usher/auth/liveblocks"
	"usher/room"
	"usher/session/liveblocks"
)

// aUser is somebody in a room.
type aUser struct {
	Type         string          `json:"type"`
	ConnectionID uint64          `json:"connectionId"`
	ID           *string         `json:"id"` // null for people without one
	Info         json.RawMessage `json:"info"`
}

// activeUsers shows who is in a room, those of other ecosystems included, but
// nobody who is hidden.
func activeUsers(c *call) (int, any, error) {
	if _, err := c.api.Rooms.Liveblocks(c.project, c.room); err != nil {
		return 0, nil, err
	}
	page := struct {
		Data []aUser `json:"data"`
	}{[]aUser{}}
	if r, ok := c.api.Rooms.Lookup(c.project, c.room); ok {
		for _, i := range r.Active() {
			u := aUser{Type: "user", ConnectionID: i.Actor, Info: liveblocks.Info(i)}
			if u.Info == nil {
				u.Info = json.RawMessage("{}")
			}
			if !strings.HasPrefix(i.Identity, auth.AnonymousPrefix) {
				u.ID = &i.Identity
			}
			page.Data = append(page.Data, u)
		}
	}
	return http.StatusOK, page, nil
}

// broadcast sends an event to everybody in a room, hidden ones included.
func broadcast(c *call) (int, any, error) {
	event, err := c.body()
	if err != nil {
		return 0, nil, err
	}
	event = tokens.Compact(event)
	if err := c.api.Rooms.Limits().Data(len(event)); err != nil {
		return 0, nil, err // also when nobody is there
	}
	if _, err := c.api.Rooms.Liveblocks(c.project, c.room); err != nil {
		return 0, nil, err
	}
	r, ok := c.api.Rooms.Lookup(c.project, c.room)
	if !ok {
		return http.StatusNoContent, nil, nil // nobody hears it
	}
	b := c.api.Rooms.Batch()
	err = r.Send(b, room.Message{Payload: event, Reliable: true}, "")
	b.Flush()
	if room.IsNotFound(err) { // the last one left meanwhile
		err = nil
	}
	return http.StatusNoContent, nil, err
}

// setPresence shows somebody without a connection for a while, or renews that
// and merges the presence.
func setPresence(c *call) (int, any, error) {
	o, err := c.object("userId", "data", "userInfo", "ttl")
	if err != nil {
		return 0, nil, err
	}
	user, err := o.required("userId")
	if err == nil {
		err = checkUserID(user)
	}
	if err != nil {
		return 0, nil, err
	}
	if !o.has("data") {
		return 0, nil, unprocessable("data is missing")
	}
	data, err := o.object("data")
	if err != nil {
		return 0, nil, err
	}
	about, err := o.userInfo()
	if err != nil {
		return 0, nil, err
	}
	l := room.Lease{Identity: user, Metadata: string(about), Presence: make(room.Presence, len(data.fields)), TTL: defaultTTL * time.Second}
	for key, value := range data.fields {
		l.Presence[key] = tokens.Compact(value)
	}
	if about != nil {
		if o, err := objectOf("userInfo", about); err == nil {
			l.Name, _ = o.text("name") // what is no text is no name
		}
	}
	if o.has("ttl") {
		var seconds float64
		if json.Unmarshal(o.fields["ttl"], &seconds) != nil || seconds < minTTL || seconds > maxTTL || math.IsNaN(seconds) {
			return 0, nil, unprocessable("ttl is a number of seconds from %d to %d", minTTL, maxTTL)
		}
		l.TTL = time.Duration(seconds * float64(time.Second))
	}
	b := c.api.Rooms.Batch()
	err = c.api.Rooms.Lease(b, c.project, c.room, l)
	b.Flush()
	return http.StatusNoContent, nil, err
}
