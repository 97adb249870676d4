package liveblocks

import (
	"encoding/json"

	"usher/auth"
	"usher/auth/liveblocks"
	"usher/room"
)

// aRoom is a room as the API shows it.
type aRoom struct {
	Type             string                    `json:"type"`
	ID               string                    `json:"id"`
	OrganizationID   string                    `json:"organizationId"`
	TenantID         string                    `json:"tenantId"` // the organization's old name
	CreatedAt        string                    `json:"createdAt"`
	LastConnectionAt string                    `json:"lastConnectionAt,omitempty"`
	Metadata         map[string]room.Metadatum `json:"metadata"`
	DefaultAccesses  []string                  `json:"defaultAccesses"`
	UsersAccesses    map[string][]string       `json:"usersAccesses"`
	GroupsAccesses   map[string][]string       `json:"groupsAccesses"`
}

// shown is the room for the SDKs, for which no list and no map may be null.
func shown(r room.LiveblocksRoom) aRoom {
	out := aRoom{Type: "room", ID: r.Name, OrganizationID: r.Organization, TenantID: r.Organization,
		CreatedAt: iso(r.Created), Metadata: r.Metadata,
		DefaultAccesses: r.Access.Default, UsersAccesses: r.Access.Users, GroupsAccesses: r.Access.Groups}
	if !r.LastConnection.IsZero() {
		out.LastConnectionAt = iso(r.LastConnection)
	}
	if out.Metadata == nil {
		out.Metadata = map[string]room.Metadatum{}
	}
	if out.DefaultAccesses == nil {
		out.DefaultAccesses = []string{}
	}
	for _, m := range []*map[string][]string{&out.UsersAccesses, &out.GroupsAccesses} {
		if *m == nil {
			*m = map[string][]string{}
		}
	}
	return out
}

// change reads defaultAccesses, groupsAccesses, usersAccesses and metadata as a
// change of a room: null removes one entry, or all of them.
func (o object) change() (ch room.LiveblocksChange, err error) {
	switch {
	case o.null("defaultAccesses"):
		ch.Default = &[]string{}
	case o.has("defaultAccesses"):
		list, err := access(o.path("defaultAccesses"), o.fields["defaultAccesses"])
		if err != nil {
			return ch, err
		}
		ch.Default = &list
	}
	ch.ClearGroups, ch.ClearUsers, ch.ClearMetadata = o.null("groupsAccesses"), o.null("usersAccesses"), o.null("metadata")
	if ch.Groups, err = o.accesses("groupsAccesses"); err != nil {
		return ch, err
	}
	if ch.Users, err = o.accesses("usersAccesses"); err != nil {
		return ch, err
	}
	entries, err := o.object("metadata")
	if err != nil {
		return ch, err
	}
	for key, b := range entries.fields {
		var m *room.Metadatum
		if entries.has(key) {
			if m, err = metadatum(entries.path(key), b); err != nil {
				return ch, err
			}
		}
		if ch.Metadata == nil {
			ch.Metadata = make(map[string]*room.Metadatum, len(entries.fields))
		}
		ch.Metadata[key] = m
	}
	return ch, nil
}

// accesses reads the lists of groups or people.
func (o object) accesses(name string) (map[string]*[]string, error) {
	entries, err := o.object(name)
	if err != nil || len(entries.fields) == 0 {
		return nil, err
	}
	out := make(map[string]*[]string, len(entries.fields))
	for id, b := range entries.fields {
		if !entries.has(id) {
			out[id] = nil
			continue
		}
		list, err := access(entries.path(id), b)
		if err != nil {
			return nil, err
		}
		out[id] = &list
	}
	return out, nil
}

// access reads one list of permissions.
func access(path string, b json.RawMessage) ([]string, error) {
	list, err := listOf(path, b)
	if err != nil {
		return nil, err
	}
	if err := liveblocks.ParseList(list); err != nil {
		return nil, unprocessable("%s: %s", clip(path), err)
	}
	return list, nil
}

func metadatum(path string, b json.RawMessage) (*room.Metadatum, error) {
	if b[0] == '[' {
		list, err := listOf(path, b)
		if err != nil {
			return nil, err
		}
		return &room.Metadatum{List: list}, nil
	}
	text, err := textOf(path, b)
	if err != nil {
		return nil, unprocessable("%s is neither a string nor a list of strings", clip(path))
	}
	return &room.Metadatum{Text: text}, nil
}

// made is the part of a room that has nothing but what the changes say, one
// after the other.
func made(changes ...room.LiveblocksChange) room.LiveblocksRoom {
	r := room.LiveblocksRoom{Access: auth.AccessList{Default: []string{}}}
	for _, ch := range changes {
		if ch.Default != nil {
			r.Access.Default = *ch.Default
		}
		r.Access.Groups = merged(r.Access.Groups, ch.ClearGroups, ch.Groups)
		r.Access.Users = merged(r.Access.Users, ch.ClearUsers, ch.Users)
		r.Metadata = merged(r.Metadata, ch.ClearMetadata, ch.Metadata)
	}
	return r
}

func merged[V any](m map[string]V, clear bool, change map[string]*V) map[string]V {
	if clear || m == nil {
		m = make(map[string]V, len(change))
	}
	for k, v := range change {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = *v
		}
	}
	return m
}
