package liveblocks

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A route is an address and what is done there. {room} stands for one part of
// the path, which may hold any characters, percent-encoded; {…} at the end for
// any number of parts.
type route struct {
	pattern string
	parts   []string // of the pattern
	methods map[string]handler
	product string // is not offered here, whatever the method; "" for the others
}

// A handler does a call. A nil answer has no body.
type handler func(*call) (status int, answer any, err error)

// A call is a request of the holder of a project's secret key.
type call struct {
	*http.Request
	api     *api
	project string
	room    string // of the path, as it is
	held    int64  // of the api's reading, given back when the call has been done
}

// routes are searched in their order.
func routes() []*route {
	var list []*route
	add := func(pattern string, methods map[string]handler) {
		list = append(list, &route{pattern: pattern, parts: strings.Split(pattern, "/"), methods: methods})
	}
	refused := func(product string, patterns ...string) {
		for _, p := range patterns {
			list = append(list, &route{pattern: p, parts: strings.Split(p, "/"), product: product})
		}
	}
	const (
		get    = http.MethodGet
		post   = http.MethodPost
		remove = http.MethodDelete
	)
	add("/v2/identify-user", map[string]handler{post: identify})
	add("/v2/authorize-user", map[string]handler{post: authorize})
	add("/v2/rooms", map[string]handler{get: rooms, post: create})
	add("/v2/rooms/{room}", map[string]handler{get: show, post: update, remove: deleteRoom})
	add("/v2/rooms/{room}/upsert", map[string]handler{post: upsert})
	add("/v2/rooms/{room}/prewarm", map[string]handler{get: prewarm})
	add("/v2/rooms/{room}/update-room-id", map[string]handler{post: rename})
	add("/v2/rooms/{room}/update-organization-id", map[string]handler{post: move})
	for _, pattern := range []string{"/v2/rooms/{room}/active-users", "/v2/rooms/{room}/active_users"} {
		add(pattern, map[string]handler{get: activeUsers})
	}
	for _, pattern := range []string{"/v2/rooms/{room}/broadcast-event", "/v2/rooms/{room}/broadcast_event"} {
		add(pattern, map[string]handler{post: broadcast})
	}
	add("/v2/rooms/{room}/presence", map[string]handler{post: setPresence})
	add("/v2/rooms/{room}/storage", map[string]handler{get: storage,
		post: noStorage, remove: noStorage, http.MethodPatch: noStorage})

	refused(storageWrites, "/v2/rooms/{room}/storage/json-patch", "/v2/rooms/{room}/request-storage-mutation", "/v2/rooms/{room}/send-message")
	refused("files in Storage are", "/v2/rooms/{room}/storage/{…}")
	refused("Yjs documents are", "/v2/rooms/{room}/ydoc", "/v2/rooms/{room}/ydoc-binary")
	refused("version history is", "/v2/rooms/{room}/versions/{…}", "/v2/rooms/{room}/version/{…}")
	refused("Comments are", "/v2/rooms/{room}/threads/{…}", "/v2/rooms/{room}/attachments/{…}")
	refused("feeds are", "/v2/rooms/{room}/feeds/{…}")
	refused("Notifications are", "/v2/rooms/{room}/users/{…}", "/v2/users/{user}/inbox-notifications/{…}",
		"/v2/users/{user}/notification-settings", "/v2/users/{user}/room-subscription-settings", "/v2/inbox-notifications/{…}")
	refused("user groups are", "/v2/groups/{…}", "/v2/users/{user}/groups")
	refused("AI Copilots are", "/v2/ai/{…}")
	refused("the management API is", "/v2/management/{…}")
	return list
}

// find returns the route of a path as it came, and what its {room} stands for.
func find(routes []*route, escaped string) (found *route, room string) {
	parts := strings.Split(escaped, "/")
	for _, r := range routes {
		if room, ok := r.match(parts); ok {
			return r, room
		}
	}
	return nil, ""
}

func (r *route) match(parts []string) (room string, ok bool) {
	for i, want := range r.parts {
		if want == "{…}" {
			return room, true
		}
		if i == len(parts) {
			return "", false
		}
		got, err := url.PathUnescape(parts[i])
		switch {
		case err != nil:
			return "", false
		case want == "{room}":
			room = got
		case want != got && !strings.HasPrefix(want, "{"):
			return "", false
		}
	}
	return room, len(parts) == len(r.parts)
}

// allowed are the methods that a route has.
func (r *route) allowed() []string {
	var list []string
	for method := range r.methods {
		list = append(list, method)
	}
	if r.methods[http.MethodGet] != nil {
		list = append(list, http.MethodHead)
	}
	slices.Sort(list)
	return list
}

// handler is what does a method.
func (r *route) handler(method string) handler {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return r.methods[method]
}
