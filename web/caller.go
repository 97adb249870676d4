package web

import (
	"usher/auth"
	"usher/room"
)

// AdministersProject reports whether a token is the project's own: one that
// may administer, names no room and cannot join one. No participant has such a
// token, and LiveKit has no use for it.
func AdministersProject(g *auth.Grant) bool {
	return g.RoomAdmin && g.Room == "" && !g.Join && g.Origin == nil
}

// Revoked reports whether a token, or the key of one that it descends from, was
// revoked, or is not listed any more where that ends sessions. Server APIs ask
// before they read a request, and again before they act.
func Revoked(rooms *room.Rooms, v *auth.Verifier, g *auth.Grant) bool {
	return v.Keys().Refuses(g) || rooms.Revoked(g)
}
