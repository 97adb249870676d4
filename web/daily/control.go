package daily

import (
	"usher/auth"
	"usher/auth/daily"
	"usher/room"
	"usher/room/stringify"
)

// by is who did what the API did, where that is kept.
const by = "Daily's API"

const (
	// maxEjected is how many can be named at once, in each list.
	maxEjected = 100
	// maxAppMessage is the length of an app message as JSON, counted as
	// JavaScript does, unless the domain's max_app_message_size says another. What
	// the server allows for any message, in bytes, holds in any case.
	maxAppMessage = 4096
	// everyone is the key and the recipient that stand for everybody.
	everyone = "*"
)

// done is the answer of calls that have nothing to say. Daily sends text there.
type done struct {
	Sent string `json:"sent"`
}

var sent = done{"true"}

// eject disconnects people. Their tokens stay good, but for a ban.
func eject(c *call) (any, error) {
	o, err := c.object("ids", "user_ids", "ban")
	if err != nil {
		return nil, err
	}
	sids, err := o.list("ids", maxEjected)
	if err != nil {
		return nil, err
	}
	users, err := o.list("user_ids", maxEjected)
	if err != nil {
		return nil, err
	}
	ban, err := o.truth("ban")
	if err != nil {
		return nil, err
	}
	if len(sids)+len(users) == 0 {
		return nil, invalid("there has to be somebody in ids or user_ids")
	}
	targets := make([]room.Target, 0, len(sids)+len(users))
	for _, sid := range sids {
		if sid == "" {
			return nil, invalid("an entry of ids is empty")
		}
		targets = append(targets, room.Target{SID: sid})
	}
	for _, user := range users {
		if user == "" {
			return nil, invalid("an entry of user_ids is empty")
		}
		targets = append(targets, room.Target{Identity: user})
	}
	r, err := c.meeting()
	if err != nil {
		return nil, c.idleIs404(err)
	}
	bySessions(r, targets)
	b := c.api.Rooms.Batch()
	ejected, err := r.Eject(b, targets, ban, by)
	b.Flush()
	if err != nil {
		return nil, c.idleIs404(err)
	}
	if ejected == nil {
		ejected = []string{}
	}
	c.api.Log.Info("participants ejected", "project", c.domain.Project, "room", c.name, "participants", len(ejected), "ban", ban, "api", "daily")
	return struct {
		EjectedIDs []string `json:"ejectedIds"`
	}{ejected}, nil
}

// bySessions names people without a user id by their session, which is what the
// webhooks and the meetings call their user_id.
func bySessions(r *room.Room, targets []room.Target) {
	without := make(map[string]bool)
	for _, i := range append(r.Participants(), r.Waiting()...) {
		without[i.SID] = anonymous(i.Identity)
	}
	for i, t := range targets {
		if t.Identity != "" && without[t.Identity] {
			targets[i] = room.Target{SID: t.Identity}
		}
	}
}

// updatePermissions states what people may do, by their session ids; "*" is
// everybody else. Daily documents no answer.
func updatePermissions(c *call) (any, error) {
	o, err := c.object("data")
	if err != nil {
		return nil, err
	}
	data, err := o.object("data")
	if err != nil {
		return nil, err
	}
	if len(data.fields) == 0 {
		return nil, invalid("data is missing: it has permissions by session id, or for \"*\"")
	}
	bySID := make(map[string]auth.Say, len(data.fields))
	var rest *auth.Say
	for sid, raw := range data.fields {
		say, err := daily.ParsePermissions(raw, auth.Live)
		switch {
		case err != nil:
			return nil, err
		case sid == everyone:
			rest = &say
		default:
			bySID[sid] = say
		}
	}
	r, err := c.meeting()
	if err != nil {
		return nil, c.idleIs404(err)
	}
	b := c.api.Rooms.Batch()
	err = r.State(b, bySID, rest, by)
	b.Flush()
	if err != nil {
		return nil, c.idleIs404(err)
	}
	c.api.Log.Info("permissions changed", "project", c.domain.Project, "room", c.name, "participants", len(bySID), "all", rest != nil, "api", "daily")
	return struct{}{}, nil
}

// sendAppMessage sends a message to everybody, or to one session. Nobody is told
// whether it got there.
func sendAppMessage(c *call) (any, error) {
	o, err := c.object("data", "recipient")
	if err != nil {
		return nil, err
	}
	if !o.has("data") {
		return nil, invalid("data is missing")
	}
	if _, err := o.object("data"); err != nil {
		return nil, err
	}
	data := stringify.Append(nil, o.fields["data"])
	if n, most := stringify.Length(data), c.api.settings.get(c.domain.Project).appMessage(); n > most {
		return nil, invalid("data has %d characters, the limit is %d", n, most)
	}
	recipient, err := o.text("recipient")
	if err != nil {
		return nil, err
	}
	m := room.Message{Payload: data, Reliable: true}
	if recipient != "" && recipient != everyone {
		m.SIDs = []string{recipient}
	}
	r, err := c.meeting()
	if err != nil {
		return nil, c.idleIs400(err)
	}
	b := c.api.Rooms.Batch()
	err = r.Send(b, m, "")
	b.Flush()
	if err != nil {
		return nil, c.idleIs400(err)
	}
	return sent, nil
}

// The words of set-session-data.
const (
	replace      = "replace"
	shallowMerge = "shallow-merge"
)

// setSessionData changes what the people in a room share.
func setSessionData(c *call) (any, error) {
	o, err := c.object("data", "mergeStrategy", "keysToDelete")
	if err != nil {
		return nil, err
	}
	data, err := o.object("data")
	if err != nil {
		return nil, err
	}
	strategy, err := o.text("mergeStrategy")
	if err != nil {
		return nil, err
	}
	var ch room.SessionDataChange
	switch strategy {
	case "", replace:
	case shallowMerge:
		ch.Merge = true
	default:
		return nil, invalid("mergeStrategy was '%s' but should be '%s' or '%s'", clip(strategy), replace, shallowMerge)
	}
	if ch.Delete, err = o.list("keysToDelete", room.MaxSessionData); err != nil {
		return nil, err
	}
	ch.Data = make(room.SessionData, len(data.fields))
	for key, value := range data.fields {
		ch.Data[key] = value
	}
	r, err := c.meeting()
	if err != nil {
		return nil, c.idleIs400(err)
	}
	switch {
	case !ch.Merge && ch.Delete != nil:
		return nil, invalid("keysToDelete goes with mergeStrategy '%s'; '%s' leaves nothing but data", shallowMerge, replace)
	case !o.has("data") && ch.Delete == nil:
		return nil, invalid("data is missing; to empty it all it is {}")
	}
	b := c.api.Rooms.Batch()
	err = r.UpdateSessionData(b, ch)
	b.Flush()
	if err != nil {
		return nil, c.idleIs400(err)
	}
	return sent, nil
}

// getSessionData shows what they share. Daily documents no answer.
func getSessionData(c *call) (any, error) {
	r, err := c.meeting()
	if err != nil {
		return nil, c.idleIs400(err)
	}
	data := bag{}
	for key, value := range r.SessionData() {
		data[key] = value
	}
	return struct {
		Data bag `json:"data"`
	}{data}, nil
}
