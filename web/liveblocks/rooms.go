package liveblocks

import (
	"errors"
	"net/http"

	"usher/auth/liveblocks"
	"usher/room"
)

// create makes a room, or with ?idempotent returns the one that there is.
func create(c *call) (int, any, error) {
	// engine is which of Liveblocks' engines keeps the Storage.
	o, err := c.object("id", "defaultAccesses", "groupsAccesses", "usersAccesses", "metadata", "organizationId", "tenantId", "engine")
	if err != nil {
		return 0, nil, err
	}
	id, err := o.text("id")
	if err != nil {
		return 0, nil, err
	}
	if err := checkRoomID("id", id); err != nil {
		return 0, nil, err
	}
	if !o.has("defaultAccesses") {
		return 0, nil, unprocessable("defaultAccesses is missing; [] makes a private room")
	}
	change, err := o.change()
	if err != nil {
		return 0, nil, err
	}
	part := made(change)
	if part.Organization, err = o.organization(); err != nil {
		return 0, nil, err
	}
	idempotent := c.URL.Query()["idempotent"]
	r, err := c.make(id, part)
	if errors.Is(err, room.ErrExists) && len(idempotent) > 0 && idempotent[0] != "false" {
		err = nil
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, shown(r), nil
}

// make creates a room. With [room.ErrExists] it returns the one that there is.
func (c *call) make(id string, part room.LiveblocksRoom) (room.LiveblocksRoom, error) {
	b := c.api.Rooms.Batch()
	r, err := c.api.Rooms.CreateLiveblocks(b, c.project, id, part)
	b.Flush()
	if err == nil {
		c.done("room created", "room", id)
	}
	return r, err
}

// done logs a change.
func (c *call) done(what string, args ...any) {
	c.api.Log.Info(what, append([]any{"project", c.project, "api", "liveblocks"}, args...)...)
}

func show(c *call) (int, any, error) {
	r, err := c.api.Rooms.Liveblocks(c.project, c.room)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, shown(r), nil
}

// prewarm has nothing to warm: a room that is asked for is there at once.
func prewarm(c *call) (int, any, error) {
	_, err := c.api.Rooms.Liveblocks(c.project, c.room)
	return http.StatusNoContent, nil, err
}

// update changes what is named. It answers when the change is in force for
// everybody in the room, and durable.
func update(c *call) (int, any, error) {
	o, err := c.object("defaultAccesses", "groupsAccesses", "usersAccesses", "metadata")
	if err != nil {
		return 0, nil, err
	}
	change, err := o.change()
	if err != nil {
		return 0, nil, err
	}
	r, err := c.change(change)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, shown(r), nil
}

func (c *call) change(ch room.LiveblocksChange) (room.LiveblocksRoom, error) {
	b := c.api.Rooms.Batch()
	r, err := c.api.Rooms.UpdateLiveblocks(b, c.project, c.room, ch)
	b.Flush()
	if err == nil {
		c.done("room updated", "room", c.room)
	}
	return r, err
}

// upsertTries is how often a room may come and go while it is to be changed or made.
const upsertTries = 4

// upsert changes a room, or makes it: with what create says, and update upon it.
func upsert(c *call) (int, any, error) {
	o, err := c.object("update", "create")
	if err != nil {
		return 0, nil, err
	}
	if !o.has("update") {
		return 0, nil, unprocessable("update is missing")
	}
	changes, err := o.object("update")
	if err == nil {
		err = changes.only("defaultAccesses", "groupsAccesses", "usersAccesses", "metadata")
	}
	if err != nil {
		return 0, nil, err
	}
	if len(changes.fields) == 0 {
		return 0, nil, unprocessable("update names nothing to change")
	}
	change, err := changes.change()
	if err != nil {
		return 0, nil, err
	}
	base, err := o.object("create")
	if err == nil {
		err = base.only("defaultAccesses", "groupsAccesses", "usersAccesses", "metadata", "organizationId", "tenantId", "engine")
	}
	if err != nil {
		return 0, nil, err
	}
	first, err := base.change()
	if err != nil {
		return 0, nil, err
	}
	organization, err := base.organization()
	if err != nil {
		return 0, nil, err
	}
	for range upsertTries {
		r, err := c.change(change)
		if err == nil {
			return http.StatusOK, shown(r), nil
		}
		if !errors.Is(err, room.ErrNotFound) {
			return 0, nil, err
		}
		if err := checkRoomID("the room id", c.room); err != nil {
			return 0, nil, err
		}
		part := made(first, change)
		part.Organization = organization
		r, err = c.make(c.room, part)
		if err == nil {
			return http.StatusOK, shown(r), nil
		}
		if !errors.Is(err, room.ErrExists) {
			return 0, nil, err
		}
	}
	return 0, nil, room.ErrExists
}

// deleteRoom ends a room and puts everybody out.
func deleteRoom(c *call) (int, any, error) {
	b := c.api.Rooms.Batch()
	err := c.api.Rooms.DeleteLiveblocks(b, c.project, c.room)
	b.Flush()
	if err != nil {
		return 0, nil, err
	}
	c.done("room deleted", "room", c.room)
	return http.StatusNoContent, nil, nil
}

// rename gives a room another id. Whoever is in it is told the new one.
func rename(c *call) (int, any, error) {
	o, err := c.object("newRoomId")
	if err != nil {
		return 0, nil, err
	}
	id, err := o.required("newRoomId")
	if err != nil {
		return 0, nil, err
	}
	if err := checkRoomID("newRoomId", id); err != nil {
		return 0, nil, err
	}
	b := c.api.Rooms.Batch()
	r, err := c.api.Rooms.RenameLiveblocks(b, c.project, c.room, id)
	b.Flush()
	if err != nil {
		return 0, nil, err
	}
	c.done("room renamed", "room", c.room, "to", id)
	return http.StatusOK, shown(r), nil
}

// move gives a room to another organization. People whose token is of another
// one are put out.
func move(c *call) (int, any, error) {
	o, err := c.object("fromOrganizationId", "toOrganizationId", "organizationId", "tenantId")
	if err != nil {
		return 0, nil, err
	}
	from, err := o.text("fromOrganizationId")
	if err != nil {
		return 0, nil, err
	}
	to, err := o.text("toOrganizationId")
	if err == nil && to == "" {
		to, err = o.organization()
	}
	if err == nil && to == "" {
		err = unprocessable("toOrganizationId is missing")
	}
	if err == nil {
		err = atMost("toOrganizationId", to, liveblocks.MaxOrganizationLength)
	}
	if err != nil {
		return 0, nil, err
	}
	if from != "" { // a safeguard against a mistake, not against a move at the same moment
		r, err := c.api.Rooms.Liveblocks(c.project, c.room)
		if err != nil {
			return 0, nil, err
		}
		if r.Organization != from {
			return 0, nil, &problem{status: http.StatusConflict, Code: "CONFLICT", Message: "the room is not of the organization of fromOrganizationId", Docs: guide}
		}
	}
	b := c.api.Rooms.Batch()
	r, err := c.api.Rooms.MoveLiveblocks(b, c.project, c.room, to)
	b.Flush()
	if err != nil {
		return 0, nil, err
	}
	c.done("room moved to another organization", "room", c.room, "organization", to)
	return http.StatusOK, shown(r), nil
}
